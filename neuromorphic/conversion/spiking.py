"""`QuantisedNetwork` to `SpikingNet`: the schemes *exact*, *rate* and *sigma_delta*.

exact   A layer takes spikes for T steps, then fires for T steps: its count is the quantised network's, by arithmetic
        (IF, reset by subtraction, membrane starting at bias + theta/2). Latency: layers x T. Of consecutive spikes the
        greatest count of a window is their OR, so maximum pooling is exact too.
rate    Layers fire while they take (QCFS, arXiv 2303.04347), `lag` steps behind (extra steps as in SRP, Hao et al.
        2023). Gate neurons open a layer by a strong synapse and close it T steps later: before that it can only take.
        Negative bias lies in the starting membrane, positive bias comes in T + lag equal parts. lag = T - 1 would be
        exact; small lags save time, and counts differ.
sigma_delta   Graded messages (Loihi 2): each layer sends its activation, a shifted whole number, as soon as its sum is
        there. Biases come from a neuron that sends 1, as late as the layer is deep, so that a message is final.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trine.compilers.graph import Array
from trine.devices.errors import InputError, nearest
from trine.neuromorphic.arithmetic import ACTIVATION_SHIFT
from trine.neuromorphic.conversion.code import Line, at_once, evenly, lines_of
from trine.neuromorphic.conversion.fix import worst
from trine.neuromorphic.conversion.layers import FIRE, MAXIMUM, READOUT
from trine.neuromorphic.conversion.quantised import CountLayer, QuantisedNetwork, Synapses
from trine.neuromorphic.net import INPUT, Population, Projection, SpikingNet

SCHEMES = ("exact", "rate", "sigma_delta")
LONGEST_DELAY = 62  # steps, Loihi 1 (nengo-loihi 1.1.0)
GATE_EXPONENT = 7  # a gate synapse: 128 << 7 weight units
BIAS_MANTISSA, BIAS_EXPONENT = 4095, 7


@dataclass(frozen=True)
class Spiking:
    """A spiking net and how to feed it.

    begins: step at which a population may first send. steps: of a run. lines: input populations that carry the inputs.
    gates: by gate population, the steps at which its neurons fire, (neurons,). even: inputs are spread evenly.
    """

    net: SpikingNet
    scheme: str
    levels: int | None
    lag: int
    steps: int
    begins: Mapping[str, int]
    lines: tuple[Line, ...]
    gates: Mapping[str, tuple[int, ...]]

    def encode(self, whole: Mapping[str, Array]) -> dict[str, Array]:
        """Input messages [n, steps, *shape] by population, for inputs in whole steps (`QuantisedNetwork.encode`)."""
        count = len(next(iter(whole.values())))
        given: dict[str, Array] = {}
        for line in self.lines:
            begin = self.begins[line.name]
            if self.levels is None or self.scheme == "sigma_delta":
                x = whole[line.source]
                train = np.zeros((count, begin + 1, *x.shape[1:]), np.int32)
                train[:, begin] = x
            else:
                spread = evenly if self.scheme == "rate" else at_once
                trained = spread(line.digits(whole[line.source]), self.levels)
                train = np.concatenate(
                    [np.zeros((count, begin, *trained.shape[2:]), np.uint8), trained], axis=1
                )
            given[line.name] = train
        for name, steps in self.gates.items():
            train = np.zeros((count, self.steps, len(steps)), np.uint8)
            for neuron, step in enumerate(steps):
                if step < self.steps:
                    train[:, step, neuron] = 1
            given[name] = train
        return given


def spiking(
    network: QuantisedNetwork, scheme: str, lag: int = 1, dt_s: float = 1e-3, arithmetic: str = "lava"
) -> Spiking:
    """The spiking net of a scheme. lag: for *rate*, 0 .. T - 1.

    Raises InputError for an unknown scheme or lag, a maximum pool outside *exact*, and delays beyond the chip's.
    """
    if scheme not in SCHEMES:
        raise InputError(f"scheme {scheme!r} is unknown: {nearest(scheme, SCHEMES)}")
    if scheme == "sigma_delta":
        return _graded(network, dt_s, arithmetic)
    levels = network.levels
    if levels is None:
        raise InputError(f"scheme {scheme} needs counts with an upper end; quantise with a number of steps T")
    if scheme == "rate" and not 0 <= lag < levels:
        raise InputError(f"lag is {lag}: with T = {levels} steps give 0 to {levels - 1}")
    pools = [layer.name for layer in network.layers if layer.role == MAXIMUM]
    if scheme == "rate" and pools:
        raise InputError(
            f"node {', '.join(pools)} (MaxPool): spikes that come at any time have no maximum; use --scheme exact"
        )
    return _Scheduled(network, scheme, levels - 1 if scheme == "exact" else lag, levels).build(
        dt_s, arithmetic
    )


class _Scheduled:
    """Builds *exact* and *rate*, which differ in when a layer may fire and in who sees to that."""

    def __init__(self, network: QuantisedNetwork, scheme: str, lag: int, levels: int) -> None:
        self.network, self.scheme, self.lag, self.levels = network, scheme, lag, levels
        self.lines = {code.name: lines_of(code, levels) for code in network.inputs}
        self.largest: dict[str, float] = {c.name: float(max(c.high, -c.low)) for c in network.inputs}
        self.starts: dict[str, int] = {}
        self.begins: dict[str, int] = {}
        self.populations: list[Population] = []
        self.projections: list[Projection] = []
        self.gates: dict[str, tuple[int, ...]] = {}

    def build(self, dt_s: float, arithmetic: str) -> Spiking:
        self.schedule()
        for lines in self.lines.values():
            for line in lines:
                self.populations.append(Population(line.name, INPUT, self.network.input_shapes[line.source]))
        for layer in self.network.layers:
            self.add(layer)
            self.largest[layer.name] = float(self.levels)
        late = [p for p in self.projections if p.delay_steps > LONGEST_DELAY]
        if late:
            listed = ", ".join(f"{p.source} -> {p.target} ({p.delay_steps} steps)" for p in late)
            raise InputError(
                f"paths wait longer than a synapse can, {LONGEST_DELAY} steps: {listed}; use fewer steps T"
            )
        inputs = tuple(p.name for p in self.populations if p.neuron == INPUT)
        output = self.network.output.name
        net = SpikingNet(
            self.network.name,
            dt_s,
            tuple(self.populations),
            tuple(self.projections),
            inputs,
            (output,),
            arithmetic,
        )
        net.check()
        lines = tuple(line for lines in self.lines.values() for line in lines)
        steps = self.starts[output] + self.levels
        begins = {line.name: self.begins[line.source] for line in lines} | self.begins
        return Spiking(net, self.scheme, self.levels, self.lag, steps, begins, lines, self.gates)

    def schedule(self) -> None:
        """When each layer first receives and first sends; inputs wait for the first layer that reads them."""
        inputs = set(self.lines)
        for layer in self.network.layers:
            sources = [s.source for s in layer.synapses]
            self.starts[layer.name] = 1 + max((self.begins[s] for s in sources if s not in inputs), default=0)
            wait = 0 if layer.role == MAXIMUM else self.lag
            self.begins[layer.name] = self.starts[layer.name] + wait
        for name in inputs:
            readers = [
                self.starts[x.name] for x in self.network.layers if any(s.source == name for s in x.synapses)
            ]
            self.begins[name] = min(readers, default=1) - 1

    def add(self, layer: CountLayer) -> None:
        """A layer's population, its synapses, and its gate where it has one."""
        start = self.starts[layer.name]
        for s in layer.synapses:
            delay = start - 1 - self.begins[s.source]
            one = int(layer.role == MAXIMUM)  # twice the threshold, so that a single spike is a spike
            for name, sign, shift in self.sources(s.source):
                self.projections.append(_projection(layer, s, name, sign, s.exponent + shift + one, delay))
        if layer.role == READOUT:
            parameters: dict[str, Any] = {"dv": 0, "v_initial": layer.bias}
            self.populations.append(Population(layer.name, "LI", layer.shape, parameters, "none"))
        elif (
            layer.role == MAXIMUM
        ):  # a spike of any input is a spike: the membrane holds 128 or more, or nothing
            self.populations.append(Population(layer.name, "IF", layer.shape, {"vth": 1}, "zero"))
        else:
            self.populations.append(self.compartments(layer, start))

    def sources(self, name: str) -> list[tuple[str, int, int]]:
        """Populations that stand for a source: name, sign, shift."""
        lines = self.lines.get(name)
        return [(name, 1, 0)] if lines is None else [(line.name, line.sign, line.shift) for line in lines]

    def compartments(self, layer: CountLayer, start: int) -> Population:
        """IF neurons of a layer that fires."""
        half = (layer.theta << ACTIVATION_SHIFT) // 2 + 1  # one more, since a spike needs v > threshold
        fires = self.levels if layer.levels is None else min(layer.levels, self.levels)
        parameters: dict[str, Any] = {"vth": layer.theta}
        if self.scheme == "exact":
            parameters |= {"start": start, "integrate_steps": self.levels, "fire_steps": fires}
            return Population(
                layer.name, "IF", layer.shape, {**parameters, "v_initial": layer.bias + half}, "subtraction"
            )
        gate = self.gate(layer, start + self.lag, fires)
        window = self.levels + self.lag  # steps from the first input to the last chance to fire
        mantissa, exponent = _parts(np.maximum(layer.bias, 0), window)
        a_step = mantissa << exponent
        rest = layer.bias - window * a_step  # negative biases, and what rounding left
        parameters |= {"bias_mant": mantissa, "bias_exp": exponent}
        parameters["v_initial"] = half + rest - start * a_step - (gate << ACTIVATION_SHIFT)
        return Population(layer.name, "IF", layer.shape, parameters, "subtraction")

    def gate(self, layer: CountLayer, opens: int, fires: int) -> int:
        """Gate neurons of a layer; returns what they add to the membrane, in weight units."""
        top = worst(layer, self.largest)
        one = 128 << GATE_EXPONENT
        count = max(1, int(np.ceil(top / one)))
        name = f"{layer.name}_gate"
        size = int(np.prod(layer.shape))
        self.populations.append(Population(name, INPUT, (2 * count,)))
        weight = np.repeat(np.array([[128, -128]], np.int32), count, axis=1).repeat(size, axis=0)
        self.projections.append(Projection(name, name, layer.name, "dense", weight, {}, 0, GATE_EXPONENT))
        self.gates[name] = (opens - 1,) * count + (opens + fires - 1,) * count
        return count * one


