"""Tree ensembles of ONNX-ML and their meaning in NumPy (`ml_attributes` makes them from a file).

The meaning is onnxruntime's, bit for bit, where it computes on one thread: leaf weights are added in float32 in the
order of the trees, base values last (its tree_ensemble_aggregator.h). With more threads and over 80 trees it adds
partial sums, and its own last bits change. Where the ONNX standard and onnxruntime disagree, the model is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array, Graph

MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "LEAF")
LEAF = MODES.index("LEAF")
TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO")
AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")


@dataclass(frozen=True)
class Ensemble:
    """Trees over `features` float32 numbers with `outputs` sums.

    Of each node: feature, value, mode (index in MODES), index of the child taken where the comparison holds and where
    it does not, whether NaN takes the first. weights, scored: [nodes, outputs], what a leaf adds and to which sums.
    base: [outputs] or empty. classes: labels of a classifier, empty for a regressor.
    """

    features: int
    feature: NDArray[np.int64]
    value: NDArray[np.float32]
    mode: NDArray[np.int64]
    true: NDArray[np.int64]
    false: NDArray[np.int64]
    missing: NDArray[np.bool_]
    roots: NDArray[np.int64]
    weights: NDArray[np.float32]
    scored: NDArray[np.bool_]
    base: NDArray[np.float32]
    aggregate: str
    transform: str
    classes: tuple[int, ...] = ()

    @property
    def outputs(self) -> int:
        """How many sums there are."""
        return int(self.weights.shape[1])

    @property
    def binary(self) -> bool:
        """Two classes of which only one has a sum (onnxruntime's `binary_case`)."""
        return len(self.classes) == 2 and int(self.scored.any(axis=0).sum()) == 1

    @property
    def threshold(self) -> float:
        """What the sum of a binary classifier must exceed for the second class: 0.5 where all weights are positive."""
        return 0.5 if self.binary and not (self.weights < 0).any() else 0.0

    @property
    def scores(self) -> int:
        """How many scores the model puts out."""
        return max(len(self.classes), self.outputs) if self.classes else self.outputs

    def leaves(self, x: Array) -> NDArray[np.int64]:
        """The leaf each example reaches in each tree: float32 [n, features] -> node index [n, trees]."""
        at = np.broadcast_to(self.roots, (len(x), len(self.roots))).copy()
        inner = self.mode[at] != LEAF
        while inner.any():
            rows, trees = np.nonzero(inner)
            node = at[rows, trees]
            value = x[rows, self.feature[node]]
            holds = compare(value, self.value[node], self.mode[node]) | (self.missing[node] & np.isnan(value))
            at[rows, trees] = np.where(holds, self.true[node], self.false[node])
            inner = self.mode[at] != LEAF
        return at

    def sums(self, x: Array) -> NDArray[np.float32]:
        """Aggregated leaf weights with base values, float32 [n, outputs], in onnxruntime's order."""
        at = self.leaves(x)
        total = self.weights[at[:, 0]].copy()
        for tree in range(1, at.shape[1]):
            weights = self.weights[at[:, tree]]
            if self.aggregate == "MIN":
                total = np.minimum(total, weights)
            elif self.aggregate == "MAX":
                total = np.maximum(total, weights)
            else:
                total += weights
        if self.aggregate == "AVERAGE":
            total = total / np.float32(at.shape[1])
        return np.asarray(total + self.base if len(self.base) else total, np.float32)

    def run(self, x: Array) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """(label [n], scores [n, scores]) of a classifier; a regressor's labels are all 0."""
        total = self.sums(np.asarray(x, np.float32))
        if not self.classes:
            return np.zeros(len(total), np.int64), transformed(total, self.transform)
        return np.asarray(self.classes, np.int64)[self.chosen(total)], self.scored_classes(total)

    def chosen(self, total: Array) -> NDArray[np.int64]:
        """Which class wins: the first of the greatest; of two classes with one sum, the second above the threshold."""
        if self.binary:
            return np.asarray(total[:, 0] > np.float32(self.threshold), np.int64)
        if len(self.classes) == 2:
            return np.asarray(total[:, 1] > 0, np.int64)
        return np.asarray(total.argmax(axis=1), np.int64)

    def scored_classes(self, total: Array) -> NDArray[np.float32]:
        """Scores of every class from the sums [n, outputs]."""
        if not self.binary:
            return transformed(total, self.transform)
        one = total[:, :1].astype(np.float32)
        if self.threshold:
            return np.concatenate([np.float32(1) - one, one], axis=1)
        pair = np.concatenate([-one, one], axis=1)
        return logistic(pair) if self.transform == "LOGISTIC" else pair


def gaps_of(graph: Graph) -> frozenset[str]:
    """Inputs that tree ensembles alone read: NaN is a missing value there."""
    readers = graph.consumers()
    trees = ("TreeEnsembleClassifier", "TreeEnsembleRegressor")
    return frozenset(
        t.name for t in graph.inputs if (r := readers.get(t.name)) and all(node.op in trees for node in r)
    )


def compare(value: Array, threshold: Array, mode: Array) -> NDArray[np.bool_]:
    """value MODE threshold, element by element; NaN compares as IEEE 754 says."""
    with np.errstate(invalid="ignore"):
        answers = [
            value <= threshold, value < threshold, value >= threshold, value > threshold, value == threshold,
            value != threshold,
        ]  # fmt: skip
    return np.asarray(np.choose(np.minimum(mode, 5), answers), np.bool_)


def logistic(x: Array) -> NDArray[np.float32]:
    """1 / (1 + exp(-x)), as onnxruntime computes it: from -|x|."""
    v = 1 / (1 + np.exp(-np.abs(x), dtype=np.float32))
    return np.asarray(np.where(x < 0, 1 - v, v), np.float32)


def transformed(total: Array, transform: str) -> NDArray[np.float32]:
    """The post_transform of ONNX-ML over the last axis."""
    if transform == "LOGISTIC":
        return logistic(total)
    if transform == "NONE":
        return np.asarray(total, np.float32)
    e = np.exp(total - total.max(axis=-1, keepdims=True), dtype=np.float32)
    if transform == "SOFTMAX_ZERO":  # a class whose sum is 0 keeps 0
        kept = np.abs(total) > np.float32(1e-7)
        e = np.where(kept, e, np.float32(0))
    with np.errstate(invalid="ignore"):
        return np.asarray(e / e.sum(axis=-1, keepdims=True), np.float32)
