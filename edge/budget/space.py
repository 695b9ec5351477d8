"""The choices that a budget is made of: for every layer a list of alternatives, each with what it takes and costs.

The list is open: today an alternative is a width of the weights; a width of the activations or another way to run the
layer is one more entry with its own `settings`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from trine.compilers.graph import Graph, Node
from trine.compilers.target import Progress
from trine.devices import EdgeDevice
from trine.edge.budget.measure import Measured, energy_of
from trine.edge.budget.ways import Way
from trine.edge.c.linear import stored_weight_bytes
from trine.edge.c.schedule import schedule_for
from trine.edge.lowbit import WeightBits
from trine.edge.program import IntegerProgram
from trine.edge.quantize.layers import least_error_clips, packable
from trine.edge.quantize.quantize import Plan
from trine.edge.quantize.replay import scored
from trine.edge.running import Compiler


@dataclass(frozen=True)
class Alternative:
    """One way to have one layer.

    form: the kernel code it needs, shared by the layers that need the same. flash_bytes, energy_j: of this layer
    alone. ram_bytes: of the whole deployment while this layer runs. noise: what it adds to the noise of the scores.
    settings: what the lowering is told.
    """

    layer: str
    form: str
    flash_bytes: int
    ram_bytes: int
    energy_j: float
    noise: float
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Space:
    """All alternatives, layer by layer, and what does not depend on them.

    code: bytes of each form's code. flash_bytes, energy_j: of everything else. how: "measured", or "modelled" where
    nothing could be linked. has_energy: whether energies are known. way: how the network is run.
    """

    way: Way
    layers: tuple[tuple[Alternative, ...], ...]
    code: Mapping[str, int]
    flash_bytes: int
    energy_j: float
    has_energy: bool
    how: str

    @cached_property
    def count(self) -> int:
        """How many combinations there are."""
        return int(np.prod([len(layer) for layer in self.layers], dtype=object))

    def total(self, chosen: Sequence[Alternative]) -> dict[str, float]:
        """flash_bytes, ram_bytes, energy_j and noise of one alternative a layer, as predicted."""
        code = sum(self.code[form] for form in {a.form for a in chosen})
        return {
            "flash_bytes": self.flash_bytes + code + sum(a.flash_bytes for a in chosen),
            "ram_bytes": max(a.ram_bytes for a in chosen),
            "energy_j": self.energy_j + sum(a.energy_j for a in chosen),
            "noise": sum(a.noise for a in chosen),
        }


def bits_chosen(chosen: Sequence[Alternative]) -> dict[str, int]:
    """The weights' widths that a choice sets."""
    return {a.settings["weight"]: a.settings["weight_bits"] for a in chosen}


def space_of(
    graph: Graph,
    ranges: Mapping[str, tuple[float, float]],
    noises: Mapping[str, Mapping[int, float]],
    device: EdgeDevice,
    compiler: Compiler,
    progress: Progress,
    way: Way,
) -> Space:
    """Measure the network with every weight at each width, run in one way, and take the layers' parts from that.

    noises: {weight: {bits: noise}}, see `sensitivity`. ranges: of the activations.
    """
    nodes = [node for node in packable(graph) if node.inputs[1] in noises]
    widths = sorted({bits for each in noises.values() for bits in each}, reverse=True)
    programs = {bits: lowered(graph, ranges, {n.inputs[1]: bits for n in nodes}) for bits in widths}
    measured: dict[int, Measured] = {}
    for i, bits in enumerate(widths):
        progress("measuring widths", i, len(widths) + 1)
        measured[bits] = way.measure(programs[bits], device, compiler)
    code, common = code_of_forms(graph, ranges, nodes, measured, device, compiler, way)
    progress("measuring widths", len(widths) + 1, len(widths) + 1)
    shares = {bits: energies(programs[bits], measured[bits], device, graph) for bits in widths}
    stored = {bits: weight_bytes(programs[bits], device) for bits in widths}
    arenas = {
        (node.name, bits): way.arena(with_step(programs[widths[0]], programs[bits], node.name), device)
        for node in nodes
        for bits in widths
    }
    first = widths[0]
    above_arena = measured[first].ram_bytes - measured[first].arena_bytes
    layers = tuple(
        tuple(
            Alternative(
                node.name, f"int{bits}", stored[bits][node.name], above_arena + arenas[node.name, bits],
                shares[bits].get(node.name, 0.0), noises[node.inputs[1]][bits],
                {"weight": node.inputs[1], "weight_bits": bits},
            )
            for bits in widths
        )
        for node in nodes
    )  # fmt: skip
    fixed = measured[first].flash_bytes - measured[first].code_bytes - sum(stored[first].values()) + common
    rest = sum(joules for name, joules in shares[first].items() if name not in {n.name for n in nodes})
    has_energy = all(m.energy_j is not None for m in measured.values())
    return Space(way, layers, code, fixed, rest, has_energy, measured[first].how)


def lowered(graph: Graph, ranges: Mapping[str, tuple[float, float]], bits: WeightBits) -> IntegerProgram:
    """The network with given widths and no refinement: sizes and counts do not depend on the values."""
    low = {name: width for name, width in bits.items() if width != 8}
    plan = Plan(scored(graph), ranges, least_error_clips(graph, low), low)
    return plan.lower("exact").program


def code_of_forms(
    graph: Graph,
    ranges: Mapping[str, tuple[float, float]],
    nodes: Sequence[Node],
    measured: Mapping[int, Measured],
    device: EdgeDevice,
    compiler: Compiler,
    way: Way,
) -> tuple[dict[str, int], int]:
    """({form: bytes of its own code}, bytes of the code that all have).

    From the network at each width and one that mixes all: k + 1 measurements of k forms and a common part.
    """
    widths = list(measured)
    alone = [measured[bits].code_bytes for bits in widths]
    if len(widths) == 1 or len(nodes) < len(widths):
        common = min(alone)
    else:
        mixed = {node.inputs[1]: widths[i % len(widths)] for i, node in enumerate(nodes)}
        together = way.measure(lowered(graph, ranges, mixed), device, compiler).code_bytes
        common = int(np.clip((sum(alone) - together) // (len(widths) - 1), 0, min(alone)))
    return {f"int{bits}": code - common for bits, code in zip(widths, alone, strict=True)}, common


def weight_bytes(program: IntegerProgram, device: EdgeDevice) -> dict[str, int]:
    """Flash of each layer's weights, padding included."""
    schedule = schedule_for(device.core)
    return {
        step.name: stored_weight_bytes(step, schedule)
        for step in program.steps
        if step.kernel in ("conv", "dense")
    }


def energies(
    program: IntegerProgram, measured: Measured, device: EdgeDevice, graph: Graph
) -> dict[str, float]:
    """Joules of each step; where the emulator counts no layers, the whole by multiply-accumulates."""
    if measured.instructions is None or measured.energy_j is None:
        return {}
    if measured.by_step:
        return {name: energy_of(device, count) or 0.0 for name, count in measured.by_step.items() if count}
    macs = graph.macs_by_node()
    return {name: measured.energy_j * count / sum(macs.values()) for name, count in macs.items()}


def with_step(first: IntegerProgram, other: IntegerProgram, name: str) -> IntegerProgram:
    """A program in which one step is another program's."""
    return first.with_steps(
        tuple(b if a.name == name else a for a, b in zip(first.steps, other.steps, strict=True))
    )
