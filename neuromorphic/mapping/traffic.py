"""Which boxes send to which: messages of one spike of every neuron, counted by arithmetic over the grids."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trine.neuromorphic.mapping.grid import Grid
from trine.neuromorphic.mapping.reach import Wiring

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Flow:
    """Messages of one projection: from box to box (numbers within their populations), each pair once.

    count: source neurons of the one that reach the other; a spike of each is one message.
    """

    wiring: Wiring
    source: Ints
    target: Ints
    count: Ints


def flow(wiring: Wiring, source: Grid, target: Grid) -> Flow:
    """The flow of a projection between two grids."""
    if wiring.dense:
        pairs = np.indices((source.boxes, target.boxes)).reshape(2, -1)
        low, high = source.bounds()
        return Flow(wiring, pairs[0], pairs[1], (high - low).prod(axis=1)[pairs[0]])
    if not wiring.shared:
        both = _labels(source) * target.boxes + _labels(target)
        found, count = np.unique(both, return_counts=True)
        return Flow(wiring, found // target.boxes, found % target.boxes, count)
    sources, targets, counts = np.zeros(1, np.int64), np.zeros(1, np.int64), np.ones(1, np.int64)
    for axis, cuts_source, cuts_target in zip(wiring.axes, source.cuts, target.cuts):
        into, index = axis.pairs(cuts_target)
        ranges = len(cuts_source) - 1
        found, count = np.unique(
            into * ranges + np.searchsorted(cuts_source, index, "right") - 1, return_counts=True
        )
        sources = (sources[:, None] * ranges + found % ranges).ravel()
        targets = (targets[:, None] * (len(cuts_target) - 1) + found // ranges).ravel()
        counts = (counts[:, None] * count).ravel()
    return Flow(wiring, sources, targets, counts)


def _labels(grid: Grid) -> Ints:
    """The box of each neuron, flattened in C order."""
    label = np.zeros(1, np.int64)
    for cuts in grid.cuts:
        ranges = np.repeat(np.arange(len(cuts) - 1), np.diff(cuts))
        label = (label[:, None] * (len(cuts) - 1) + ranges).ravel()
    return label


def combined(source: Ints, target: Ints, population: Ints, count: Floats) -> tuple[Ints, Ints, Ints, Floats]:
    """Each (source, target, population) once, counts added."""
    if not len(source):
        return source, target, population, count
    shift = int(min(source.min(), target.min()))
    width, kinds = int(max(source.max(), target.max())) - shift + 1, int(population.max()) + 1
    key, where = np.unique(
        ((source - shift) * width + (target - shift)) * kinds + population, return_inverse=True
    )
    total: Floats = np.bincount(where.ravel(), weights=count).astype(np.float64)
    ends, kind = np.divmod(key, kinds)
    return ends // width + shift, ends % width + shift, kind, total
