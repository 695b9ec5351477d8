"""TrueNorth's core: a 256 x 256 binary crossbar, four axon types, one signed weight a type and neuron.

An axon brings a spike with its type; a neuron adds the weight that it keeps for this type where the crossing
is closed. A source of which targets want k different weights comes in on k axons of different types (binary
digits do for weights of at most 4 bits). Each neuron sends to one axon of one core: where more are needed,
it sends to a core of splitters that repeat the spike, a tick later. Merolla et al. 2014 (doi
10.1126/science.1254642), Akopyan et al. 2015.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trine.devices import NeuroChip
from trine.neuromorphic.mapping.grid import Demand
from trine.neuromorphic.mapping.partition import Boxes, CoreRule, Messages, destinations
from trine.neuromorphic.mapping.place import Mesh
from trine.neuromorphic.mapping.reach import Wiring, wirings
from trine.neuromorphic.mapping.records import Limit, Violation
from trine.neuromorphic.net import INPUT, Population, SpikingNet

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

MESH: Final = Mesh(64, 64, 1, "64 x 64 cores, Merolla et al. 2014")
AXONS: Final = 256
RELAYS: Final = 256
TYPES: Final = 4
DELAY: Final = 15
LARGEST: Final = 15  # m of weights on two types: 16 axons a source

REMEDIES: Final = {
    "neurons": "make the layer smaller",
    "axons": "give each neuron fewer inputs (grouped or smaller convolution, pruning), or weights of fewer "
    "values "
    "(ternary weights take 2 axons a source, binary ones 1)",
}


def axons_per_source(wiring: Wiring, types: int = TYPES) -> int | None:
    """Axons that a source takes on a target's core; None where so many types cannot make these weights.

    Whichever is least: one a different non-zero weight of a target neuron; one a binary digit of the widest; with two
    types of +m and -1, m + 1 for weights of -m..m.
    """
    weight = np.asarray(wiring.projection.weight)
    rows = weight.reshape(len(weight), -1) if weight.ndim > 1 else weight.reshape(1, -1)
    most = 1
    widest = 0
    largest = 0
    for row in rows:
        values = np.unique(row[row != 0])
        if not len(values):
            continue
        most = max(most, len(values))
        if weight.dtype.kind in "iu":
            largest = max(largest, int(np.abs(values).max()))
            values = values // np.gcd.reduce(values.astype(np.int64))
            low, high = int(min(values.min(), 0)), int(max(values.max(), 0))
            widest = max(
                widest, max((-low - 1).bit_length() if low else 0, high.bit_length()) + (low < 0 < high)
            )
    able = [n for n in (most, widest) if n and n <= types]
    if types >= 2 and 0 < largest <= LARGEST:
        able.append(largest + 1)
    return min(able, default=None)


def axons_of(wires: tuple[Wiring, ...]) -> dict[str, int | None]:
    """Axons a source by projection. Projections into one population share its four types.

    Projections of one weight throughout (gates, sums) take a type each value and one axon a source; the others share
    the types that are left.
    """
    found: dict[str, int | None] = {}
    for target in dict.fromkeys(w.projection.target for w in wires):
        into = [w for w in wires if w.projection.target == target]
        single = {w.projection.name: np.unique(np.asarray(w.projection.weight)) for w in into}
        values = {float(v[0]) for v in single.values() if len(v) == 1}
        mixed = [w for w in into if len(single[w.projection.name]) > 1]
        if (len(values) == 1 and not mixed) or len(values) <= TYPES - 2 * bool(mixed):
            found |= {name: 1 for name, v in single.items() if len(v) == 1}
        else:  # sums of several values: as if they were mixed
            values, mixed = set(), into
        found |= {w.projection.name: axons_per_source(w, TYPES - len(values)) for w in mixed}
    return found


def decomposed(weight: Ints, largest: int) -> tuple[Ints, Ints]:
    """Crossings that make weights of -m..m on axons of types +m (one a source) and -1 (m a source).

    Returns (closed on the +m axon, how many closed of the -1 axons), each of the weight's shape: weight = m x first -
    second.
    """
    plus = (weight > 0).astype(np.int64)
    return plus, largest * plus - weight


def open_share(wiring: Wiring) -> float:
    """Share of a projection's sources that have any synapse at all: columns or input channels that are not all zero.

    Sources without one need no axon. Exact where one core holds a whole population's rows; else an upper bound.
    """
    weight = np.asarray(wiring.projection.weight)
    if wiring.projection.kind not in ("dense", "conv") or weight.ndim < 2:
        return 1.0
    if wiring.projection.attributes.get("group", 1) != 1:
        return 1.0
    used = (weight != 0).any(axis=(0, *range(2, weight.ndim)))
    return float(used.mean()) if used.size else 1.0


def truenorth_rule(net: SpikingNet, chip: NeuroChip) -> CoreRule:
    """The crossbar's two sides."""
    neurons_per_core, axons = chip.need("limits.neurons_per_core"), chip.need("limits.axons_per_core")
    limits = (
        Limit("neurons", neurons_per_core.value, "neurons", neurons_per_core.source),
        Limit("axons", axons.value, "axons", axons.source),
    )
    known = {name: n or TYPES for name, n in axons_of(wirings(net)).items()}
    shares: dict[str, float] = {}

    def use(p: Population, neurons: Ints, incoming: list[Demand], outgoing: Messages) -> Floats:
        taken = np.zeros_like(neurons)
        for d in incoming:
            name = d.wiring.projection.name
            if name not in shares:
                shares[name] = open_share(d.wiring)
            taken = taken + np.rint(d.sources * shares[name]).astype(np.int64) * known[name]
        return np.stack(np.broadcast_arrays(neurons.astype(np.float64), taken.astype(np.float64)), axis=-1)

    inputs = frozenset(p.name for p in net.populations if p.neuron == INPUT)

    def imposed(d: Demand) -> Floats:
        if d.wiring.projection.source in inputs:
            return np.zeros(1)
        return d.sources * known[d.wiring.projection.name] / RELAYS

    return CoreRule(limits, use, REMEDIES, imposed)


