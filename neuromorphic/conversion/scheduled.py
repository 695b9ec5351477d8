"""The schemes *exact*, *rate* and *ttfs*: layers that take and send in set steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from trine.compilers.graph import Array
from trine.devices.errors import InputError
from trine.neuromorphic.arithmetic import ACTIVATION_SHIFT
from trine.neuromorphic.conversion.code import lines_of
from trine.neuromorphic.conversion.feed import Spiking
from trine.neuromorphic.conversion.fix import worst
from trine.neuromorphic.conversion.layers import MAXIMUM, READOUT
from trine.neuromorphic.conversion.quantised import CountLayer, QuantisedNetwork, Synapses
from trine.neuromorphic.conversion.schedule import Slot, Turn, timetable
from trine.neuromorphic.net import INPUT, Population, Projection, SpikingNet

LONGEST_DELAY = 62  # steps, Loihi 1 (nengo-loihi 1.1.0)
GATE_EXPONENT = 7  # a gate synapse: 128 << 7 weight units
BIAS_MANTISSA, BIAS_EXPONENT = 4095, 7
MOST_REFRACTORY = 63  # steps, Loihi 1 (nengo-loihi 1.1.0)
MIXED = 127  # largest weight of mixed signs: 8 bits, even on the chip


class Scheduled:
    """Builds the spiking net; the schemes differ in when a layer may fire and in who sees to that."""

    def __init__(self, network: QuantisedNetwork, scheme: str, lag: int, levels: int) -> None:
        self.network, self.scheme, self.lag, self.levels = network, scheme, lag, levels
        self.lines = {code.name: lines_of(code, levels) for code in network.inputs}
        self.largest: dict[str, float] = {c.name: float(max(c.high, -c.low)) for c in network.inputs}
        slots = [
            Slot(x.name, x.role, tuple(s.source for s in x.synapses), x.levels or levels)
            for x in network.layers
        ]
        self.times = timetable(slots, dict.fromkeys(self.lines, levels), scheme, lag)
        self.populations: list[Population] = []
        self.projections: list[Projection] = []
        self.gates: dict[str, tuple[int, ...]] = {}

    def build(self, dt_s: float, arithmetic: str) -> Spiking:
        for lines in self.lines.values():
            for line in lines:
                self.populations.append(Population(line.name, INPUT, self.network.input_shapes[line.source]))
        for layer in self.network.layers:
            self.add(layer)
            self.largest[layer.name] = float(layer.levels or self.levels)
        late = [p for p in self.projections if p.delay_steps > LONGEST_DELAY]
        if late:
            listed = ", ".join(f"{p.source} -> {p.target} ({p.delay_steps} steps)" for p in late)
            raise InputError(
                f"paths wait longer than a synapse can, {LONGEST_DELAY} steps: {listed}; use fewer steps T"
            )
        inputs = tuple(p.name for p in self.populations if p.neuron == INPUT)
        output, turns = self.network.output.name, self.times.turns
        parts = tuple(self.populations), tuple(self.projections), inputs, (output,)
        net = SpikingNet(self.network.name, dt_s, *parts, arithmetic)
        net.check()
        lines = tuple(line for lines in self.lines.values() for line in lines)
        begins = {line.name: turns[line.source].begins for line in lines}
        begins |= {name: turn.begins for name, turn in turns.items()}
        steps = turns[output].start + turns[output].takes
        return Spiking(net, self.scheme, self.levels, self.lag, steps, begins, lines, self.gates)

    def add(self, layer: CountLayer) -> None:
        """A layer's population, its synapses, and its gate where it has one."""
        turn = self.times.turns[layer.name]
        for s in layer.synapses:
            one = int(layer.role == MAXIMUM)  # twice the threshold, so that a single spike is a spike
            for name, sign, shift in self.sources(s.source):
                delay = self.times.delay(s.source, layer.name)
                self.projections += _projections(layer, s, name, sign, s.exponent + shift + one, delay)
        self.populations.append(self.population(layer, turn))

    def sources(self, name: str) -> list[tuple[str, int, int]]:
        """Populations that stand for a source: name, sign, shift."""
        lines = self.lines.get(name)
        return [(name, 1, 0)] if lines is None else [(line.name, line.sign, line.shift) for line in lines]

    def population(self, layer: CountLayer, turn: Turn) -> Population:
        """The neurons of a layer."""
        if layer.role == READOUT and self.scheme != "ttfs":
            return Population(layer.name, "LI", layer.shape, {"dv": 0, "v_initial": layer.bias}, "none")
        if layer.role == MAXIMUM:  # the membrane holds 128 or more, or nothing
            rest = {"refractory_steps": turn.window} if self.scheme == "ttfs" else {}
            return Population(layer.name, "IF", layer.shape, {"vth": 1, **rest})
        theta = layer.thresholds
        start = (
            layer.bias + (theta << ACTIVATION_SHIFT) // 2 + 1
        )  # one more, since a spike needs v > threshold
        phases: dict[str, Any] = {
            "integrate_steps": turn.takes,
            "fire_steps": turn.window,
            "v_initial": start,
        }
        if self.scheme == "ttfs":
            phases |= {"first_step": turn.start, "vth": turn.window * theta, "ramp": theta}
            if layer.role == READOUT:
                phases |= {"vth": 1, "ramp": 0, "fire_steps": 0, "v_initial": layer.bias}
            return Population(layer.name, "FirstSpike", layer.shape, phases)
        if self.scheme == "exact":
            phases |= {"start": turn.start, "vth": theta}
            return Population(layer.name, "IF", layer.shape, phases, "subtraction")
        return Population(
            layer.name, "IF", layer.shape, self.gated(layer, turn, start - layer.bias), "subtraction"
        )

    def gated(self, layer: CountLayer, turn: Turn, half: Array) -> dict[str, Any]:
        """Parameters of neurons that a gate opens and closes."""
        gate = self.gate(layer, turn)
        window = (
            turn.begins - turn.start + turn.window
        )  # steps from the first input to the last chance to fire
        mantissa, exponent = bias_parts(np.maximum(layer.bias, 0), window)
        a_step = mantissa << exponent
        rest = layer.bias - window * a_step  # negative biases, and what rounding left
        start = half + rest - turn.start * a_step - (gate << ACTIVATION_SHIFT)
        return {"vth": layer.thresholds, "bias_mant": mantissa, "bias_exp": exponent, "v_initial": start}

    def gate(self, layer: CountLayer, turn: Turn) -> int:
        """Gate neurons of a layer; returns what they add to the membrane, in weight units."""
        top = worst(layer, self.largest)
        one = 128 << GATE_EXPONENT
        count = max(1, int(np.ceil(top / one)))
        name = f"{layer.name}_gate"
        size = int(np.prod(layer.shape))
        self.populations.append(Population(name, INPUT, (2 * count,)))
        weight = np.repeat(np.array([[128, -128]], np.int32), count, axis=1).repeat(size, axis=0)
        self.projections.append(Projection(name, name, layer.name, "dense", weight, {}, 0, GATE_EXPONENT))
        self.gates[name] = (turn.begins - 1,) * count + (turn.begins + turn.window - 1,) * count
        return count * one


