"""From an ensemble of ONNX-ML to a forest in integers."""

from __future__ import annotations

from itertools import pairwise
from math import ceil, floor, log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.compilers.ml_models import AGGREGATES, LEAF, MODES, TRANSFORMS, Ensemble
from trine.edge.trees.fixed import COMPLEMENT, NAN_HOLDS, Forest, keys

UNIT_ROUNDOFF = 2.0**-24  # of float32
ROOM = 2.0**31 - 2**16  # for the rounding of up to 65,535 leaves
MOST_BITS = 60

Row = tuple[NDArray[np.int64], NDArray[np.float32]]  # what a leaf adds: to which sums, how much


class _Builder:
    """Columns and splits as they are asked for."""

    def __init__(self, ensemble: Ensemble) -> None:
        self.ensemble = ensemble
        self.columns: dict[tuple[int, int], int] = {}
        self.splits: list[list[int]] = []
        self.row_of: dict[tuple[bytes, bytes], int] = {}
        self.rows: list[Row] = []

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


def by_length(rows: list[Row]) -> tuple[list[Row], NDArray[np.int32]]:
    """Rows that add to one sum first, else in their order; and the place of each."""
    order = sorted(range(len(rows)), key=lambda at: len(rows[at][0]) != 1)
    place = np.empty(len(rows), np.int32)
    place[order] = np.arange(len(rows))
    return [rows[at] for at in order], place


def moved(child: NDArray[np.int32], place: NDArray[np.int32]) -> NDArray[np.int32]:
    """Children, their rows in other places."""
    return np.asarray(np.where(child < 0, ~place[np.maximum(~child, 0)], child), np.int32)


def fix(ensemble: Ensemble) -> tuple[Forest, dict[str, Any]]:
    """The ensemble in integers and the attributes of its step (bits, band, threshold, tolerance, ...)."""
    builder = _Builder(ensemble)
    roots = [builder.tree(int(root)) for root in ensemble.roots]
    if not builder.columns:
        builder.column(0, 0)
    rows, place = by_length(builder.rows)
    largest, count = reach(ensemble) + ensemble.threshold * 2, len(roots)
    bits = min(floor(log2(ROOM / largest.max())), MOST_BITS) if largest.max() > 0 else MOST_BITS
    share = count if ensemble.aggregate == "AVERAGE" else 1
    row_float = np.concatenate([weights for _, weights in rows]).astype(np.float32)
    base = ensemble.base if len(ensemble.base) else np.zeros(ensemble.outputs, np.float32)
    columns = np.array(list(builder.columns), np.int32).reshape(-1, 2)
    column, key, yes, no = np.array(builder.splits, np.int32).reshape(-1, 4).T.copy()
    forest = Forest(
        np.ascontiguousarray(columns[:, 0]), columns[:, 1].astype(np.uint8),
        column, key, moved(yes, place), moved(no, place), moved(np.array(roots, np.int32), place),
        np.cumsum([0, *(len(outputs) for outputs, _ in rows)]).astype(np.int32),
        np.concatenate([outputs for outputs, _ in rows]).astype(np.int32),
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
