"""The engine: populations in order of the graph, blocks of steps, tiles of samples; loops in `kernels`.

A projection takes at least one step, so a population without a cycle can run a whole block of steps at once, and
populations in a cycle as many as the shortest lag among them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import numpy as np

from trine.devices.errors import InputError, MissingExtra
from trine.neuromorphic.arithmetic import ACTIVATION_SHIFT, UNITY, Variant, shift, variant
from trine.neuromorphic.engine.connect import Runs, connect, from_last, to_last
from trine.neuromorphic.engine.definition import active, define, sends
from trine.neuromorphic.engine.order import groups
from trine.neuromorphic.engine.result import Counts, Probes, Result, inputs_of, probes_of
from trine.neuromorphic.fixed_point import overflows
from trine.neuromorphic.loihi_lif import phases, zeros
from trine.neuromorphic.net import INPUT, Array, Population, SpikingNet
from trine.neuromorphic.neuron import Moment, Neuron, Parameters, neuron

COMPARTMENTS = ("IF", "LIF", "CubaLIF")  # neurons the compiled kernel computes
BLOCK_STEPS = 256
WORKING_SET = 1 << 21  # bytes of synaptic sums handled at a time: about a second-level cache


def run(net: SpikingNet, inputs: Mapping[str, Array], steps: int, probes: Probes | None = None) -> Result:
    """Simulate an integer net event by event; equals `definition.define` bit for bit. Real-valued nets go there.

    inputs: whole numbers [batch, steps, *shape] by name of input population, silent after their end; every
    sample starts from the resting state. probes: variables by population ("spikes", "counts", "u", "v", ...), by
    default the spikes of the outputs. Raises InputError for bad input, MissingExtra without numba.
    """
    if net.arithmetic == "float":
        return define(net, inputs, steps, probes)
    return Simulator(net).run(inputs, steps, probes)


class Simulator:
    """An integer net made ready once, for many runs. The net's arrays must not change meanwhile."""

    def __init__(self, net: SpikingNet) -> None:
        """Lay out synapses and parameters. Raises InputError for an inconsistent net, MissingExtra without numba."""
        if find_spec("numba") is None:
            raise MissingExtra("numba", "neuromorphic", "the native simulator of integer nets")
        net.check()
        self.net, self.rule = net, variant(net.arithmetic)
        largest = max(p.size for p in net.populations)
        self.block = max(1, min(BLOCK_STEPS, WORKING_SET // (4 * largest)))
        self.order = groups(net)
        spilling = frozenset(o.population for o in overflows(net))
        self.kinds = {p.name: _kind(net, p, self.rule, self.block, spilling) for p in net.populations}

    def run(self, inputs: Mapping[str, Array], steps: int, probes: Probes | None = None) -> Result:
        """As the function `run`."""
        given, batch = inputs_of(self.net, inputs, steps)
        work = _Run(self, steps, batch, probes_of(self.net, probes))
        tile = work.tile()
        for first in range(0, batch, tile):
            work.samples(
                {k: x[first : first + tile] for k, x in given.items()}, first, min(tile, batch - first)
            )
        return work.result()


@dataclass
class _Tile:
    """Buffers of one population for the samples at hand."""

    events: Array
    values: Array
    counts: Array
    state: dict[str, Array]
    resting: Array
    data: Array | None = None


@dataclass
class _Kind:
    """A population made ready: parameters, synapses, work space."""

    population: Population
    neuron: Neuron | None
    parameters: Parameters
    runs: list[tuple[str, Runs]]
    compiled: bool
    small: Array
    ring: int = 0
    constants: dict[str, Any] = field(default_factory=dict)


class _Run:
    """One simulation: what is fixed, and what is gathered over tiles of samples."""

    def __init__(self, ready: Simulator, steps: int, batch: int, probes: Probes) -> None:
        net = ready.net
        self.net, self.steps, self.batch, self.probes = net, steps, batch, probes
        self.rule, self.order, self.kinds = ready.rule, ready.order, ready.kinds
        self.block = min(ready.block, steps)
        self.sums = np.zeros(0, np.int32)
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

    def tile(self) -> int:
        """Samples at a time: few where the kernels do everything, many where a step costs calls from Python."""
        widest = max(p.size for p in self.net.populations)
        plain = any(not k.compiled and k.neuron is not None for k in self.kinds.values())
        cyclic = any(lag for _, lag in self.order)
        room = WORKING_SET * (64 if plain or cyclic else 1)
        return max(1, min(self.batch, room // (4 * widest * self.block)))

    def samples(self, inputs: Mapping[str, Array], first: int, batch: int) -> None:
        """All steps of some samples."""
        tiles = {name: self._tile(kind, batch) for name, kind in self.kinds.items()}
        for name, x in inputs.items():
            tiles[name].data = to_last(
                x if x.dtype == np.int8 else x.astype(np.int32), self.net.population(name).shape
            )
        for start in range(0, self.steps, self.block):
            stop = min(start + self.block, self.steps)
            for names, lag in self.order:
                hop = lag or stop - start
                for at in range(start, stop, hop):
                    for name in names:
                        self._advance(name, tiles, at, min(at + hop, stop), first)

    def _tile(self, kind: _Kind, batch: int) -> _Tile:
        from trine.neuromorphic.engine.kernels import CHUNK

        p, ring = kind.population, kind.ring
        graded = kind.neuron is None or kind.neuron.graded
        state: dict[str, Array] = {}
        if kind.neuron is not None:
            made = zeros(kind.neuron.states, p.shape, batch, np.int64, kind.parameters)
            state = made
            if kind.compiled:
                state = {k: to_last(made[k], p.shape).astype(np.int32) for k in ("u", "v")}
        return _Tile(
            np.zeros((batch, ring, p.size + 1), np.uint16 if p.size <= 1 << 16 else np.uint32),
            np.zeros((batch, ring, p.size if graded else 0), np.int32),
            np.zeros((batch, ring), np.int64),
            state,
            np.zeros((batch, -(-p.size // CHUNK)), np.uint8),
        )

    def _advance(self, name: str, tiles: Mapping[str, _Tile], start: int, stop: int, first: int) -> None:
        """One population over some steps: gather, step, note what it sent."""
        from trine.neuromorphic.engine import kernels

        kind, tile = self.kinds[name], tiles[name]
        batch = tile.counts.shape[0]
        if kind.neuron is None:
            messages = np.zeros((batch, 0, 0)) if tile.data is None else tile.data[:, start:stop]
            kernels.collect(
                messages, start % kind.ring, tile.events, tile.values, tile.counts, self.counts[name], True
            )
        else:
            acc = self._sums(batch, stop - start, kind.population.size)
            seen = np.zeros((batch, stop - start), np.int64)
            for source, runs in kind.runs:
                self._gather(runs, tiles[source], self.kinds[source].ring, start, kind.small, acc, seen)
            if kind.compiled:
                self._compartments(kind, tile, acc, seen, start, first)
            else:
                self._plain(kind, tile, acc, start, first)
        slots = np.arange(start, stop) % kind.ring
        counts = tile.counts[:, slots]
        if sends(self.net, name):
            self.sent[name][first : first + batch] += counts.sum(axis=1)
            self.per_step[name][start:stop] += counts.sum(axis=0)
        self._keep_spikes(name, kind, tile, slots, start, first)

    def _sums(self, *shape: int) -> Array:
        """Zeroed room for synaptic sums, the same memory each time."""
        wanted = int(np.prod(shape))
        if wanted > self.sums.size:
            self.sums = np.zeros(wanted, np.int32)
        room = self.sums[:wanted].reshape(shape)
        room.fill(0)
        return room

    def _gather(
        self, r: Runs, source: _Tile, ring: int, start: int, small: Array, acc: Array, seen: Array
    ) -> None:
        """Add what a projection delivers to acc."""
        from trine.neuromorphic.engine import kernels

        then = np.arange(start, start + acc.shape[1]) - r.lag
        slots = np.where(then >= 0, then % ring, -1)
        total = np.zeros(acc.shape[2], np.int32)
        ends = (r.left, r.right, r.wraps)
        shape = (
            r.weights,
            r.channels,
            r.first,
            r.out,
            r.weight,
            r.length,
            r.group_in,
            r.group_out,
            r.weight_stride,
        )
        lists = (source.events, source.counts, slots)
        peak = r.peak if small.dtype == np.int16 else 1
        if r.graded:
            kernels.add_graded(
                source.events, source.values, source.counts, slots, *shape, *ends, total, acc, seen
            )
        elif r.rows:
            kernels.add_rows(*lists, r.weights.reshape(-1, r.targets), peak, *ends, small, total, acc, seen)
        else:
            kernels.add_runs(*lists, *shape, peak, *ends, small, total, acc, seen)

    def _compartments(
        self, kind: _Kind, tile: _Tile, acc: Array, seen: Array, start: int, first: int
    ) -> None:
        """The compiled neuron over a block."""
        from trine.neuromorphic.engine import kernels

        name, c, rule = kind.population.name, kind.constants, self.rule
        batch, steps, size = acc.shape
        takes, fires, clears = phases(kind.parameters, np.arange(start, start + steps))
        spikes = np.zeros(-(-size // 8) * 8, np.uint8)
        kept = self.kept.get(name, {})
        probe = [kept.get(v, np.zeros((0, 0, 0), np.int32)) for v in ("u", "v")]
        kernel = kernels.lif_lasting if c["lasting"] else kernels.lif_direct
        kernel(
            acc, seen, tile.state["u"], tile.state["v"], tile.resting, c["keep_u"], c["keep_v"], c["bias"], c["theta"],
            c["v_start"], takes + 2 * fires + 4 * clears, rule.wrap == "twos_complement", rule.v_low, rule.v_high,
            int(not rule.strict), kind.population.reset == "subtraction", kind.population.reset != "none",
            bool(np.any(c["bias"])), spikes, spikes.view(np.uint64), start % kind.ring, tile.events, tile.counts,
            self.counts[name], self.updates[name][first : first + batch], *probe, first, start,
        )  # fmt: skip

    def _plain(self, kind: _Kind, tile: _Tile, acc: Array, start: int, first: int) -> None:
        """Any other neuron: its integer step, one step of all samples at a time."""
        from trine.neuromorphic.engine import kernels

        p, model = kind.population, kind.neuron
        assert model is not None
        batch, steps, _ = acc.shape
        rows = slice(first, first + batch)
        currents = from_last(acc, p.shape).astype(np.int64)
        messages = np.zeros(acc.shape, np.int32)
        for t in range(steps):
            moment = Moment(start + t, self.net.dt_s, p.reset, self.rule)
            new, sent = model.integer_step(tile.state, currents[:, t], kind.parameters, moment)
            busy = active(model, kind.parameters, tile.state, new, currents[:, t], sent, start + t)
            self.updates[p.name][rows] += busy.reshape(batch, -1).sum(axis=1)
            tile.state = new
            messages[:, t] = to_last(sent, p.shape)
            for variable, room in self.kept.get(p.name, {}).items():
                if variable in new:
                    room[rows, start + t] = to_last(new[variable], p.shape)
        counted = self.counts[p.name] if sends(self.net, p.name) else np.zeros(p.size, np.int64)
        graded = model.graded
        kernels.collect(messages, start % kind.ring, tile.events, tile.values, tile.counts, counted, graded)

    def _keep_spikes(self, name: str, kind: _Kind, tile: _Tile, slots: Array, start: int, first: int) -> None:
        """Copy event lists to the probes "spikes" and "counts"."""
        from trine.neuromorphic.engine import kernels

        kept = self.kept.get(name, {})
        if not ("spikes" in kept or "counts" in kept):
            return
        spikes = kept.get("spikes", np.zeros((0, 0, 0), np.int32))
        sums = kept.get("counts") if sends(self.net, name) else None
        kernels.scatter(
            tile.events, tile.values, tile.counts, slots, tile.values.shape[2] > 0, spikes,
            np.zeros((0, 0), np.int64) if sums is None else sums, first, start,
        )  # fmt: skip

    def result(self) -> Result:
        """Everything in the shapes of the net."""
        shapes = {p.name: p.shape for p in self.net.populations}
        probes = {
            name: {v: from_last(x, shapes[name]) for v, x in kept.items()} for name, kept in self.kept.items()
        }
        counts = {name: from_last(x, shapes[name]) for name, x in self.counts.items()}
        return Result(self.batch, self.steps, probes, counts, self.sent, self.per_step, self.updates)


def _kind(net: SpikingNet, p: Population, rule: Variant, block: int, spilling: frozenset[str]) -> _Kind:
    """A population, its synapses and parameters. Raises InputError for a reset its neuron does not have."""
    lags = [1 + q.delay_steps for q in net.out_of(p.name)]
    ring = block + max(lags, default=1)
    runs = [(q.source, connect(net, q, rule)) for q in net.into(p.name)]
    wide = np.int16 if all(r.weights.dtype == np.int8 for _, r in runs) else np.int32
    small = np.zeros(p.size, wide)
    if p.neuron == INPUT:
        return _Kind(p, None, {}, runs, False, small, ring)
    kind = neuron(p.neuron)
    if p.reset not in kind.resets and kind.resets != ("none",):
        raise InputError(
            f"population {p.name}: {kind.name} has no reset {p.reset!r}, only {', '.join(kind.resets)}"
        )
    values = kind.values(p.parameters, True, net.dt_s)
    wild = rule.wrap == "once" and (p.name in spilling or any(r.graded for _, r in runs))
    compiled = kind.name in COMPARTMENTS and not np.any(values["refractory_steps"])
    spread = {k: _spread(v, p) for k, v in values.items()}
    constants = _constants(p, spread, rule, wild) if compiled else {}
    return _Kind(p, kind, values, runs, compiled, small, ring, constants)


def _spread(value: Any, p: Population) -> Array:
    """A parameter for each neuron, channels last."""
    try:
        return to_last(np.broadcast_to(value, p.shape), p.shape)
    except ValueError:
        raise InputError(
            f"population {p.name}: a parameter of {np.shape(value)} does not fit {p.shape}"
        ) from None


def _constants(p: Population, values: Mapping[str, Array], rule: Variant, wild: bool) -> dict[str, Any]:
    """What the compiled kernel reads: decays kept (single numbers where all neurons agree), bias, threshold."""
    same = np.full(p.size, 4095), np.zeros(p.size, np.int64)
    du, dv = values.get("du", same[0]), values.get("dv", same[1])
    theta = (values["vth"] << ACTIVATION_SHIFT) - (0 if rule.strict else 1)
    bias = shift(values["bias_mant"], values["bias_exp"])
    keep_u: Any = (UNITY - (du + 1)).astype(np.int32)
    keep_v: Any = (UNITY - dv).astype(np.int32)
    if (keep_u == keep_u[0]).all() and (keep_v == keep_v[0]).all():
        keep_u, keep_v = keep_u[0], keep_v[0]
    return {
        "keep_u": keep_u,
        "keep_v": keep_v,
        "lasting": bool((du != 4095).any()) or np.ndim(keep_v) > 0 or wild,
        "bias": bias.astype(np.int32),
        "theta": theta.astype(np.int32),
        "v_start": values["v_initial"].astype(np.int32),
    }
