"""Cutting populations into boxes: the smallest number of boxes of which each keeps a core's limits.

A candidate is a box size along each dimension. Its demand is computed for the greediest range of every
dimension, for all candidates at once; the winner has the fewest boxes, then the least demand over all boxes.
NxTF searches core shapes in the same spirit (arXiv 2101.04261).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from trine.neuromorphic.mapping.reach import Span, Wiring
from trine.neuromorphic.net import Shape

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

CANDIDATES = 28  # box sizes tried along one dimension


@dataclass(frozen=True)
class Grid:
    """Cuts along each dimension: range i of dimension d is [cuts[d][i], cuts[d][i + 1])."""

    cuts: tuple[Ints, ...]

    @property
    def counts(self) -> tuple[int, ...]:
        """Ranges along each dimension."""
        return tuple(len(c) - 1 for c in self.cuts)

    @property
    def boxes(self) -> int:
        return int(np.prod(self.counts, dtype=np.int64))

    def bounds(self) -> tuple[Ints, Ints]:
        """(low, high) of every box in C order; each (boxes, dimensions)."""
        low = np.meshgrid(*(c[:-1] for c in self.cuts), indexing="ij")
        high = np.meshgrid(*(c[1:] for c in self.cuts), indexing="ij")
        return np.stack([m.ravel() for m in low], 1), np.stack([m.ravel() for m in high], 1)


def regular(shape: Shape, box: tuple[int, ...]) -> Grid:
    """The grid whose boxes have one size, the last of a row less."""
    return Grid(tuple(np.append(np.arange(0, n, b), n).astype(np.int64) for n, b in zip(shape, box)))


Range = tuple[int, int]
Ranges = list[list[Range]]
"""Along one dimension: for each box the ranges [low, high) it may stand for; the greediest of them counts."""


@dataclass(frozen=True)
class Demand:
    """What a rule sees of one incoming projection, for all boxes at once (arrays broadcast over the boxes).

    neurons: in the box. sources: source neurons that reach it. positions: source neurons, counting all
    channels of one place as one. synapses: connections into it. entries: (weights, how many) of the axon
    entries that have to be stored, once for all source positions with equal weights where the projection
    shares. area: places of the box, channels left out. stored: weights that have to be stored once where all
    places share.
    """

    wiring: Wiring
    neurons: Ints
    sources: Ints
    positions: Ints
    synapses: Ints
    entries: tuple[tuple[Ints, Ints], ...]
    area: Ints
    stored: Ints


def along(values: list[int], axis: int, rank: int) -> Ints:
    """A vector of one dimension, shaped to broadcast over boxes."""
    shape = [1] * rank
    shape[axis] = -1
    return np.asarray(values, np.int64).reshape(shape)


def lengths(ranges: Ranges) -> list[int]:
    """The greatest length that each box may have."""
    return [max(high - low for low, high in choice) for choice in ranges]


def demand(wiring: Wiring, ranges: tuple[Ranges, ...]) -> Demand:
    """The demand of every box that these ranges span."""
    rank = len(ranges)
    neurons = np.asarray(1, np.int64)
    for d, r in enumerate(ranges):
        neurons = neurons * along(lengths(r), d, rank)
    area = neurons // along(lengths(ranges[0]), 0, rank) if rank > 1 else np.ones_like(neurons)
    if wiring.dense:
        sources = np.full_like(neurons, wiring.source_size)
        return Demand(
            wiring,
            neurons,
            sources,
            sources,
            sources * neurons,
            ((neurons, sources),),
            area,
            sources * neurons,
        )
    if not wiring.shared:
        one = np.ones_like(neurons)
        return Demand(wiring, neurons, neurons, neurons, neurons, ((one, neurons),), area, neurons)
    return _window_demand(wiring, ranges, neurons, area)


def _window_demand(wiring: Wiring, ranges: tuple[Ranges, ...], neurons: Ints, area: Ints) -> Demand:
    rank = len(ranges)
    ins, outs = wiring.channels.per_group
    length = along(lengths(ranges[0]), 0, rank)
    groups = along([max(wiring.channels.groups_of(a, b) for a, b in r) for r in ranges[0]], 0, rank)
    targets = np.minimum(length, outs)
    positions, taps, places = (np.asarray(1, np.int64),) * 3
    entries = [(targets, groups * ins)]
    for d, window in enumerate(wiring.windows, start=1):
        spans = [_greediest([window.span(low, high) for low, high in choice]) for choice in ranges[d]]
        positions = positions * along([s.reached for s in spans], d, rank)
        taps = taps * along([s.taps for s in spans], d, rank)
        places = places * window.kernel
        entries = [
            (weights * t, count * along([s.patterns[t] for s in spans], d, rank))
            for weights, count in entries
            for t in range(1, window.kernel + 1)
            if any(s.patterns[t] for s in spans)
        ]
    stored = groups * ins * targets * places
    return Demand(
        wiring,
        neurons,
        positions * groups * ins,
        positions,
        taps * length * ins,
        tuple(entries),
        area,
        stored,
    )


def _greediest(spans: list[Span]) -> Span:
    if len(spans) == 1:
        return spans[0]
    patterns = tuple(max(column) for column in zip(*(s.patterns for s in spans)))
    return Span(max(s.reached for s in spans), max(s.taps for s in spans), patterns)


def sizes(n: int, most: int) -> list[int]:
    """Box sizes worth trying along a dimension of n: the least for each number of ranges, thinned, and powers of 2
    (limits of cores are such)."""
    parts = range(1, n + 1) if n <= 4096 else np.geomspace(1, n, 400).round().astype(np.int64).tolist()
    powers = [1 << i for i in range(n.bit_length()) if 64 <= 1 << i <= min(n, most)]
    found = [size for size in sorted({-(-n // p) for p in parts}) if size <= most] or [1]
    if len(found) <= CANDIDATES:
        return sorted({*found, *powers})
    picks = np.unique(np.linspace(0, len(found) - 1, CANDIDATES).round().astype(int))
    return sorted({*(found[i] for i in picks), *powers})


def worst_ranges(n: int, size: int) -> list[Range]:
    """The ranges of a regular cut that differ: those at the borders and one inside."""
    count = -(-n // size)
    picked = {0, min(1, count - 1), count // 2, max(count - 2, 0), count - 1}
    return [(i * size, min((i + 1) * size, n)) for i in sorted(picked)]


def exact_ranges(cuts: Ints) -> Ranges:
    """The ranges of a grid's dimension, as they are."""
    return [[(low, high)] for low, high in pairwise(cuts.tolist())]
