"""A tree ensemble in integers, and its meaning in NumPy.

Thresholds: a float32 becomes an int32 key that orders as the number does (its bits, the lower 31 flipped where it is
negative; InTreeger, arXiv 2505.15391), so that comparing keys is comparing numbers, for every float. Each comparison
of ONNX-ML becomes `key <= threshold` of a *column*: a feature, or its complement for > and >=, with NaN at the end at
which the node wants it. == is two such steps.

Leaves: int32 in units of 2^-bits, added exactly. A class is decided by the sums where they are further apart than
float32 rounding can move them (`band`), else by adding the leaves again in float32 in onnxruntime's order; so the
class is onnxruntime's on every input. Scores come from the integer sums; `tolerance` bounds how far they are from
onnxruntime's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array
from trine.compilers.ml_models import AGGREGATES, LEAF, MODES, TRANSFORMS, Ensemble

COMPLEMENT, NAN_HOLDS = 1, 2
LOWEST, HIGHEST = -(2**31), 2**31 - 1
UNIT_ROUNDOFF = 2.0**-24  # of float32
ROOM = 2.0**31 - 2**16  # for the rounding of up to 65,535 leaves
MOST_BITS = 60
LOG2_E = 1549082005  # 2^30 / ln 2
LN_2 = 1488522236  # 2^31 ln 2
POWERS = np.rint(2.0 ** (31 - np.arange(32) / 32)).astype(np.uint32)  # 2^-(i/32), 31 bits behind the point
ONE = 1 << 30


def keys(x: Array) -> NDArray[np.int32]:
    """float32 -> int32 that orders alike; -0.0 is one below 0.0, NaN is anywhere."""
    bits = np.ascontiguousarray(x, np.float32).view(np.int32)
    return np.asarray(bits ^ ((bits >> 31) & np.int32(HIGHEST)), np.int32)


def number(key: int) -> np.float32:
    """The float32 of a key."""
    bits = np.array([key], np.int32)
    return np.float32((bits ^ ((bits >> 31) & np.int32(HIGHEST))).view(np.float32)[0])


@dataclass(frozen=True)
class Forest:
    """The integer form; what a step's constants hold.

    column_feature, column_flags: [columns]. split_column, split_key, split_yes, split_no: [splits]; a child is a split,
    or ~row where negative; `column <= key` takes `yes`. roots: [trees], as a child. What the leaf of row r adds: from
    row_start[r] to row_start[r + 1] the values row_value, in float32 row_float, to the sums row_output. base,
    float_base: [outputs].
    """

    column_feature: NDArray[np.int32]
    column_flags: NDArray[np.uint8]
    split_column: NDArray[np.int32]
    split_key: NDArray[np.int32]
    split_yes: NDArray[np.int32]
    split_no: NDArray[np.int32]
    roots: NDArray[np.int32]
    row_start: NDArray[np.int32]
    row_output: NDArray[np.int32]
    row_value: NDArray[np.int32]
    row_float: NDArray[np.float32]
    base: NDArray[np.int32]
    float_base: NDArray[np.float32]

    @property
    def row_count(self) -> int:
        """How many different leaves there are."""
        return len(self.row_start) - 1

    def tree_outputs(self) -> list[int] | None:
        """The one sum each tree adds to; None where a tree adds to several."""
        if (np.diff(self.row_start) != 1).any():
            return None
        found: list[int] = []
        for root in self.roots.tolist():
            level, outputs = np.array([root]), set[int]()
            while len(level):
                outputs |= set(self.row_output[~level[level < 0]].tolist())
                level = level[level >= 0]
                level = np.unique(np.concatenate([self.split_yes[level], self.split_no[level]]))
            if len(outputs) != 1:
                return None
            found += outputs
        return found

    def arrays(self) -> dict[str, Array]:
        """By name."""
        return dict(vars(self))

    def dense(self, values: Array) -> Array:
        """row_value or row_float as [rows, outputs], 0 where a row adds nothing."""
        table = np.zeros((self.row_count, len(self.base)), values.dtype)
        table[np.repeat(np.arange(self.row_count), np.diff(self.row_start)), self.row_output] = values
        return table


class _Builder:
    """Columns and splits as they are asked for."""

    def __init__(self, ensemble: Ensemble) -> None:
        self.ensemble = ensemble
        self.columns: dict[tuple[int, int], int] = {}
        self.splits: list[list[int]] = []
        self.row_of: dict[tuple[bytes, bytes], int] = {}
        self.rows: list[tuple[NDArray[np.int64], NDArray[np.float32]]] = []

    def column(self, feature: int, flags: int) -> int:
        return self.columns.setdefault((feature, flags), len(self.columns))

    def split(self, feature: int, flags: int, key: int) -> int:
        """A split `column <= key`; its children come later."""
        self.splits.append([self.column(feature, flags), key, 0, 0])
        return len(self.splits) - 1

    def leaf(self, node: int) -> int:
        """A row: the sums it adds to, less those it adds 0 to (one stays)."""
        weights = self.ensemble.weights[node] + np.float32(0)  # -0.0 is 0.0
        outputs = np.flatnonzero(weights)
        if not len(outputs):
            outputs = np.flatnonzero(self.ensemble.scored[node])[:1]
        if not len(outputs):
            outputs = np.zeros(1, np.int64)
        if self.ensemble.aggregate in ("MIN", "MAX"):
            outputs = np.arange(len(weights))
        at = self.row_of.setdefault((outputs.tobytes(), weights[outputs].tobytes()), len(self.rows))
        if at == len(self.rows):
            self.rows.append((outputs, weights[outputs]))
        return ~at

    def tree(self, root: int) -> int:
        """Add a tree, nodes before their children, yes first; returns it as a child."""
        waiting: list[tuple[int, list[tuple[int, int]]]] = [(root, [])]
        answer: list[int] = []
        while waiting:
            node, places = waiting.pop()
            made = self.leaf(node) if self.ensemble.mode[node] == LEAF else self.node(node, waiting)
            for split, side in places:
                self.splits[split][side] = made
            answer.append(made)
        return answer[0]

    def node(self, node: int, waiting: list[tuple[int, list[tuple[int, int]]]]) -> int:
        e = self.ensemble
        feature, key = int(e.feature[node]), int(keys(e.value[node : node + 1] + np.float32(0))[0])
        below = key - 1 if key else -2  # the greatest key under the number: 0.0 and -0.0 are equal
        nan, mode = NAN_HOLDS * bool(e.missing[node]), MODES[e.mode[node]]
        true, false = int(e.true[node]), int(e.false[node])
        if mode in ("BRANCH_LEQ", "BRANCH_LT"):
            first = self.split(feature, nan, key if mode == "BRANCH_LEQ" else below)
            waiting += [(false, [(first, 3)]), (true, [(first, 2)])]
            return first
        if mode in ("BRANCH_GT", "BRANCH_GTE"):
            first = self.split(feature, nan | COMPLEMENT, ~(key if mode == "BRANCH_GT" else below) - 1)
            waiting += [(false, [(first, 3)]), (true, [(first, 2)])]
            return first
        if mode == "BRANCH_NEQ":  # NaN is not equal, whatever the node says of missing values
            nan, true, false = 0, false, true
        first, second = self.split(feature, nan, key), self.split(feature, nan | COMPLEMENT, ~below - 1)
        self.splits[first][2] = second
        waiting += [(false, [(first, 3), (second, 3)]), (true, [(second, 2)])]
        return first


def reach(ensemble: Ensemble) -> NDArray[np.float64]:
    """Greatest |sum| of each output: the trees' greatest leaves and the base added up."""
    bounds = np.append(ensemble.roots, len(ensemble.mode))
    trees = np.array(
        [np.abs(ensemble.weights[a:b]).max(axis=0) for a, b in pairwise(bounds)],
        np.float64,
    )
    base = np.abs(ensemble.base.astype(np.float64)) if len(ensemble.base) else 0.0
    alone = trees.max(axis=0) if ensemble.aggregate in ("MIN", "MAX", "AVERAGE") else trees.sum(axis=0)
    return np.asarray(alone + base)


