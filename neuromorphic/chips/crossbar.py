"""TrueNorth's form: few-valued weights on its crossbar, the scheme *exact* by gates.

A neuron starts so far below its threshold that nothing it receives can make it spike. When its input is complete, gate
axons lift it by what it was held down; T ticks later others push it down again. In between it spikes once a tick and
loses its threshold each time, so that its count is the quantised network's. Two of the four axon types are the gates';
the other two bring +m and -1, so that a source on m + 1 axons has any weight of -m..m
(`mapping.truenorth`). Bias and half a threshold lie in the starting membrane.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trine.compilers.graph import Array, Graph
from trine.compilers.target import Progress
from trine.devices.errors import InputError
from trine.neuromorphic.arithmetic import ACTIVATION_SHIFT
from trine.neuromorphic.chips.answers import HOST, answer_in_spikes
from trine.neuromorphic.chips.few_values import Room, few_values
from trine.neuromorphic.chips.narrow import cut, fan_in
from trine.neuromorphic.conversion.code import Line, digit_bits, lines_of
from trine.neuromorphic.conversion.convert import ConversionOptions, Converted
from trine.neuromorphic.conversion.layers import FIRE, READOUT, Layer
from trine.neuromorphic.conversion.quantised import CountLayer, QuantisedNetwork
from trine.neuromorphic.conversion.spiking import Spiking
from trine.neuromorphic.conversion.walk import layers_of
from trine.neuromorphic.net import INPUT, Population, Projection, SpikingNet

AXONS = 256  # of a core: Merolla et al. 2014, doi 10.1126/science.1254642
GATE_AXONS = 16  # kept free for gates
GATE = 255  # largest 9-bit weight
LARGEST = 7
INPUTS = 80  # sources a neuron at most: weights of -2..2 then take 240 axons
OUTPUTS = 8  # channels that choose their inputs together
FLOOR = (1 << 18) - 1  # magnitude of the negative threshold (18 bits, Cassidy et al. 2013)


def largest_weight(inputs: int) -> int:
    """m for so many sources a neuron: m + 1 axons each."""
    return max(1, min(LARGEST, (AXONS - GATE_AXONS) // inputs - 1))


def quantise(
    graph: Graph, samples: dict[str, Array], options: ConversionOptions, progress: Progress
) -> Converted:
    """Whole weights of -m..m and at most 80 inputs a neuron. Raises InputError for layers that cannot be cut."""
    net = cut(answer_in_spikes(layers_of(graph), samples), INPUTS, OUTPUTS)

    def room(layer: Layer) -> Room:
        return Room(INPUTS, largest_weight(min(fan_in(layer, net), INPUTS)))

    bits = min(options.input_bits, digit_bits(options.input_steps))  # a line's weights cannot be shifted
    levels, network = few_values(net, samples, options.input_steps, bits, room, progress)
    return Converted(graph, options, samples, levels, network)


def spiking(network: QuantisedNetwork, scheme: str, lag: int, dt_s: float, arithmetic: str) -> Spiking:
    """The spiking net of a quantised network. Raises InputError for sums that exceed the chip's membrane."""
    levels = network.levels
    if levels is None:
        raise InputError("TrueNorth counts to T: quantise with a number of steps")
    return _Gated(network, levels).build(dt_s)


@dataclass(frozen=True)
class _Hold:
    """Gate neurons that lift and push down a layer, and its starting membrane."""

    lift: int
    push: int
    start: Array


