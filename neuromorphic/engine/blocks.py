"""One simulation, block by block: a projection takes at least one step, so a population without a cycle can run a whole
block of steps at once, and populations in a cycle as many as the shortest lag among them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trine.neuromorphic.arithmetic import Variant
from trine.neuromorphic.engine.compartment import Probed, Sent, States, lif_direct, lif_lasting
from trine.neuromorphic.engine.connect import from_last, to_last
from trine.neuromorphic.engine.definition import active, sends
from trine.neuromorphic.engine.feeds import Feed, Summed, add_up
from trine.neuromorphic.engine.lists import collect, scatter
from trine.neuromorphic.engine.prepared import Ready
from trine.neuromorphic.engine.result import Counts, Probes, Result
from trine.neuromorphic.loihi_lif import phases, zeros
from trine.neuromorphic.net import INPUT, Array, Population, SpikingNet
from trine.neuromorphic.neuron import Moment

NOTHING = np.zeros((0, 0, 0), np.int32)


@dataclass
class Tile:
    """Buffers of one population for the samples at hand. values: room for graded messages only."""

    events: Array
    values: Array
    counts: Array
    state: dict[str, Array]
    standing: Array
    data: Array


class Run:
    """What is fixed in a simulation, and what is gathered over tiles of samples."""

    def __init__(
        self, net: SpikingNet, rule: Variant, order: Sequence[tuple[tuple[str, ...], int]],
        ready: Mapping[str, Ready], block: int, steps: int, batch: int, probes: Probes,
    ) -> None:  # fmt: skip
        self.net, self.rule, self.order, self.ready = net, rule, order, ready
        self.block, self.steps, self.batch, self.probes = block, steps, batch, probes
        self.sums = np.zeros(0, np.int32)
        self.lists: dict[str, tuple[Array, Array, Array]] = {}
        self.counts: dict[str, Counts] = {p.name: np.zeros(p.size, np.int64) for p in net.populations}
        self.sent: dict[str, Counts] = {p.name: np.zeros(batch, np.int64) for p in net.populations}
        self.per_step: dict[str, Counts] = {p.name: np.zeros(steps, np.int64) for p in net.populations}
        self.updates: dict[str, Counts] = {
            p.name: np.zeros(batch, np.int64) for p in net.populations if p.neuron != INPUT
        }
        self.kept: dict[str, dict[str, Array]] = {
            name: {v: self._room(net.population(name), v) for v in variables}
            for name, variables in probes.items()
        }

    def _room(self, p: Population, variable: str) -> Array:
        shape = (self.batch, p.size) if variable == "counts" else (self.batch, self.steps, p.size)
        return np.zeros(shape, np.int64 if variable == "counts" else np.int32)

    def samples(self, inputs: Mapping[str, Array], first: int, batch: int) -> None:
        """All steps of some samples."""
        tiles = {name: self._tile(name, batch, inputs.get(name)) for name in self.ready}
        for start in range(0, self.steps, self.block):
            stop = min(start + self.block, self.steps)
            for names, lag in self.order:
                hop = lag or stop - start
                for at in range(start, stop, hop):
                    for name in names:
                        self._advance(name, tiles, at, min(at + hop, stop), first)

    def _tile(self, name: str, batch: int, data: Array | None) -> Tile:
        """Buffers at rest. Lists of events are the same memory each time: what is read of them was written before."""
        ready = self.ready[name]
        p, ring = ready.population, ready.ring
        if name not in self.lists:
            graded = ready.neuron is None or ready.neuron.graded
            self.lists[name] = (
                np.empty((batch, ring, p.size), np.uint16 if p.size <= 1 << 16 else np.uint32),
                np.empty((batch, ring, p.size if graded else 0), np.int32),
                np.zeros((batch, ring), np.int64),
            )
        state: dict[str, Array] = {}
        if ready.neuron is not None:
            state = zeros(ready.neuron.states, p.shape, batch, np.int64, ready.parameters)
        if ready.compartments is not None:
            state = {k: to_last(state[k], p.shape).astype(np.int32) for k in ("u", "v")}
        if data is None:
            data = np.zeros((batch, 0, *p.shape), np.int8)
        events, values, counts = (x[:batch] for x in self.lists[name])
        standing = np.full((batch, ready.chunks), -1, np.int32)
        return Tile(
            events, values, counts, state, standing,
            to_last(data if data.dtype == np.int8 else data.astype(np.int32), p.shape),
        )  # fmt: skip

    def _advance(self, name: str, tiles: Mapping[str, Tile], start: int, stop: int, first: int) -> None:
        """One population over some steps: gather, step, note what it sent."""
        ready, tile = self.ready[name], tiles[name]
        batch = len(tile.counts)
        if ready.neuron is None:
            self._collect(ready, tile, tile.data[:, start:stop], start)
        else:
            steps = np.arange(start, stop)
            feeds: list[Feed] = [
                s.feed(tiles[s.source], (steps - s.runs.lag), self.ready[s.source].ring)
                for s in ready.synapses
            ]
            if not ready.fused:
                acc = self._sums(batch, stop - start, ready.population.size)
                touched = np.zeros((batch, stop - start, ready.chunks), np.uint8)
                for feed in feeds:
                    add_up(feed, acc, touched)
                feeds = [Summed(acc, touched)]
            if ready.compartments is not None:
                self._compartments(ready, tile, feeds[0], steps, first)
            else:
                self._plain(ready, tile, acc, start, first)
        slots = np.arange(start, stop) % ready.ring
        counts = tile.counts[:, slots]
        if sends(self.net, name):
            self.sent[name][first : first + batch] += counts.sum(axis=1)
            self.per_step[name][start:stop] += counts.sum(axis=0)
        self._keep_spikes(name, tile, slots, start, first)

    def _sums(self, *shape: int) -> Array:
        """Room for synaptic sums, all zero: the same memory each time, left as it was found."""
        wanted = int(np.prod(shape))
        if wanted > self.sums.size:
            self.sums = np.zeros(wanted, np.int32)
        return self.sums[:wanted].reshape(shape)

    def _collect(self, ready: Ready, tile: Tile, messages: Array, start: int) -> None:
        """Messages [batch, steps, neurons] of some steps to lists of events."""
        counted = self.counts[ready.population.name]
        if not sends(self.net, ready.population.name):
            counted = np.zeros_like(counted)
        collect(messages, start % ready.ring, ready.flags, tile.events, tile.values, tile.counts, counted)

    def _compartments(self, ready: Ready, tile: Tile, feed: Feed, steps: Array, first: int) -> None:
        """The compiled neuron over a block."""
        c, name = ready.compartments, ready.population.name
        assert c is not None
        takes, fires, clears = phases(ready.parameters, steps)
        ready.flags.fill(0)
        updates = self.updates[name][first : first + len(tile.counts)]
        kept = self.kept.get(name, {})
        lif = lif_lasting if c.lasting else lif_direct
        lif(
            feed, takes + 2 * fires + 4 * clears, c.cells, c.rules,
            States(tile.state["u"], tile.state["v"], tile.standing),
            Sent(tile.events, tile.counts, self.counts[name], updates, ready.flags), steps[0] % ready.ring,
            Probed(kept.get("u", NOTHING), kept.get("v", NOTHING), first, steps[0]),
        )  # fmt: skip

    def _plain(self, ready: Ready, tile: Tile, acc: Array, start: int, first: int) -> None:
        """Any other neuron: its integer step, one step of all samples at a time."""
        p, model = ready.population, ready.neuron
        assert model is not None
        batch, steps, _ = acc.shape
        rows = slice(first, first + batch)
        currents = from_last(acc, p.shape).astype(np.int64)
        messages = np.zeros(acc.shape, np.int32)
        acc.fill(0)
        for t in range(steps):
            moment = Moment(start + t, self.net.dt_s, p.reset, self.rule)
            new, sent = model.integer_step(tile.state, currents[:, t], ready.parameters, moment)
            busy = active(model, ready.parameters, tile.state, new, currents[:, t], sent, start + t)
            self.updates[p.name][rows] += busy.reshape(batch, -1).sum(axis=1)
            tile.state = new
            messages[:, t] = to_last(sent, p.shape)
            for variable, room in self.kept.get(p.name, {}).items():
                if variable in new:
                    room[rows, start + t] = to_last(new[variable], p.shape)
        self._collect(ready, tile, messages, start)

    def _keep_spikes(self, name: str, tile: Tile, slots: Array, start: int, first: int) -> None:
        """Copy event lists to the probes "spikes" and "counts"."""
        kept = self.kept.get(name, {})
        spikes = kept.get("spikes", NOTHING)
        sums = kept["counts"] if "counts" in kept and sends(self.net, name) else np.zeros((0, 0), np.int64)
        if spikes.size or sums.size:
            scatter(tile.events, tile.values, tile.counts, slots, spikes, sums, first, start)

    def result(self) -> Result:
        """Everything in the shapes of the net."""
        shapes = {p.name: p.shape for p in self.net.populations}
        probes = {
            name: {v: from_last(x, shapes[name]) for v, x in kept.items()} for name, kept in self.kept.items()
        }
        counts = {name: from_last(x, shapes[name]) for name, x in self.counts.items()}
        return Result(self.batch, self.steps, probes, counts, self.sent, self.per_step, self.updates)