def fix(ensemble: Ensemble) -> tuple[Forest, dict[str, Any]]:
    """The ensemble in integers and the attributes of its step (bits, band, threshold, tolerance, ...)."""
    builder = _Builder(ensemble)
    roots = [builder.tree(int(root)) for root in ensemble.roots]
    if not builder.columns:
        builder.column(0, 0)
    largest, count = reach(ensemble) + ensemble.threshold * 2, len(roots)
    bits = min(floor(log2(ROOM / largest.max())), MOST_BITS) if largest.max() > 0 else 0
    share = count if ensemble.aggregate == "AVERAGE" else 1
    row_float = np.concatenate([weights for _, weights in builder.rows]).astype(np.float32)
    base = ensemble.base if len(ensemble.base) else np.zeros(ensemble.outputs, np.float32)
    columns = np.array(list(builder.columns), np.int32).reshape(-1, 2)
    column, key, yes, no = np.array(builder.splits, np.int32).reshape(-1, 4).T.copy()
    forest = Forest(
        np.ascontiguousarray(columns[:, 0]), columns[:, 1].astype(np.uint8),
        column, key, yes, no, np.array(roots, np.int32),
        np.cumsum([0, *(len(outputs) for outputs, _ in builder.rows)]).astype(np.int32),
        np.concatenate([outputs for outputs, _ in builder.rows]).astype(np.int32),
        np.rint(np.ldexp(row_float.astype(np.float64) / share, bits)).astype(np.int32), row_float,
        np.rint(np.ldexp(base.astype(np.float64), bits)).astype(np.int32), base.astype(np.float32),
    )  # fmt: skip
    terms = count + bool(len(ensemble.base))
    by_float = 1.01 * terms * UNIT_ROUNDOFF * float(largest.max())
    by_integer = 0.5 * (terms + 1) * 2.0**-bits
    apart = 1 if ensemble.binary else 2  # sums compared with a constant, or with each other
    attributes: dict[str, Any] = {
        "bits": bits, "aggregate": AGGREGATES.index(ensemble.aggregate),
        "transform": TRANSFORMS.index(ensemble.transform),
        "classes": ensemble.classes, "features": ensemble.features, "binary": int(ensemble.binary),
        "half": int(ensemble.threshold > 0), "band": ceil(apart * np.ldexp(by_float + by_integer, bits)) + 1,
        "threshold": round(np.ldexp(ensemble.threshold, bits)), "zero": floor(np.ldexp(1e-7, bits)),
        "tolerance": by_float + by_integer + (1e-6 if ensemble.transform != "NONE" else 0.0),
    }  # fmt: skip
    return forest, attributes


