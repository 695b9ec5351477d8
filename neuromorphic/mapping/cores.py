"""From boxes to cores: packing, splitters, traffic, placement, in one `Mapping`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trine.devices import NeuroChip
from trine.neuromorphic.mapping import truenorth
from trine.neuromorphic.mapping.grid import Grid
from trine.neuromorphic.mapping.pack import pack
from trine.neuromorphic.mapping.partition import Boxes, CoreRule
from trine.neuromorphic.mapping.place import MOST_SLOTS, Mesh, graph, place
from trine.neuromorphic.mapping.reach import Wiring
from trine.neuromorphic.mapping.records import PORT, Mapping, Piece, Traffic, Violation
from trine.neuromorphic.mapping.traffic import combined, flow
from trine.neuromorphic.net import INPUT, SpikingNet

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Links:
    """Messages between pieces (`PORT`: from outside) in a step in which every neuron spikes once.

    population: number of the sender. fan_out: messages that one spike causes, by population.
    """

    source: Ints
    target: Ints
    population: Ints
    count: Floats
    fan_out: dict[str, float]


def lay_out(
    net: SpikingNet,
    chip: NeuroChip,
    wires: tuple[Wiring, ...],
    boxes: dict[str, Boxes],
    rule: CoreRule,
    mesh: Mesh | None,
    rates: dict[str, float],
    max_chips: int,
    seed: int,
    with_splitters: bool,
) -> Mapping:
    """Pack boxes (and splitters) onto cores and place the cores; too many cores are a violation."""
    axons = (
        {name: n or truenorth.TYPES for name, n in truenorth.axons_of(wires).items()}
        if with_splitters
        else {}
    )
    split = _splitters(wires, boxes, axons) if with_splitters else {}
    first, use, pieces = _pieces(boxes, split)
    core = pack(use / np.array([limit.available for limit in rule.limits]))
    cores = int(core.max()) + 1 if len(core) else 0
    total = np.zeros((cores, len(rule.limits)))
    np.add.at(total, core, use)
    per_chip = chip.count("limits.cores") or cores
    chips = max(1, -(-cores // per_chip))
    problems = []
    if chips > max_chips:
        remedy = f"use {chips} chips, or a net of {max_chips * per_chip / cores:.0%} of this size"
        problems.append(Violation(f"net {net.name}", "cores", cores, max_chips * per_chip, "cores", remedy))
        wires = ()  # nothing is placed that has no room
    links = _links(net, wires, boxes, split if wires else {}, axons, first)
    where, traffic = _placed(
        mesh, core, cores, chips, links, [rates[p.name] for p in net.populations], net, seed
    )
    placed = tuple(
        Piece(p.population, p.low, p.high, int(c), p.role, p.synapses, p.relays) for p, c in zip(pieces, core)
    )
    ticks = max((s.ticks for s in split.values()), default=0)
    notes: tuple[str, ...] = (f"spikes through splitters arrive {ticks} ticks later",) if ticks else ()
    if mesh is not None and chips * mesh.slots > MOST_SLOTS:
        notes += (f"more than {MOST_SLOTS} cores: placed in order",)
    return Mapping(
        chip.name,
        net.name,
        placed,
        rule.limits,
        total,
        where,
        traffic,
        links.fan_out,
        ticks,
        chips,
        tuple(problems),
        notes,
    )


def _splitters(
    wires: tuple[Wiring, ...], boxes: dict[str, Boxes], axons: dict[str, int]
) -> dict[str, truenorth.Splitters]:
    found = {
        name: truenorth.splitters(b, [w for w in wires if w.projection.source == name], boxes, axons)
        for name, b in boxes.items()
    }
    return {name: s for name, s in found.items() if len(s.low)}


def _pieces(
    boxes: dict[str, Boxes], split: dict[str, truenorth.Splitters]
) -> tuple[dict[str, int], Floats, list[Piece]]:
    """Number of each population's first piece (splitters: "name/"), use of all pieces, pieces without
    core.
    """
    first: dict[str, int] = {}
    use: list[Floats] = []
    pieces: list[Piece] = []
    for name, b in boxes.items():
        first[name] = len(pieces)
        low, high = b.grid.bounds()
        pieces += [
            Piece(name, tuple(low_), tuple(high_), 0, synapses=s)
            for low_, high_, s in zip(low.tolist(), high.tolist(), b.synapses.tolist())
        ]
        use.append(b.use)
        if name in split:
            first[name + "/"] = len(pieces)
            pieces += [
                Piece(name, (start,), (stop,), 0, "splitter", relays=r)
                for start, stop, r in zip(
                    split[name].low.tolist(), split[name].high.tolist(), split[name].relays.tolist()
                )
            ]
            use.append(truenorth.splitter_use(split[name]))
    return first, np.concatenate(use) if use else np.zeros((0, 1)), pieces


def _links(
    net: SpikingNet,
    wires: tuple[Wiring, ...],
    boxes: dict[str, Boxes],
    split: dict[str, truenorth.Splitters],
    axons: dict[str, int],
    first: dict[str, int],
) -> Links:
    """Messages of all projections, through splitters where there are some."""
    number = {p.name: i for i, p in enumerate(net.populations)}
    parts: list[tuple[Ints, Ints, Ints, Floats]] = []
    sent: dict[str, float] = {p.name: 0.0 for p in net.populations}

    def add(name: str, source: Ints, target: Ints, count: Ints | Floats) -> None:
        sent[name] += float(count.sum()) / net.population(name).size
        parts.append((source, target, np.full(len(source), number[name]), np.asarray(count, np.float64)))

    for w in wires:
        name = w.projection.source
        population = net.population(name)
        outside = population.neuron == INPUT
        whole = Grid(tuple(np.array([0, n], np.int64) for n in population.shape))
        f = flow(w, whole if outside else boxes[name].grid, boxes[w.projection.target].grid)
        count = f.count * axons.get(w.projection.name, 1)
        into = f.target + first[w.projection.target]
        if outside:
            add(name, np.full_like(into, PORT), into, count)
        elif name in split:
            add(name, *_through(split[name], first[name + "/"], f.source, into, count))
        else:
            add(name, f.source + first[name], into, count)
    for name, s in split.items():  # one message to the relay axon for each spike
        add(name, s.box + first[name], np.arange(len(s.low)) + first[name + "/"], s.high - s.low)
    if not parts:
        empty = np.zeros(0, np.int64)
        return Links(empty, empty, empty, np.zeros(0), sent)
    source, target, kind, messages = (np.concatenate(column) for column in zip(*parts))
    return Links(source, target, kind, messages, sent)


def _through(
    s: truenorth.Splitters, first: int, source: Ints, into: Ints, count: Ints
) -> tuple[Ints, Ints, Floats]:
    """Messages from a box's splitters, shared out evenly over them."""
    order = np.argsort(s.box, kind="stable")
    start = np.searchsorted(s.box[order], source, "left")
    parts = np.searchsorted(s.box[order], source, "right") - start
    row = np.repeat(np.arange(len(source)), parts)
    within = np.arange(len(row)) - np.repeat(np.cumsum(parts) - parts, parts)
    relay = order[np.repeat(start, parts) + within] + first
    return relay, into[row], (count / np.maximum(parts, 1))[row]


