"""Event counts spread over cores and layers: what a mapping makes of a run's `Events`.

Totals are exact. Within a population spikes are shared by `spikes_by_neuron` where the engine gave them, all
else evenly by neurons and synapses: single cores are estimates where a layer lies on several.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trine.neuromorphic.events import Events
from trine.neuromorphic.mapping.cores import distances
from trine.neuromorphic.mapping.records import Mapping, Piece
from trine.neuromorphic.net import INPUT, SpikingNet

Floats = NDArray[np.float64]

QUANTITIES: Final = (
    "dense_operations",
    "conv_operations",
    "sparse_operations",
    "accesses",
    "updates",
    "idle",
    "spikes",
    "packets",
    "packets_in",
    "hops_ew",
    "hops_ns",
    "chip_crossings",
)
"""Columns of `Counts.table`. accesses: neurons x steps; idle: accesses that are no updates; spikes: of
neurons that compute; packets: messages sent, input populations' among them.
"""

KIND: Final = {
    "dense": "dense_operations",
    "conv": "conv_operations",
    "pool": "conv_operations",
    "identity": "sparse_operations",
}


@dataclass(frozen=True)
class Counts:
    """table: (rows, QUANTITIES), summed over the run. layer: population of each row; core: its core, -1
    outside.
    """

    table: Floats
    layer: tuple[str, ...]
    core: NDArray[np.int64]

    def total(self, quantity: str) -> float:
        """Sum of one column."""
        return float(self.table[:, QUANTITIES.index(quantity)].sum())

    def by_core(self, cores: int) -> Floats:
        """(cores, QUANTITIES)."""
        result = np.zeros((cores, len(QUANTITIES)))
        inside = self.core >= 0
        np.add.at(result, self.core[inside], self.table[inside])
        return result


def count(net: SpikingNet, mapping: Mapping, events: Events) -> Counts:
    """Counts of a run on a mapping. Raises InputError for events of another net, AnswerIsNo for a net that
    does not fit.
    """
    mapping.check()
    events.check(net)
    rows: list[tuple[str, int, dict[str, float]]] = []
    neuron_steps = events.steps * events.examples
    into: dict[str, dict[str, float]] = {p.name: {} for p in net.populations}
    for projection in net.projections:
        kind = KIND[projection.kind]
        amount = events.projections[projection.name].synaptic_operations
        into[projection.target][kind] = into[projection.target].get(kind, 0.0) + amount
    pieces: dict[str, list[Piece]] = {}
    for piece in mapping.pieces:
        if piece.role == "neurons":
            pieces.setdefault(piece.population, []).append(piece)
    for p in net.populations:
        if p.neuron == INPUT:
            continue
        seen = events.populations[p.name]
        joined = sum(piece.synapses for piece in pieces[p.name])
        for piece in pieces[p.name]:
            share = piece.neurons / p.size
            synapses = piece.synapses / joined if joined else share
            spikes = _spikes(piece, p.shape, seen.spikes_by_neuron, seen.spikes * share)
            row = {kind: amount * synapses for kind, amount in into[p.name].items()}
            accesses, updates = piece.neurons * neuron_steps, seen.updates * share
            row |= {"accesses": accesses, "updates": updates, "idle": accesses - updates, "spikes": spikes}
            rows.append((p.name, piece.core, row))
    rows += _messages(mapping, events)
    table = np.array([[row.get(q, 0.0) for q in QUANTITIES] for _, _, row in rows]).reshape(
        -1, len(QUANTITIES)
    )
    return Counts(
        table, tuple(name for name, _, _ in rows), np.array([core for _, core, _ in rows], np.int64)
    )


def _spikes(piece: Piece, shape: tuple[int, ...], by_neuron: NDArray[np.int64] | None, even: float) -> float:
    if by_neuron is None:
        return even
    box = tuple(slice(low, high) for low, high in zip(piece.low, piece.high))
    return float(by_neuron.reshape(shape)[box].sum())


def _messages(mapping: Mapping, events: Events) -> list[tuple[str, int, dict[str, float]]]:
    """Packets by sending core and population, and arrivals by receiving core."""
    traffic = mapping.traffic
    if traffic is None or not len(traffic.source):
        return []
    spikes_per_neuron = np.array(
        [events.populations[n].spikes / events.populations[n].neurons for n in traffic.populations]
    )
    sent = traffic.count * spikes_per_neuron[traffic.population]
    ew, ns, crossing = distances(mapping.placement, traffic.source, traffic.target)
    known = mapping.placement[:1, 1] >= 0
    columns = {
        "packets": sent,
        "hops_ew": sent * ew * known,
        "hops_ns": sent * ns * known,
        "chip_crossings": sent * crossing,
    }
    key = np.stack([traffic.population, traffic.source], 1)
    groups, where = np.unique(key, axis=0, return_inverse=True)
    summed = {name: np.bincount(where.ravel(), weights=values) for name, values in columns.items()}
    rows = [
        (traffic.populations[population], int(source), {name: float(s[i]) for name, s in summed.items()})
        for i, (population, source) in enumerate(groups.tolist())
    ]
    key = np.stack([traffic.population, traffic.target], 1)
    groups, where = np.unique(key, axis=0, return_inverse=True)
    arrived = np.bincount(where.ravel(), weights=sent)
    rows += [
        (traffic.populations[population], int(target), {"packets_in": float(arrived[i])})
        for i, (population, target) in enumerate(groups.tolist())
    ]
    return rows