def forest_of(constants: Mapping[str, Array]) -> Forest:
    """The forest in a step's constants."""
    return Forest(**{name: constants[name] for name in Forest.__dataclass_fields__})


def columns(forest: Forest, x: Array) -> NDArray[np.int32]:
    """Column values of float32 [n, features]: int32 [n, columns]."""
    x = np.asarray(x, np.float32)
    key = keys(x)[:, forest.column_feature]
    flags = forest.column_flags
    value = np.where(flags & COMPLEMENT, ~key, key)
    ends = np.where(flags & NAN_HOLDS, np.int32(LOWEST), np.int32(HIGHEST))
    return np.asarray(np.where(np.isnan(x)[:, forest.column_feature], ends, value), np.int32)


def leaves(forest: Forest, column: Array) -> NDArray[np.int64]:
    """The row each example adds in each tree: columns [n, columns] -> [n, trees]."""
    at = np.broadcast_to(forest.roots.astype(np.int64), (len(column), len(forest.roots))).copy()
    while (inner := at >= 0).any():
        example, tree = np.nonzero(inner)
        split = at[example, tree]
        holds = column[example, forest.split_column[split]] <= forest.split_key[split]
        at[example, tree] = np.where(holds, forest.split_yes[split], forest.split_no[split])
    return ~at


