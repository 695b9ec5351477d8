"""A population made ready for the compiled loops: synapses, parameters, work space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from trine.devices.errors import InputError
from trine.neuromorphic.arithmetic import ACTIVATION_SHIFT, UNITY, Variant, shift
from trine.neuromorphic.engine.compartment import Cells, Rules
from trine.neuromorphic.engine.connect import Runs, connect, to_last
from trine.neuromorphic.engine.feeds import Dense, Feed, Windowed
from trine.neuromorphic.engine.gather import CHUNK, Ends, Table
from trine.neuromorphic.net import INPUT, Array, Population, SpikingNet
from trine.neuromorphic.neuron import Neuron, Parameters, neuron

COMPARTMENTS: Final = ("IF", "LIF", "CubaLIF")  # neurons that `compartment` computes
ROWS_AT_A_TIME: Final = 32  # fewer rows than this in a 16-bit sum are not worth it


@dataclass(frozen=True)
class Synapses:
    """A projection as `gather` reads it. small: work space, all zero; limit: rows whose sum fits it."""

    source: str
    runs: Runs
    table: Table
    ends: Ends
    small: Array
    limit: int
    row: Array
    marks: Array

    def feed(self, source: Any, steps: Array, ring: int) -> Feed:
        """What arrives at some steps, from the event lists of a source; steps: when it was sent."""
        slots = np.where(steps >= 0, steps % ring, -1)
        if self.limit:
            rows, total = self.table.weights.reshape(-1, len(self.row)), np.zeros(len(self.row), np.int32)
            return Dense(
                source.events, source.counts, slots, rows, self.limit, self.ends, self.small, total, self.row,
                self.marks,
            )  # fmt: skip
        return Windowed(
            source.events, source.values, source.counts, slots, self.table, self.runs.graded, self.ends, self.small,
            self.row, self.marks,
        )  # fmt: skip

    @property
    def usual(self) -> bool:
        """8-bit weights in 16-bit sums."""
        return self.table.weights.dtype == np.int8 and self.small.dtype == np.int16


@dataclass(frozen=True)
class Compartments:
    """What `compartment` reads. lasting: currents have a memory, or may leave 24 bits."""

    cells: Cells
    rules: Rules
    lasting: bool


@dataclass(frozen=True)
class Ready:
    """A population. neuron None: an input. compartments None: its integer step is taken in NumPy. flags: work space."""

    population: Population
    neuron: Neuron | None
    parameters: Parameters
    synapses: tuple[Synapses, ...]
    compartments: Compartments | None
    ring: int
    flags: Array

    @property
    def fused(self) -> bool:
        """Whether its neurons take what arrives step by step: one usual projection; others would be more variants to
        compile, seconds each."""
        c = self.compartments
        return c is not None and not c.lasting and len(self.synapses) == 1 and self.synapses[0].usual

    @property
    def chunks(self) -> int:
        """Chunks of neurons."""
        return -(-self.population.size // CHUNK)


def prepare(net: SpikingNet, p: Population, rule: Variant, block: int, spilling: frozenset[str]) -> Ready:
    """A population for blocks of so many steps. spilling: populations whose currents may leave 24 bits.

    Raises InputError for a reset that its neuron does not have, and parameters that do not fit its shape.
    """
    lags = [1 + q.delay_steps for q in net.out_of(p.name)]
    ring = block + max(lags, default=1)
    synapses = tuple(_synapses(q.source, connect(net, q, rule)) for q in net.into(p.name))
    flags = np.zeros(-(-p.size // CHUNK) * CHUNK, np.uint8)
    if p.neuron == INPUT:
        return Ready(p, None, {}, synapses, None, ring, flags)
    kind = neuron(p.neuron)
    if p.reset not in kind.resets and kind.resets != ("none",):
        raise InputError(
            f"population {p.name}: {kind.name} has no reset {p.reset!r}, only {', '.join(kind.resets)}"
        )
    values = kind.values(p.parameters, True, net.dt_s)
    spread = {k: _spread(v, p) for k, v in values.items()}
    compartments = None
    if kind.name in COMPARTMENTS and not np.any(values["refractory_steps"]):
        wild = p.name in spilling or any(s.runs.graded for s in synapses)
        compartments = _compartments(p, spread, rule, wild)
    return Ready(p, kind, values, synapses, compartments, ring, flags)


def _synapses(source: str, r: Runs) -> Synapses:
    """16-bit sums where they pay, else 32-bit ones, which wrap as the chip's do."""
    if r.rows and not r.graded:
        short = r.limit >= ROWS_AT_A_TIME
        limit = r.limit if short else 1 << 30
    else:
        short, limit = not r.graded and r.limit >= r.fan_in, 0
    table = Table(r.weights, r.place, r.weight_base, r.out_base, r.first, r.out, r.weight, r.length)
    small = np.zeros(r.targets, np.int16 if short else np.int32)
    row, marks = np.zeros(r.targets, np.int32), np.zeros(-(-r.targets // CHUNK), np.uint8)
    return Synapses(source, r, table, Ends(r.left, r.right, r.wraps), small, limit, row, marks)


def _spread(value: Any, p: Population) -> Array:
    """A parameter for each neuron, channels last."""
    try:
        return to_last(np.broadcast_to(value, p.shape), p.shape)
    except ValueError:
        raise InputError(
            f"population {p.name}: a parameter of {np.shape(value)} does not fit {p.shape}"
        ) from None


def _compartments(p: Population, values: Mapping[str, Array], rule: Variant, wild: bool) -> Compartments:
    """Decays as shares kept (single numbers where all neurons agree), bias, threshold, rules."""
    same = np.full(p.size, UNITY - 1), np.zeros(p.size, np.int64)
    du, dv = values.get("du", same[0]), values.get("dv", same[1])
    keep_u: Any = (UNITY - (du + 1)) / UNITY
    keep_v: Any = (UNITY - dv) / UNITY
    if (keep_u == keep_u[0]).all() and (keep_v == keep_v[0]).all():
        keep_u, keep_v = keep_u[0], keep_v[0]
    bias = shift(values["bias_mant"], values["bias_exp"]).astype(np.int32)
    theta = (values["vth"] << ACTIVATION_SHIFT) - (0 if rule.strict else 1)
    leaks = bool((dv != 0).any())
    rules = Rules(
        rule.wrap == "twos_complement", np.int32(rule.v_low), np.int32(rule.v_high), np.int32(not rule.strict),
        np.int32(-(p.reset == "subtraction")), np.int32(-(p.reset != "none")), np.int32(-leaks), bool(bias.any()),
        p.reset == "zero",
    )  # fmt: skip
    cells = Cells(keep_u, keep_v, bias, theta.astype(np.int32), values["v_initial"].astype(np.int32))
    lasting = bool((du != UNITY - 1).any()) or np.ndim(keep_v) > 0 or (wild and rule.wrap == "once")
    return Compartments(cells, rules, lasting)
