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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array
from trine.compilers.ml_models import AGGREGATES, TRANSFORMS
from trine.edge.trees.exponential import ONE, shares, sigmoid

COMPLEMENT, NAN_HOLDS = 1, 2
LOWEST, HIGHEST = -(2**31), 2**31 - 1


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