def run(
    forest: Forest, attributes: Mapping[str, Any], x: Array
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """(label [n], scores [n, scores]) of float32 [n, features]; labels of a regressor are all 0."""
    rows = leaves(forest, columns(forest, x))
    kind = AGGREGATES[attributes["aggregate"]]
    parts = forest.dense(forest.row_value)[rows].astype(np.int64)
    total = parts.min(axis=1) if kind == "MIN" else parts.max(axis=1) if kind == "MAX" else parts.sum(axis=1)
    total = total + forest.base
    scores = scored(total, attributes)
    classes = np.asarray(attributes["classes"], np.int64)
    if not len(classes):
        return np.zeros(len(total), np.int64), scores
    return classes[chosen(forest, attributes, rows, total)], scores


def chosen(forest: Forest, attributes: Mapping[str, Any], rows: Array, total: Array) -> NDArray[np.int64]:
    """Index of the class: by the integer sums where they are clear, else by float32 sums in the trees' order."""
    if attributes["binary"]:
        gap = total[:, 0] - attributes["threshold"]
        clear, answer = np.abs(gap) > attributes["band"], (gap > 0).astype(np.int64)
    elif len(attributes["classes"]) == 2:
        clear, answer = np.abs(total[:, 1]) > attributes["band"], (total[:, 1] > 0).astype(np.int64)
    else:
        ordered = np.sort(total, axis=1)
        clear, answer = ordered[:, -1] - ordered[:, -2] > attributes["band"], total.argmax(axis=1)
    close = np.flatnonzero(~clear)
    if not len(close):
        return np.asarray(answer, np.int64)
    leaf = forest.dense(forest.row_float)
    sums = leaf[rows[close, 0]].copy()
    for tree in range(1, rows.shape[1]):
        sums += leaf[rows[close, tree]]
    sums += forest.float_base
    if attributes["binary"]:
        answer[close] = sums[:, 0] > np.float32(0.5 if attributes["half"] else 0.0)
    else:
        answer[close] = sums[:, 1] > 0 if len(attributes["classes"]) == 2 else sums.argmax(axis=1)
    return np.asarray(answer, np.int64)


def scored(total: Array, attributes: Mapping[str, Any]) -> NDArray[np.float32]:
    """Scores float32 [n, scores] of integer sums [n, outputs]."""
    bits, transform = attributes["bits"], TRANSFORMS[attributes["transform"]]
    if attributes["binary"]:
        second = ONE if attributes["half"] else 0
        if transform == "LOGISTIC":
            p = sigmoid(total[:, 0], bits)
            return real(np.stack([ONE - p, p], axis=1), 30)
        first = (1 << bits) - total[:, 0] if second else -total[:, 0]
        return real(np.stack([first, total[:, 0]], axis=1), bits)
    if transform == "LOGISTIC":
        return real(sigmoid(total, bits), 30)
    if transform == "NONE":
        return real(total, bits)
    return real(shares(total, bits, attributes["zero"] if transform == "SOFTMAX_ZERO" else -1), 30)


def real(fixed: Array, bits: int) -> NDArray[np.float32]:
    """Integers as float32: rounded to nearest even once, then scaled by a power of two."""
    return np.asarray(np.ldexp(fixed.astype(np.int32).astype(np.float32), -bits), np.float32)


def decay(distance: Array, bits: int) -> NDArray[np.int64]:
    """exp(-distance * 2^-bits), 30 bits behind the point; distance >= 0, below 2^32.

    2^-(n + i/32 + r): a shift, a table, and the first four terms of the exponential series.
    """
    t = np.asarray(distance, np.uint64) * np.uint64(LOG2_E)
    shift = bits + 4  # 26 bits stay behind the point
    if shift < 0:
        t = np.where(np.asarray(distance) > 0, np.uint64(2**32 - 1), np.uint64(0))
    else:
        t = np.minimum(t >> np.uint64(min(shift, 63)), np.uint64(2**32 - 1))
    index, rest = (t >> np.uint64(21)) & np.uint64(31), t & np.uint64((1 << 21) - 1)
    x = (rest * np.uint64(LN_2)) >> np.uint64(26)  # 31 bits behind the point
    square = (x * x) >> np.uint64(31)
    cube = (square * x) >> np.uint64(31)
    series = np.uint64(2**31) - x + square // np.uint64(2) - cube // np.uint64(6)
    e = ((POWERS[index].astype(np.uint64) * series) >> np.uint64(32)).astype(np.int64)
    return np.asarray(e >> np.minimum(t >> np.uint64(26), np.uint64(63)).astype(np.int64))


def sigmoid(total: Array, bits: int) -> NDArray[np.int64]:
    """1 / (1 + exp(-total * 2^-bits)), 30 bits behind the point."""
    p = (np.int64(ONE) << 30) // (ONE + decay(np.abs(total), bits))
    return np.asarray(np.where(total < 0, ONE - p, p), np.int64)


def shares(total: Array, bits: int, zero: int) -> NDArray[np.int64]:
    """Softmax over the last axis, 30 bits behind the point; sums within `zero` of 0 keep 0 (none where it is -1)."""
    room = max(total.shape[-1] - 1, 0).bit_length()
    e = decay(total.max(axis=-1, keepdims=True) - total, bits) >> room
    e = np.where(np.abs(total) <= zero, 0, e)
    whole = e.sum(axis=-1, keepdims=True)
    return np.asarray(np.where(whole > 0, (e << 30) // np.maximum(whole, 1), 0), np.int64)