def _placed(
    mesh: Mesh | None,
    core: Ints,
    cores: int,
    chips: int,
    links: Links,
    rates: list[float],
    net: SpikingNet,
    seed: int,
) -> tuple[Ints, Traffic]:
    """(chip, column, row) of each core, and what travels."""
    source = np.where(links.source >= 0, core[links.source], PORT) if len(links.source) else links.source
    target = core[links.target] if len(links.target) else links.target
    source, target, kind, count = combined(source, target, links.population, links.count)
    names = tuple(p.name for p in net.populations)
    where = np.full((cores, 3), -1, np.int64)
    where[:, 0] = 0
    if mesh is None or not len(source):
        return where, Traffic(source, target, kind, count, names, 0.0, 0.0, 0.0, 0.0)
    messages = count * np.array(rates)[kind]
    positions = mesh.positions(chips)
    where = positions[:cores]
    before = distances(where, source, target)
    near = mesh.near_port(positions, cores) if chips == 1 else positions
    if len(near) <= MOST_SLOTS:
        found = near[place(graph(len(near), source, target, messages), cores, near[:, 1:], seed)]
        after = distances(found, source, target)
        if messages @ (after[0] + after[1]) <= messages @ (before[0] + before[1]):
            where = found
    ew, ns, crossing = distances(where, source, target)
    return where, Traffic(
        source,
        target,
        kind,
        count,
        names,
        float(messages @ ew),
        float(messages @ ns),
        float(messages @ (before[0] + before[1])),
        float(messages @ crossing),
    )


def distances(where: Ints, source: Ints, target: Ints) -> tuple[Ints, Ints, Ints]:
    """Hops east-west, hops north-south, chip borders of each pair; spikes from outside start at tile (0,
    0).
    """
    start = np.where((source >= 0)[:, None], where[source], 0)
    distance = np.abs(where[target] - start)
    return distance[:, 1], distance[:, 2], (where[target][:, 0] != start[:, 0]).astype(np.int64)
