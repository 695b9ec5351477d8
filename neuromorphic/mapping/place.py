"""Placement of cores on a mesh of tiles: start orders, then swaps that shorten hop-weighted traffic.

The start is the best of in-order, Hilbert-curve order and spectral order along that curve; refinement
exchanges pairs of cores (or a core and an empty slot) whenever that saves hops, the most saving first, until
nothing does. It follows the two stages of Jin et al. (ASPLOS 2023, doi 10.1145/3582016.3582038), with an
exact gain in place of forces. Small meshes are annealed after that: a core at a time moves to a slot drawn
by Boltzmann weights of all its exchanges (a heat bath; Geman and Geman 1984, doi
10.1109/TPAMI.1984.4767596), from a cooling seeded start. The best placement seen is kept; it is never worse
than in-order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

MOST_SLOTS: Final = 8192  # gains of all pairs are held at once: 8,192 slots take 1.5 GB
ROUNDS: Final = 60
THOROUGH_SLOTS: Final = 1024  # up to here every start is refined, and the best annealed
SWEEPS: Final = 120  # steps of annealing for each slot
HOT: Final = 0.5  # first temperature, of the mean size of an exchange's gain
COLD: Final = 0.005  # last temperature
LEAST_GAIN: Final = 5e-4  # a round that saves less ends the refinement


@dataclass(frozen=True)
class Mesh:
    """tiles of one chip: columns x rows, cores_per_tile each; chips stand in a square.

    source: where this is stated. Spikes from outside enter at tile (0, 0) of chip 0.
    """

    columns: int
    rows: int
    cores_per_tile: int
    source: str

    @property
    def slots(self) -> int:
        """Cores of one chip."""
        return self.columns * self.rows * self.cores_per_tile

    def positions(self, chips: int) -> Ints:
        """(chip, column, row) of every slot of so many chips, columns and rows counted over all of them;
        (slots, 3).
        """
        side = int(np.ceil(np.sqrt(chips)))
        chip, core = np.divmod(np.arange(chips * self.slots), self.slots)
        tile = core // self.cores_per_tile
        column = chip % side * self.columns + tile % self.columns
        row = chip // side * self.rows + tile // self.columns
        return np.stack([chip, column, row], 1).astype(np.int64)

    def near_port(self, positions: Ints, cores: int) -> Ints:
        """Slots of a square of tiles at the port, with room for so many cores and a third more."""
        tiles = -(-cores * 4 // (3 * self.cores_per_tile))
        for side in range(1, self.columns + self.rows):
            if min(side, self.columns) * min(side, self.rows) >= tiles:
                break
        inside = (positions[:, 1] < side) & (positions[:, 2] < side)
        return positions[inside] if inside.sum() >= cores else positions


@dataclass(frozen=True)
class Graph:
    """Symmetric traffic between n slots (empty ones have none) and from the port; weights in messages a
    step.
    """

    weight: Floats
    port: Floats

    def hops(self, place: Ints) -> float:
        """Messages times Manhattan distance; place (n, 2)."""
        rows, columns = np.nonzero(np.triu(self.weight))
        between = np.abs(place[rows] - place[columns]).sum(axis=1)
        inward = place.sum(axis=1)
        return float(
            self.weight[rows, columns] @ between.astype(np.float64) + self.port @ inward.astype(np.float64)
        )


def graph(slots: int, source: Ints, target: Ints, messages: NDArray[np.float64]) -> Graph:
    """The graph of a traffic whose port is numbered below zero; cores 0.. are the first slots."""
    weight, port = np.zeros((slots, slots), np.float32), np.zeros(slots, np.float32)
    outside = source < 0
    np.add.at(port, target[outside], messages[outside])
    np.add.at(weight, (source[~outside], target[~outside]), messages[~outside])
    np.fill_diagonal(weight, 0)
    return Graph(weight + weight.T, port)


def place(traffic: Graph, cores: int, positions: Ints, seed: int = 0) -> Ints:
    """The slot of every core; (cores,). positions: (slots, 2): column, row."""
    slots = len(positions)
    if slots > MOST_SLOTS:
        return np.arange(cores)
    starts = _starts(traffic, cores, positions)
    thorough = slots <= THOROUGH_SLOTS
    if not thorough:
        starts = [min(starts, key=lambda order: traffic.hops(positions[order]))]
    best, least = min((_refine(traffic, start, positions) for start in starts), key=lambda found: found[1])
    if thorough:
        cooled, hops = _refine(traffic, _anneal(traffic, best, positions, seed), positions)
        best = cooled if hops < least else best
    return best[:cores]


def _anneal(traffic: Graph, order: Ints, positions: Ints, seed: int) -> Ints:
    """The best order met while cooling from `order`."""
    rng = np.random.default_rng(seed)
    n, order, weight = len(order), order.copy(), traffic.weight
    spots = positions[order]
    ruler = [np.arange(int(positions[:, d].max()) + 1, dtype=np.float32) for d in range(2)]
    apart = [np.abs(line[:, None] - line[None, :]) for line in ruler]
    cost = [_axis_costs(traffic, spots[:, d], apart[d]) for d in range(2)]
    stay = cost[0][np.arange(n), spots[:, 0]] + cost[1][np.arange(n), spots[:, 1]]
    best, hops, least = order.copy(), 0.0, 0.0
    size = np.abs(_gains(traffic, spots)).mean() + 1e-9
    steps = SWEEPS * n
    busy = np.flatnonzero((weight.sum(axis=1) + traffic.port) > 0)
    for step in range(steps):
        one = int(busy[rng.integers(len(busy))])
        x, y = spots[one]
        gain = cost[0][one, spots[:, 0]] + cost[1][one, spots[:, 1]] - stay[one]
        gain += cost[0][:, x] + cost[1][:, y] - stay
        gain += 2 * weight[one] * (apart[0][x, spots[:, 0]] + apart[1][y, spots[:, 1]])
        gain[one] = 0
        heat = size * HOT * (COLD / HOT) ** (step / steps)
        other = int((gain - heat * rng.gumbel(size=n)).argmin())
        if other == one:
            continue
        hops += float(gain[other])
        for d in range(2):
            change = apart[d][spots[other, d]] - apart[d][spots[one, d]]
            cost[d] += np.outer(weight[:, one] - weight[:, other], change)
        spots[[one, other]], order[[one, other]] = spots[[other, one]], order[[other, one]]
        stay = cost[0][np.arange(n), spots[:, 0]] + cost[1][np.arange(n), spots[:, 1]]
        if hops < least:
            best, least = order.copy(), hops
    return best


def _axis_costs(traffic: Graph, at: Ints, apart: Floats) -> Floats:
    """Hops along one axis of each core if it stood at each coordinate, the others where they are; (n, width)."""
    bins = np.zeros((len(at), len(apart)), np.float32)
    bins[np.arange(len(at)), at] = 1
    cost: Floats = traffic.weight @ bins @ apart + traffic.port[:, None] * apart[0][None, :]
    return cost


def _starts(traffic: Graph, cores: int, positions: Ints) -> list[Ints]:
    """Slot of every core (and empty place) in each start order; the first is in-order."""
    slots = len(positions)
    curve = hilbert_order(positions)
    along_curve = curve
    spectral = np.arange(slots)
    spectral[np.argsort(_fiedler(traffic.weight[:cores, :cores]), kind="stable")] = np.arange(cores)
    return [np.arange(slots), along_curve, along_curve[spectral], along_curve[_reversed(spectral, cores)]]


def _reversed(order: Ints, cores: int) -> Ints:
    turned = order.copy()
    turned[:cores] = cores - 1 - order[:cores]
    return turned


def _fiedler(weight: Floats) -> NDArray[np.float64]:
    """The second eigenvector of the traffic's Laplacian: strongly joined cores get near values."""
    n = len(weight)
    if n < 3 or n > 2048:
        return np.arange(n, dtype=np.float64)
    laplacian = np.diag(weight.sum(axis=1)) - weight
    vector = np.linalg.eigh(laplacian.astype(np.float64))[1][:, 1]
    return vector * (1 if vector[0] <= vector[-1] else -1)