class _Gated:
    """Builds populations, synapses and gates of one network."""

    def __init__(self, network: QuantisedNetwork, levels: int) -> None:
        self.network, self.levels = network, levels
        self.lines = {code.name: lines_of(code, levels) for code in network.inputs}
        self.largest: dict[str, int] = {c.name: max(c.high, -c.low) for c in network.inputs}
        self.begins: dict[str, int] = {}
        self.starts: dict[str, int] = {}
        self.gates: dict[str, tuple[int, ...]] = {}
        self.populations: list[Population] = []
        self.projections: list[Projection] = []

    def build(self, dt_s: float) -> Spiking:
        self.schedule()
        lines = tuple(line for lines in self.lines.values() for line in lines)
        if any(line.shift for line in lines):
            raise InputError(
                "an input needs more than one digit, and a crossbar cannot shift: use fewer input bits"
            )
        for line in lines:
            self.populations.append(Population(line.name, INPUT, self.network.input_shapes[line.source]))
        for layer in self.network.layers:
            self.add(layer)
        inputs = tuple(p.name for p in self.populations if p.neuron == INPUT)
        output = self.network.output.name
        net = SpikingNet(
            self.network.name,
            dt_s,
            tuple(self.populations),
            tuple(self.projections),
            inputs,
            (output,),
            "lava",
        )
        net.check()
        begins = {line.name: self.begins[line.source] for line in lines} | self.begins
        steps = self.starts[output] + self.levels
        return Spiking(net, "exact", self.levels, self.levels - 1, steps, begins, lines, self.gates)

    def schedule(self) -> None:
        """When each layer first receives and first sends, as in the scheme *exact*."""
        inputs = set(self.lines)
        for layer in self.network.layers:
            sources = [self.begins[s.source] for s in layer.synapses if s.source not in inputs]
            self.starts[layer.name] = 1 + max(sources, default=0)
            self.begins[layer.name] = self.starts[layer.name] + self.levels - 1
        for name in inputs:
            readers = [
                self.starts[x.name] for x in self.network.layers if any(s.source == name for s in x.synapses)
            ]
            self.begins[name] = min(readers, default=1) - 1

    def add(self, layer: CountLayer) -> None:
        start = self.starts[layer.name]
        for s in layer.synapses:
            delay = start - 1 - self.begins[s.source]
            for name, sign in self.sources(s.source):
                self.projections.append(Projection(
                    f"{name}_to_{layer.name}", name, layer.name, s.kind, np.asarray(sign * s.weight, np.int32),
                    dict(s.attributes), delay,
                ))  # fmt: skip
        if layer.role == READOUT:
            self.populations.append(Population(layer.name, "LI", layer.shape, {"dv": 0}, "none"))
            return
        if layer.role != FIRE:
            raise InputError(
                f"layer {layer.name}: TrueNorth has no maximum pool; use an average pool or a stride"
            )
        hold = self.hold(layer)
        parameters: dict[str, Any] = {"threshold": layer.theta, "floor": FLOOR, "v_initial": hold.start}
        self.populations.append(Population(layer.name, "TrueNorth", layer.shape, parameters, "subtraction"))
        opens = start + self.levels - 1
        self.gate(f"{layer.name}_lift", layer, hold.lift, GATE, opens)
        self.gate(f"{layer.name}_push", layer, hold.push, -GATE, opens + (layer.levels or self.levels))
        self.largest[layer.name] = layer.levels or self.levels

    def sources(self, name: str) -> list[tuple[str, int]]:
        lines: tuple[Line, ...] | None = self.lines.get(name)
        return [(name, 1)] if lines is None else [(line.name, line.sign) for line in lines]

    def hold(self, layer: CountLayer) -> _Hold:
        """Gates for the largest sum over all inputs: no spike before they open, none after they close."""
        up, down = reach(layer, self.largest)
        start = (layer.bias >> ACTIVATION_SHIFT) + layer.theta // 2
        most = int(np.max(start + up))
        fires = layer.levels or self.levels
        lift = max(0, -(-(most - layer.theta + 1) // GATE))
        push = max(0, -(-(most - (fires + 1) * layer.theta + 1) // GATE))
        least = int(np.min(start - down)) - lift * GATE - push * GATE
        if least < -FLOOR or most > FLOOR:
            raise InputError(
                f"layer {layer.name}: sums from {least:,} to {most:,} exceed TrueNorth's negative threshold of "
                f"{FLOOR:,}; use fewer steps T or fewer inputs"
            )
        return _Hold(lift, push, np.asarray(np.broadcast_to(start, _wide(start, layer)) - lift * GATE))

    def gate(self, name: str, layer: CountLayer, neurons: int, weight: int, step: int) -> None:
        """Input neurons that send one spike each, which arrives at a step."""
        if neurons == 0:
            return
        self.populations.append(Population(name, INPUT, (neurons,)))
        synapses = np.full((int(np.prod(layer.shape)), neurons), weight, np.int32)
        self.projections.append(Projection(f"{name}_to_{layer.name}", name, layer.name, "dense", synapses))
        self.gates[name] = (step - 1,) * neurons


def _wide(start: Array, layer: CountLayer) -> tuple[int, ...]:
    return start.shape if start.ndim else (1,) * len(layer.shape)


def reach(layer: CountLayer, largest: Mapping[str, int]) -> tuple[Array, Array]:
    """How far the inputs can lift and lower a membrane, in weight units, by output channel; broadcasts to shape."""
    ends = []
    for sign in (1, -1):
        total = np.zeros((1,) * len(layer.shape), np.int64)
        for s in layer.synapses:
            w = np.maximum(sign * s.weight.astype(np.int64), 0) * largest[s.source]
            if s.kind in ("conv", "dense"):
                sums = w.reshape(len(w), -1).sum(axis=1)
                dense = s.kind == "dense" and len(w) == int(np.prod(layer.shape))
                shape = layer.shape if dense else (-1, *([1] * (len(layer.shape) - 1)))
                total = total + sums.reshape(shape)
            else:
                cells = int(np.prod(s.attributes["kernel_shape"])) if s.kind == "pool" else 1
                total = total + w.reshape(w.shape or (1,) * len(layer.shape)) * cells
        ends.append(total)
    return ends[0], ends[1]


__all__ = ["HOST", "largest_weight", "quantise", "spiking"]
