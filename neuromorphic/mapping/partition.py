"""Partition: one grid for each population, so that every box keeps a core's limits and few cores are
needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trine.neuromorphic.mapping.grid import (
    Demand,
    Grid,
    Ranges,
    along,
    demand,
    exact_ranges,
    lengths,
    regular,
    sizes,
    worst_ranges,
)
from trine.neuromorphic.mapping.reach import Wiring
from trine.neuromorphic.mapping.records import Limit, Violation
from trine.neuromorphic.net import INPUT, Population, SpikingNet

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Messages = list[tuple[Wiring, Ints]]

PASSES = 12
SLACK = 1.25  # so much more core time is accepted for fewer boxes, hence fewer messages


@dataclass(frozen=True)
class CoreRule:
    """What a chip's core can hold.

    limits: what is limited. use(population, neurons, incoming, outgoing): what boxes take of each, (*boxes,
    limits); infinity where a box can never be. remedies: by limit, what to try when one neuron alone breaks
    it. imposed: share of a source's core that one box's inputs take there (output axons, splitters);
    (*boxes).
    """

    limits: tuple[Limit, ...]
    use: Callable[[Population, Ints, list[Demand], Messages], Floats]
    remedies: dict[str, str]
    imposed: Callable[[Demand], Floats] = lambda d: np.zeros(1)


@dataclass(frozen=True)
class Boxes:
    """The boxes of one population: bounds, what each takes, and connections that end in each."""

    population: str
    grid: Grid
    use: Floats
    synapses: Ints


def partition(
    net: SpikingNet, wires: tuple[Wiring, ...], rule: CoreRule
) -> tuple[dict[str, Boxes], list[Violation]]:
    """Boxes of every population that computes (inputs enter from outside), or what makes it impossible.

    Where boxes are small, their sources need more output axons, which may make sources' boxes smaller:
    passes from outputs to inputs are made until nothing changes.
    """
    computing = [p for p in net.populations if p.neuron != INPUT]
    into = {p.name: [w for w in wires if w.projection.target == p.name] for p in computing}
    out = {p.name: [w for w in wires if w.projection.source == p.name] for p in computing}
    grids: dict[str, Grid] = {}
    violations: dict[str, Violation] = {}
    for _ in range(PASSES):
        before = dict(grids)
        for p in reversed(computing):
            known = [w for w in out[p.name] if w.projection.target in grids]
            grid = _best_grid(p, into[p.name], known, grids, rule)
            if grid is None:
                violations[p.name] = _explain(p, into[p.name], known, grids, rule)
                grid = grids.get(p.name, regular(p.shape, (1,) * len(p.shape)) if p.size <= 4096 else None)
                grid = grid or regular(p.shape, p.shape)
            grids[p.name] = grid
        if violations or all(_same(before.get(name), grid) for name, grid in grids.items()):
            break
    if violations:
        return {}, [violations[p.name] for p in computing if p.name in violations]
    boxes = {p.name: _boxes(p, into[p.name], out[p.name], grids, rule) for p in computing}
    return boxes, []


def _same(one: Grid | None, other: Grid) -> bool:
    return one is not None and one.counts == other.counts and all(map(np.array_equal, one.cuts, other.cuts))


def _best_grid(
    p: Population, into: list[Wiring], out: list[Wiring], grids: dict[str, Grid], rule: CoreRule
) -> Grid | None:
    """The regular grid that needs least core time; None where even one neuron does not fit."""
    options = [sizes(n, 1 << 20) for n in p.shape]
    ranges: tuple[Ranges, ...] = tuple(
        [worst_ranges(n, size) for size in dimension] for n, dimension in zip(p.shape, options)
    )
    outgoing = [(w, _most_messages(w, grids[w.projection.target], options)) for w in out]
    demands = [demand(w, ranges) for w in into]
    use = _use(p, ranges, demands, outgoing, rule)
    load = (use / np.array([limit.available for limit in rule.limits])).max(axis=-1)
    rank = len(p.shape)
    boxes = np.ones((1,) * rank)
    for d, (n, dimension) in enumerate(zip(p.shape, options)):
        boxes = boxes * along([-(-n // size) for size in dimension], d, rank)
    boxes = np.broadcast_to(boxes, load.shape)
    fits = load <= 1
    if not fits.any():
        return None
    share = np.floor(1 / np.maximum(load, 1e-9))
    imposed = sum((rule.imposed(d) for d in demands), np.zeros(1))
    cores = np.where(fits, boxes * (1 / np.maximum(share, 1) + imposed), np.inf)
    close = np.where(cores <= cores.min() * SLACK, boxes + load / 2, np.inf)
    best = np.unravel_index(int(np.argmin(close)), close.shape)
    return regular(p.shape, tuple(options[d][i] for d, i in enumerate(best)))


def _use(
    p: Population, ranges: tuple[Ranges, ...], incoming: list[Demand], outgoing: Messages, rule: CoreRule
) -> Floats:
    neurons = np.asarray(1, np.int64)
    for d, r in enumerate(ranges):
        neurons = neurons * along(lengths(r), d, len(ranges))
    return rule.use(p, neurons, incoming, outgoing)


def destinations(wiring: Wiring, grid: Grid) -> list[Ints] | int:
    """How many of a target's boxes one spike reaches: by source index along each dimension (their product
    counts), or one number for all sources.
    """
    if wiring.dense:
        return grid.boxes
    if not wiring.shared:
        return 1
    return [
        np.bincount(axis.pairs(cuts)[1], minlength=axis.size_in) for axis, cuts in zip(wiring.axes, grid.cuts)
    ]


def _most_messages(wiring: Wiring, grid: Grid, options: list[list[int]]) -> Ints:
    """Messages that one spike of every neuron of a box would send; the greatest for each candidate box."""
    reached, rank = destinations(wiring, grid), len(options)
    total = np.asarray(1, np.int64)
    for d, dimension in enumerate(options):
        if isinstance(reached, int):
            total = total * along(dimension, d, rank)
            continue
        most = [
            int(np.add.reduceat(reached[d], np.arange(0, len(reached[d]), size)).max()) for size in dimension
        ]
        total = total * along(most, d, rank)
    return total * reached if isinstance(reached, int) else total


def box_messages(wiring: Wiring, source: Grid, target: Grid) -> Ints:
    """Messages that one spike of every neuron of a source box sends, for each box; (*source boxes)."""
    reached, rank = destinations(wiring, target), len(source.cuts)
    total = np.asarray(1, np.int64)
    for d, cuts in enumerate(source.cuts):
        summed = np.diff(cuts) if isinstance(reached, int) else np.add.reduceat(reached[d], cuts[:-1])
        total = total * along(summed.tolist(), d, rank)
    return total * reached if isinstance(reached, int) else total


def _boxes(
    p: Population, into: list[Wiring], out: list[Wiring], grids: dict[str, Grid], rule: CoreRule
) -> Boxes:
    grid = grids[p.name]
    ranges = tuple(exact_ranges(cuts) for cuts in grid.cuts)
    outgoing = [(w, box_messages(w, grid, grids[w.projection.target])) for w in out]
    demands = [demand(w, ranges) for w in into]
    use = np.broadcast_to(_use(p, ranges, demands, outgoing, rule), (*grid.counts, len(rule.limits)))
    synapses = sum((d.synapses for d in demands), np.zeros(grid.counts, np.int64))
    return Boxes(p.name, grid, use.reshape(grid.boxes, -1), synapses.reshape(-1))


def _explain(
    p: Population, into: list[Wiring], out: list[Wiring], grids: dict[str, Grid], rule: CoreRule
) -> Violation:
    """The limit that a single neuron of the population breaks most."""
    ranges: tuple[Ranges, ...] = tuple([worst_ranges(n, 1)] for n in p.shape)
    outgoing = [(w, _most_messages(w, grids[w.projection.target], [[1] for _ in p.shape])) for w in out]
    use = _use(p, ranges, [demand(w, ranges) for w in into], outgoing, rule).reshape(len(rule.limits))
    load = use / np.array([limit.available for limit in rule.limits])
    limit = rule.limits[int(np.argmax(load))]
    names = ", ".join(w.projection.source for w in into)
    where = f"layer {p.name}" + (f" (from {names})" if names else "")
    used = float(use[int(np.argmax(load))])
    return Violation(
        where,
        f"{limit.name} of one neuron",
        used if np.isfinite(used) else None,
        limit.available,
        limit.unit,
        rule.remedies[limit.name],
    )