def hilbert_order(positions: Ints) -> Ints:
    """Slots sorted along a Hilbert curve over their tiles, slots of one tile together."""
    side = 1 << int(positions.max()).bit_length()
    x, y = positions[:, 0].copy(), positions[:, 1].copy()
    distance = np.zeros(len(positions), np.int64)
    step = side // 2
    while step:
        right, up = ((x & step) > 0).astype(np.int64), ((y & step) > 0).astype(np.int64)
        distance += step * step * ((3 * right) ^ up)
        flip = (up == 0) & (right == 1)
        x, y = np.where(flip, side - 1 - x, x), np.where(flip, side - 1 - y, y)
        swap = up == 0
        x, y = np.where(swap, y, x), np.where(swap, x, y)
        step //= 2
    return np.argsort(distance, kind="stable")


def _refine(traffic: Graph, order: Ints, positions: Ints) -> tuple[Ints, float]:
    """Swap until no swap saves hops. Returns the order and its hops."""
    order = order.copy()
    weight = traffic.weight
    starts = np.concatenate([[0], np.cumsum(np.count_nonzero(weight, axis=1))])
    neighbours = np.nonzero(weight)[1]
    values = weight[weight > 0]
    before = traffic.hops(positions[order])
    for _ in range(ROUNDS):
        gain = _gains(traffic, positions[order])
        partner = gain.argmin(axis=1)
        promise = gain[np.arange(len(order)), partner]
        applied = 0
        for one in np.argsort(promise, kind="stable"):
            if promise[one] >= -1e-4:
                break
            other = int(partner[one])
            if _gain(traffic, order, positions, int(one), other, starts, neighbours, values) < -1e-4:
                order[one], order[other] = order[other], order[one]
                applied += 1
        after = traffic.hops(positions[order])
        if after > before * (1 - LEAST_GAIN) or not applied:
            break
        before = after
    return order, traffic.hops(positions[order])