def truenorth_violations(net: SpikingNet, wires: tuple[Wiring, ...]) -> list[Violation]:
    """What no partition can cure: weights that four types cannot make, delays, graded spikes."""
    found = []
    axons = axons_of(wires)
    for w in wires:
        p = w.projection
        where = f"projection {p.name} ({p.source} -> {p.target})"
        if axons[p.name] is None:
            found.append(
                Violation(
                    where,
                    "weights of one neuron beyond four axon types",
                    None,
                    TYPES,
                    "types",
                    "quantise to 4 bits, ternary or binary weights",
                )
            )
        if p.delay_steps > DELAY:
            found.append(Violation(where, "delay", p.delay_steps, DELAY, "ticks", "shorten it"))
        if p.graded:
            found.append(
                Violation(
                    where, "graded spikes", None, None, "", "TrueNorth sends binary spikes: use a rate scheme"
                )
            )
    return found


@dataclass(frozen=True)
class Splitters:
    """Relays of one population. low, high: flat range of source neurons; box: their box; relays in each;
    ticks.
    """

    low: Ints
    high: Ints
    box: Ints
    relays: Ints
    ticks: int


def splitters(boxes: Boxes, out: list[Wiring], targets: dict[str, Boxes], axons: dict[str, int]) -> Splitters:
    """Relay cores behind one population, so that every copy of a spike finds an axon of its own.

    A neuron that needs F > 1 axons sends to one relay axon, behind which F relays stand; beyond 256 copies a
    tree of two levels is used.
    """
    fan = np.zeros(1, np.int64)
    for w in out:
        reached = destinations(w, targets[w.projection.target].grid)
        copies = np.ones(1, np.int64) * axons[w.projection.name]
        if isinstance(reached, int):
            copies = np.full(w.source_size, int(copies[0]) * reached)
        else:
            for counts in reached:
                copies = np.multiply.outer(copies, counts).ravel()
        fan = fan + copies
    empty = np.zeros(0, np.int64)
    if not out or fan.max() <= 1:
        return Splitters(empty, empty, empty, empty, 0)
    order, box_of = _by_box(boxes)
    fan = np.where(fan > 1, fan, 0)[order]
    deep = bool((fan > RELAYS).any())
    relays = fan + np.where(fan > RELAYS, -(-fan // RELAYS), 0)
    return _chunks(relays, box_of, 2 if deep else 1)


def _by_box(boxes: Boxes) -> tuple[Ints, Ints]:
    """Flat neuron numbers sorted by box, and the box of each in that order."""
    label = np.zeros(1, np.int64)
    for cuts in boxes.grid.cuts:
        ranges = np.repeat(np.arange(len(cuts) - 1), np.diff(cuts))
        label = (label[:, None] * (len(cuts) - 1) + ranges).ravel()
    order = np.argsort(label, kind="stable")
    return order, label[order]


def _chunks(relays: Ints, box_of: Ints, ticks: int) -> Splitters:
    """Runs of neurons of one box whose relays fill a core."""
    total = np.concatenate([[0], np.cumsum(relays)])
    edges = np.concatenate([np.flatnonzero(np.diff(box_of)) + 1, [len(box_of)]])
    rows: list[tuple[int, int, int, int]] = []
    start = 0
    for edge in edges.tolist():
        while start < edge:
            stop = int(np.searchsorted(total, total[start] + RELAYS, "right")) - 1
            stop = min(max(stop, start + 1), edge)
            count = int(total[stop] - total[start])
            box = int(box_of[start])
            while count > 0:  # one neuron's tree may take several cores
                rows.append((start, stop, box, min(count, RELAYS)))
                count -= RELAYS
            start = stop
    low, high, box_number, number = (np.array(column, np.int64) for column in zip(*rows))
    return Splitters(low, high, box_number, number, ticks)


def splitter_use(s: Splitters) -> Floats:
    """What each splitter piece takes of a core: (neurons, axons)."""
    return np.stack([s.relays, np.minimum(s.high - s.low, s.relays)], 1).astype(np.float64)
