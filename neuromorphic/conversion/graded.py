"""The scheme *sigma_delta*: graded messages, one a value and example at most (Loihi 2)."""

from __future__ import annotations

import numpy as np

from trine.compilers.graph import Array
from trine.neuromorphic.arithmetic import ACTIVATION_SHIFT
from trine.neuromorphic.conversion.code import Line
from trine.neuromorphic.conversion.feed import Spiking
from trine.neuromorphic.conversion.layers import FIRE, READOUT
from trine.neuromorphic.conversion.quantised import CountLayer, QuantisedNetwork
from trine.neuromorphic.net import INPUT, Population, Projection, SpikingNet


def graded(network: QuantisedNetwork, dt_s: float, arithmetic: str) -> Spiking:
    """Sigma-delta neurons; one message a neuron and example at most, as late as the layer is deep."""
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
            one_to_one = s.kind == "identity" and s.weight.ndim
            weight = np.ascontiguousarray(np.broadcast_to(s.weight, layer.shape)) if one_to_one else s.weight
            projections.append(Projection(
                f"{s.source}_to_{layer.name}", s.source, layer.name, s.kind, weight, dict(s.attributes), delay,
                s.exponent, True,
            ))  # fmt: skip
        half = layer.thresholds // 2 if layer.role == FIRE else 0
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
    finer = (
        np.array(layer.octaves, np.int64).reshape(-1, *([1] * (len(layer.shape) - 1))) if layer.octaves else 0
    )
    parameters = {"vth": 1, "relu": int(layer.role == FIRE), "state_exp": shift + finer, "keeps_residue": 0}
    return Population(layer.name, "SigmaDelta", layer.shape, parameters, "none")