def _gains(traffic: Graph, place: Ints) -> Floats:
    """Change of hops by swapping each pair; (n, n)."""
    n = len(place)
    at = np.zeros((n, n), np.float32)  # hops of core i if it stood in the slot of core j
    apart = np.zeros((n, n), np.float32)
    for d in range(2):
        coordinate = np.arange(int(place[:, d].max()) + 1, dtype=np.float32)
        distance = np.abs(coordinate[:, None] - coordinate[None, :])
        at += _axis_costs(traffic, place[:, d], distance)[:, place[:, d]]
        apart += distance[place[:, d]][:, place[:, d]]
    stay = np.diag(at).copy()
    gain: Floats = at + at.T - stay[:, None] - stay[None, :] + 2 * traffic.weight * apart
    return gain


def _gain(
    traffic: Graph,
    order: Ints,
    positions: Ints,
    one: int,
    other: int,
    starts: Ints,
    neighbours: Ints,
    values: Floats,
) -> float:
    """Change of hops by swapping one pair as they stand now."""
    here, there = positions[order[one]], positions[order[other]]
    total = 0.0
    for core, old, new, partner in ((one, here, there, other), (other, there, here, one)):
        near = slice(int(starts[core]), int(starts[core + 1]))
        others = neighbours[near]
        spots = positions[order[others]]
        change = np.abs(spots - new).sum(axis=1) - np.abs(spots - old).sum(axis=1)
        change[others == partner] = 0
        total += float(values[near] @ change) + float(traffic.port[core]) * float((new - old).sum())
    return total