def _parts(bias: Array, steps: int) -> tuple[Array, int]:
    """Mantissa and common exponent of a bias spread over so many steps, rounded down."""
    share = bias // steps
    exponent = 0
    while exponent < BIAS_EXPONENT and (share >> exponent).max() > BIAS_MANTISSA:
        exponent += 1
    return np.minimum(share >> exponent, BIAS_MANTISSA), exponent


def _projection(
    layer: CountLayer, s: Synapses, source: str, sign: int, exponent: int, delay: int
) -> Projection:
    """Whole weights as Loihi keeps weights of mixed sign: even, so doubled here and halved by the exponent."""
    kind = "pool" if s.kind == "pool" else s.kind
    return Projection(
        f"{source}_to_{layer.name}", source, layer.name, kind, np.asarray(2 * sign * s.weight, np.int32),
        dict(s.attributes), delay, exponent - 1,
    )  # fmt: skip


def _graded(network: QuantisedNetwork, dt_s: float, arithmetic: str) -> Spiking:
    """Sigma-delta neurons; one message a neuron and example at most, as late as the layer is deep."""
    problems = [f"{x.name} (MaxPool)" for x in network.layers if x.role == MAXIMUM]
    if problems:
        raise InputError(f"node {', '.join(problems)}: graded changes have no maximum; use --scheme exact")
    populations = [Population(c.name, INPUT, network.input_shapes[c.name]) for c in network.inputs]
    starts: dict[str, int] = {}
    for layer in network.layers:
        starts[layer.name] = 1 + max(
            (starts[s.source] for s in layer.synapses if s.source in starts), default=0
        )
    begins = {**starts}
    for code in network.inputs:
        readers = [starts[x.name] for x in network.layers if any(s.source == code.name for s in x.synapses)]
        begins[code.name] = min(readers, default=1) - 1
    projections: list[Projection] = []
    gates: dict[str, tuple[int, ...]] = {}
    for layer in network.layers:
        for s in layer.synapses:
            delay = starts[layer.name] - 1 - begins[s.source]
            projections.append(Projection(
                f"{s.source}_to_{layer.name}", s.source, layer.name, s.kind, s.weight, dict(s.attributes), delay,
                s.exponent, True,
            ))  # fmt: skip
        half = layer.theta // 2 if layer.role == FIRE else 0
        bias = np.broadcast_to((layer.bias >> ACTIVATION_SHIFT) + half, layer.shape).reshape(-1)
        name = f"{layer.name}_bias"
        populations.append(Population(name, INPUT, (len(_places(bias)),)))
        gates[name] = (starts[layer.name] - 1,) * len(_places(bias))
        for k, part in enumerate(_places(bias)):
            weight = np.zeros((bias.size, len(_places(bias))), np.int32)
            weight[:, k] = part
            projections.append(Projection(f"{name}{k}", name, layer.name, "dense", weight, {}, 0, 7 * k))
        populations.append(_sigma_delta(layer))
    inputs = tuple(p.name for p in populations if p.neuron == INPUT)
    output = network.output.name
    net = SpikingNet(
        network.name, dt_s, tuple(populations), tuple(projections), inputs, (output,), arithmetic
    )
    net.check()
    lines = tuple(Line(c.name, c.name, 1, 0, 0) for c in network.inputs)
    return Spiking(net, "sigma_delta", None, 0, starts[output] + 1, begins, lines, gates)


def _places(bias: Array) -> list[Array]:
    """Whole numbers as signed weights times powers of 128."""
    size, sign = np.abs(bias), np.sign(bias)
    parts: list[Array] = []
    while size.any() or not parts:
        parts.append(sign * (size & 127))
        size = size >> 7
    return parts


def _sigma_delta(layer: CountLayer) -> Population:
    """Sends max(0, sum) shifted right; the readout sends its sum as it is."""
    shift = 0 if layer.role == READOUT else int(layer.theta).bit_length() - 1
    parameters = {"vth": 1, "relu": int(layer.role == FIRE), "state_exp": shift, "keeps_residue": 0}
    return Population(layer.name, "SigmaDelta", layer.shape, parameters, "none")