def bias_parts(bias: Array, steps: int) -> tuple[Array, int]:
    """Mantissa and common exponent of a bias spread over so many steps, rounded down."""
    share = bias // steps
    exponent = 0
    while exponent < BIAS_EXPONENT and (share >> exponent).max() > BIAS_MANTISSA:
        exponent += 1
    return np.minimum(share >> exponent, BIAS_MANTISSA), exponent


def _projections(
    layer: CountLayer, s: Synapses, source: str, sign: int, exponent: int, delay: int
) -> list[Projection]:
    """Whole weights as Loihi keeps weights of mixed sign: even, so doubled here and halved by the exponent.

    Beyond 8 bits a weight's sign has to be its synapses': one projection that excites and one that inhibits, 8 bits of
    magnitude each (Davies et al. 2018, doi 10.1109/MM.2018.112130359: 9 bits with sign).
    """
    name, weight = f"{source}_to_{layer.name}", np.asarray(sign * s.weight, np.int32)
    if s.kind == "identity" and weight.ndim:
        weight = np.ascontiguousarray(np.broadcast_to(weight, layer.shape))

    def one(name: str, weight: Array, exponent: int) -> Projection:
        return Projection(name, source, layer.name, s.kind, weight, dict(s.attributes), delay, exponent)

    if np.abs(weight).max(initial=0) <= MIXED:
        return [one(name, 2 * weight, exponent - 1)]
    parts = {"excites": np.maximum(weight, 0), "inhibits": np.minimum(weight, 0)}
    return [one(f"{name}_{how}", part, exponent) for how, part in parts.items() if part.any()]
