"""From a network to the space of its choices: it is measured at each width, and its layers' parts come from that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from trine.compilers.graph import Graph, Node
from trine.compilers.target import Progress
from trine.devices import EdgeDevice
from trine.edge.budget.measure import Measured, energy_of
from trine.edge.budget.space import Alternative, Space, Widths
from trine.edge.budget.ways import Way
from trine.edge.c.linear import stored_weight_bytes
from trine.edge.c.schedule import schedule_for
from trine.edge.fusing import fusions
from trine.edge.program import IntegerProgram
from trine.edge.quantize.layers import least_error_clips, packable
from trine.edge.quantize.quantize import Plan
from trine.edge.quantize.replay import scored
from trine.edge.running import Compiler

Variant = tuple[int, int]  # bits of the weights and of the activations, alike for all layers
WIDE: Variant = (8, 16)


@dataclass(frozen=True)
class Noises:
    """What a width alone adds to the noise of the scores: {weight: {bits: noise}}, {activation: {bits: noise}}.

    activations: empty where they have 8 bits whatever is chosen.
    """

    weights: Mapping[str, Mapping[int, float]]
    activations: Mapping[str, Mapping[int, float]] = field(default_factory=dict)

    def of(self, weight: str, activation: str, variant: Variant) -> float:
        """Of a layer: its weights and what it writes."""
        wide = self.activations.get(activation, {}).get(variant[1], 0.0)
        return wide + (self.weights[weight][variant[0]] if weight else 0.0)


def form_of(variant: Variant) -> str:
    """The kernel code that a variant needs."""
    return f"int{variant[0]}" if variant != WIDE else "int8x16"


def lowered(graph: Graph, ranges: Mapping[str, tuple[float, float]], widths: Widths) -> IntegerProgram:
    """The network with given widths and no refinement: sizes and counts do not depend on the values."""
    low = {name: width for name, width in widths.weights.items() if width != 8}
    plan = Plan(scored(graph), ranges, least_error_clips(graph, low), low, widths.activations)
    return plan.lower("exact").program


@dataclass(frozen=True)
class Survey:
    """A network, what may be chosen in it, and the device it is measured for. ranges: of the activations."""

    graph: Graph
    ranges: Mapping[str, tuple[float, float]]
    noises: Noises
    device: EdgeDevice
    compiler: Compiler
    progress: Progress
    way: Way

    @cached_property
    def nodes(self) -> list[Node]:
        """Layers with weights whose width may be chosen."""
        return [node for node in packable(self.graph) if node.inputs[1] in self.noises.weights]

    @cached_property
    def writes(self) -> dict[str, str]:
        """The activation that each such layer writes, behind an activation function that is fused into it."""
        fused = fusions(self.graph)
        return {n.name: fused.get(n.name, n).outputs[0] for n in self.nodes}

    @cached_property
    def alone(self) -> list[str]:
        """Activations that no such layer writes and whose width may be chosen."""
        return [name for name in self.noises.activations if name not in self.writes.values()]

    @cached_property
    def variants(self) -> list[Variant]:
        """Widths that all layers may have, 8 x 8 first."""
        bits = sorted({b for each in self.noises.weights.values() for b in each}, reverse=True)
        return [(b, 8) for b in bits] + ([WIDE] if self.noises.activations else [])

    def program(self, variants: Sequence[Variant], alone: int = 8) -> IntegerProgram:
        """The network with a variant for each layer, and the other activations in `alone` bits."""
        weights, activations = {}, dict.fromkeys(self.alone, alone)
        for node, (bits, wide) in zip(self.nodes, variants, strict=True):
            weights[node.inputs[1]], activations[self.writes[node.name]] = bits, wide
        return self.lowered(weights, activations)

    def lowered(self, weights: Mapping[str, int], activations: Mapping[str, int]) -> IntegerProgram:
        """The network with given widths."""
        return lowered(
            self.graph, self.ranges, Widths(weights, {n: b for n, b in activations.items() if b != 8})
        )

    def measure(self, program: IntegerProgram) -> Measured:
        """What a program takes, run this way."""
        return self.way.measure(program, self.device, self.compiler)

    def arena(self, weights: Mapping[str, int], activations: Mapping[str, int]) -> int:
        """Bytes of the arena with given widths."""
        return self.way.arena(self.lowered(weights, activations), self.device)

    def space(self) -> Space:
        """Every alternative with its costs."""
        programs = {v: self.program([v] * len(self.nodes), v[1]) for v in self.variants}
        measured: dict[Variant, Measured] = {}
        for i, (variant, program) in enumerate(programs.items()):
            self.progress("measuring widths", i, len(programs) + 1)
            measured[variant] = self.measure(program)
        code, common = self.code_of_forms(measured)
        self.progress("measuring widths", len(programs) + 1, len(programs) + 1)
        energies = {v: self.energies(programs[v], measured[v]) for v in self.variants}
        stored = {v: weight_bytes(programs[v], self.device) for v in self.variants}
        first = self.variants[0]
        layers = [self.layer(node, measured, stored, energies) for node in self.nodes]
        layers += [self.activation(name, programs, measured, energies) for name in self.alone]
        taken = {a.layer for layer in layers for a in layer}
        fixed = (
            measured[first].flash_bytes - measured[first].code_bytes - sum(stored[first].values()) + common
        )
        rest = sum(joules for name, joules in energies[first].items() if name not in taken)
        has_energy = all(m.energy_j is not None for m in measured.values())
        return Space(self.way, tuple(layers), code, fixed, rest, has_energy, measured[first].how)

    def layer(
        self,
        node: Node,
        measured: Mapping[Variant, Measured],
        stored: Mapping[Variant, Mapping[str, int]],
        energies: Mapping[Variant, Mapping[str, float]],
    ) -> tuple[Alternative, ...]:
        """The alternatives of a layer with weights."""
        weight, writes = node.inputs[1], self.writes[node.name]
        return tuple(
            Alternative(
                node.name, form_of(v), stored[v][node.name],
                above_arena(measured[v]) + self.arena({weight: v[0]}, {writes: v[1]}),
                energies[v].get(node.name, 0.0), self.noises.of(weight, writes, v), weight, v[0], writes, v[1],
            )
            for v in self.variants
            if v != WIDE or writes in self.noises.activations
        )  # fmt: skip

    def activation(
        self,
        name: str,
        programs: Mapping[Variant, IntegerProgram],
        measured: Mapping[Variant, Measured],
        energies: Mapping[Variant, Mapping[str, float]],
    ) -> tuple[Alternative, ...]:
        """The alternatives of an activation that no layer with weights writes."""
        writer = next((s.name for s in programs[self.variants[0]].steps if name in s.outputs), name)
        return tuple(
            Alternative(
                writer, "" if bits == 8 else form_of(v), 0, above_arena(measured[v]) + self.arena({}, {name: bits}),
                energies[v].get(writer, 0.0), self.noises.of("", name, v), "", 8, name, bits,
            )
            for v, bits in ((self.variants[0], 8), (WIDE, 16))
        )  # fmt: skip

    def code_of_forms(self, measured: Mapping[Variant, Measured]) -> tuple[dict[str, int], int]:
        """({form: bytes of its own code}, bytes of the code that all have).

        From the network at each width and one that mixes all: k + 1 measurements of k forms and a common part.
        """
        alone = [m.code_bytes for m in measured.values()]
        if len(measured) == 1 or len(self.nodes) < len(measured):
            common = min(alone)
        else:
            mixed = [self.variants[i % len(self.variants)] for i in range(len(self.nodes))]
            together = self.measure(self.program(mixed)).code_bytes
            common = int(np.clip((sum(alone) - together) // (len(measured) - 1), 0, min(alone)))
        own = {form_of(v): code - common for v, code in zip(measured, alone, strict=True)}
        return {"": 0, **own}, common

    def energies(self, program: IntegerProgram, measured: Measured) -> dict[str, float]:
        """Joules of each step; where the emulator counts no layers, the whole by multiply-accumulates."""
        if measured.instructions is None or measured.energy_j is None:
            return {}
        if measured.by_step:
            return {n: energy_of(self.device, count) or 0.0 for n, count in measured.by_step.items() if count}
        macs = self.graph.macs_by_node()
        return {name: measured.energy_j * count / sum(macs.values()) for name, count in macs.items()}


def above_arena(measured: Measured) -> int:
    """RAM that is not of the arena: stack, buffers of the caller, variables."""
    return measured.ram_bytes - measured.arena_bytes


def weight_bytes(program: IntegerProgram, device: EdgeDevice) -> dict[str, int]:
    """Flash of each layer's weights, padding included."""
    schedule = schedule_for(device.core)
    return {
        step.name: stored_weight_bytes(step, schedule)
        for step in program.steps
        if step.kernel in ("conv", "dense")
    }
