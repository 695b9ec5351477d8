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
from trine.neuromorphic.mapping.reach import Wiring
from trine.neuromorphic.mapping.records import Limit, Violation
from trine.neuromorphic.net import INPUT, Population, SpikingNet

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

MESH: Final = Mesh(64, 64, 1, "64 x 64 cores, Merolla et al. 2014")
AXONS: Final = 256
RELAYS: Final = 256
TYPES: Final = 4
DELAY: Final = 15

REMEDIES: Final = {
    "neurons": "make the layer smaller",
    "axons": "give each neuron fewer inputs (grouped or smaller convolution, pruning), or weights of fewer "
    "values "
    "(ternary weights take 2 axons a source, binary ones 1)",
}


def axons_per_source(wiring: Wiring) -> int | None:
    """Axons that a source takes on a target's core: 1 to 4; None where four types cannot make these weights.

    Different non-zero weights of one target neuron, or binary digits of the widest, whichever is less.
    """
    weight = np.asarray(wiring.projection.weight)
    rows = weight.reshape(len(weight), -1) if weight.ndim > 1 else weight.reshape(1, -1)
    most = 1
    widest = 0
    for row in rows:
        values = np.unique(row[row != 0])
        if not len(values):
            continue
        most = max(most, len(values))
        if weight.dtype.kind in "iu":
            values = values // np.gcd.reduce(values.astype(np.int64))
            low, high = int(min(values.min(), 0)), int(max(values.max(), 0))
            widest = max(
                widest, max((-low - 1).bit_length() if low else 0, high.bit_length()) + (low < 0 < high)
            )
    best = min(most, widest) if widest else most
    return best if best <= TYPES else None


def truenorth_rule(net: SpikingNet, chip: NeuroChip) -> CoreRule:
    """The crossbar's two sides."""
    neurons_per_core, axons = chip.need("limits.neurons_per_core"), chip.need("limits.axons_per_core")
    limits = (
        Limit("neurons", neurons_per_core.value, "neurons", neurons_per_core.source),
        Limit("axons", axons.value, "axons", axons.source),
    )
    known: dict[str, int] = {}

    def use(p: Population, neurons: Ints, incoming: list[Demand], outgoing: Messages) -> Floats:
        taken = np.zeros_like(neurons)
        for d in incoming:
            name = d.wiring.projection.name
            if name not in known:
                known[name] = axons_per_source(d.wiring) or TYPES
            taken = taken + d.sources * known[name]
        return np.stack(np.broadcast_arrays(neurons.astype(np.float64), taken.astype(np.float64)), axis=-1)

    inputs = frozenset(p.name for p in net.populations if p.neuron == INPUT)

    def imposed(d: Demand) -> Floats:
        if d.wiring.projection.source in inputs:
            return np.zeros(1)
        return d.sources * known.get(d.wiring.projection.name, TYPES) / RELAYS

    return CoreRule(limits, use, REMEDIES, imposed)


def truenorth_violations(net: SpikingNet, wires: tuple[Wiring, ...]) -> list[Violation]:
    """What no partition can cure: weights that four types cannot make, delays, graded spikes."""
    found = []
    for w in wires:
        p = w.projection
        where = f"projection {p.name} ({p.source} -> {p.target})"
        if axons_per_source(w) is None:
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
