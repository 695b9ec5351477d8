"""Free-running integrate-and-fire: asynchronous chips, where a neuron spikes whenever its membrane reaches threshold.

Inputs are spread evenly over T steps; nothing holds a layer back, so that spikes may come that later inhibition would
have prevented, and counts differ from the quantised network's. Negative biases lie in the starting membrane, positive
ones come in equal parts. Reset is by subtraction. After T steps the net runs on until the last spikes have arrived.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from trine.compilers.graph import Array, Graph
from trine.compilers.report import Fit
from trine.compilers.target import Progress
from trine.devices import NeuroChip
from trine.devices.errors import InputError
from trine.neuromorphic.arithmetic import ACTIVATION_SHIFT
from trine.neuromorphic.chips.answers import answer_in_spikes
from trine.neuromorphic.conversion.code import digit_bits, lines_of
from trine.neuromorphic.conversion.convert import ConversionOptions, Converted, spread
from trine.neuromorphic.conversion.fix import Limits, fix
from trine.neuromorphic.conversion.layers import MAXIMUM, READOUT
from trine.neuromorphic.conversion.levels import find_levels
from trine.neuromorphic.conversion.quantised import CountLayer, QuantisedNetwork
from trine.neuromorphic.conversion.spiking import Spiking
from trine.neuromorphic.conversion.walk import layers_of
from trine.neuromorphic.net import INPUT, Population, Projection, SpikingNet

MEMBRANE_BITS = 24  # the simulated neuron's, six below a weight unit; a chip's own state is checked by a run
MANTISSA, EXPONENT = 4095, 7  # of a bias a step
STATE_EXAMPLES = 64


def quantise(
    graph: Graph, samples: dict[str, Array], options: ConversionOptions, progress: Progress, chip: NeuroChip
) -> Converted:
    """Counts in T levels and weights of the chip's width, one scale a layer. Raises InputError as `find_levels`."""
    net = answer_in_spikes(layers_of(graph), samples)
    each: dict[str, int | None] = dict.fromkeys((x.name for x in net.layers), options.input_steps)
    bits = min(options.input_bits, digit_bits(options.input_steps))  # a line's weights cannot be shifted
    levels = find_levels(net, samples, each, bits, options.refit, progress)
    limits = Limits(int(chip.need("limits.weight_bits").value), MEMBRANE_BITS, exponent=0)
    network = fix(levels, limits, {t.name: 0 for t in net.inputs})
    return Converted(graph, options, samples, levels, network)


def spiking(
    network: QuantisedNetwork, scheme: str, lag: int, dt_s: float, arithmetic: str, decay: int = 0
) -> Spiking:
    """The free-running net. lag: steps that it runs on for each layer. decay: of the membrane, in 1/4096 a step.

    Raises InputError for maximum pools, and inputs of more than one digit.
    """
    levels = network.levels
    pools = [x.name for x in network.layers if x.role == MAXIMUM]
    if levels is None or pools:
        raise InputError(f"node {', '.join(pools)} (MaxPool): spikes that come at any time have no maximum")
    lines = tuple(line for code in network.inputs for line in lines_of(code, levels))
    if any(line.shift for line in lines):
        raise InputError("an input needs more than one digit; use --input-bits of at most log2(T + 1)")
    populations = [Population(line.name, INPUT, network.input_shapes[line.source]) for line in lines]
    named = {code.name: [(x.name, x.sign) for x in lines if x.source == code.name] for code in network.inputs}
    depth: dict[str, int] = {}
    for layer in network.layers:
        depth[layer.name] = 1 + max((depth[s.source] for s in layer.synapses if s.source in depth), default=0)
    last = depth[network.output.name]
    steps = levels + last * (1 + lag)
    projections: list[Projection] = []
    for layer in network.layers:
        for s in layer.synapses:
            for name, sign in named.get(s.source, [(s.source, 1)]):
                projections.append(Projection(
                    f"{name}_to_{layer.name}", name, layer.name, s.kind, np.asarray(sign * s.weight, np.int32),
                    dict(s.attributes), 0, s.exponent,
                ))  # fmt: skip
        populations.append(_population(layer, depth[layer.name], steps, decay))
    begins = dict(depth)
    for code in network.inputs:
        readers = [depth[x.name] for x in network.layers if any(s.source == code.name for s in x.synapses)]
        begins |= {name: min(readers, default=1) - 1 for name, _ in named[code.name]}
        begins[code.name] = min(readers, default=1) - 1
    inputs = tuple(line.name for line in lines)
    net = SpikingNet(
        network.name, dt_s, tuple(populations), tuple(projections), inputs, (network.output.name,), arithmetic
    )
    net.check()
    return Spiking(net, "rate", levels, lag, steps, begins, lines, {})


def _population(layer: CountLayer, start: int, steps: int, decay: int) -> Population:
    """Integrate and fire, with a leak where the chip has one; the host's counters. start: step of the first input."""
    if layer.role == READOUT:
        return Population(layer.name, "LI", layer.shape, {"dv": 0}, "none")
    half = (layer.theta << ACTIVATION_SHIFT) // 2 + 1  # one more, since a spike needs v > threshold
    mantissa, exponent = share(np.maximum(layer.bias, 0), steps - start)
    rest = layer.bias - steps * (
        mantissa << exponent
    )  # negative biases, rounding, and what comes before the input
    parameters: dict[str, Any] = {
        "vth": layer.theta, "bias_mant": mantissa, "bias_exp": exponent, "v_initial": half + rest,
    }  # fmt: skip
    if decay == 0:
        return Population(layer.name, "IF", layer.shape, parameters, "subtraction")
    return Population(layer.name, "LIF", layer.shape, {**parameters, "dv": decay}, "subtraction")


def state_fit(made: Spiking, whole: dict[str, Array], chip: NeuroChip) -> list[Fit]:
    """The largest membrane that examples cause against the chip's state; nothing where its width is not known.

    whole: inputs in whole steps. A chip clips what goes beyond, which the simulated membrane does not.
    """
    bits = chip.figure("limits.state_bits")
    if bits is None:
        return []
    from trine.neuromorphic.engine import run

    chosen = spread(len(next(iter(whole.values()))), STATE_EXAMPLES)
    few = {k: v[chosen] for k, v in whole.items()}
    names = [p.name for p in made.net.populations if p.neuron in ("IF", "LIF")]
    result = run(made.net, made.encode(few), made.steps, dict.fromkeys(names, ("v",)))
    sizes = {name: int(np.abs(result.probes[name]["v"]).max()) >> ACTIVATION_SHIFT for name in names}
    worst = max(sizes, key=lambda name: sizes[name])
    most = (1 << (int(bits.value) - 1)) - 1
    name = f"membrane of {worst}, largest over {len(next(iter(few.values())))} examples"
    return [Fit(name, sizes[worst], most, "units", "simulated")]


def share(bias: Array, steps: int) -> tuple[Array, int]:
    """Mantissa and common exponent of a bias spread over so many steps, rounded down."""
    each = bias // steps
    exponent = 0
    while exponent < EXPONENT and (each >> exponent).max() > MANTISSA:
        exponent += 1
    return np.asarray(np.minimum(each >> exponent, MANTISSA)), exponent


def leaking(decay: int) -> Callable[[QuantisedNetwork, str, int, float, str], Spiking]:
    """`spiking` with a leak of so many 1/4096 a step."""

    def make(network: QuantisedNetwork, scheme: str, lag: int, dt_s: float, arithmetic: str) -> Spiking:
        return spiking(network, scheme, lag, dt_s, arithmetic, decay)

    return make


__all__ = ["leaking", "quantise", "spiking"]
