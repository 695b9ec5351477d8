"""Xylo: one core of input channels, hidden and output neurons (rockpool 3.1.0 constants, facts only)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trine.devices import NeuroChip
from trine.neuromorphic.mapping.reach import Wiring
from trine.neuromorphic.mapping.records import Limit, Violation
from trine.neuromorphic.mapping.whole import CHANGE, model_violations
from trine.neuromorphic.mapping.words import weight_format
from trine.neuromorphic.net import INPUT, Population, SpikingNet

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def xylo(
    net: SpikingNet, wires: tuple[Wiring, ...], chip: NeuroChip
) -> tuple[list[Limit], list[float], list[Violation]]:
    """Xylo's single core: input channels, hidden and output neurons, fan-in, hidden weights (rockpool 3.1.0
    constants).
    """
    problems = model_violations(net, "xylo", chip.title)
    outputs = [p for p in net.populations if p.name in net.outputs and p.neuron != INPUT]
    hidden = [p for p in net.populations if p.neuron != INPUT and p.name not in net.outputs]
    names = {p.name for p in hidden}
    inside = [w for w in wires if w.projection.source in names and w.projection.target in names]
    amounts = {
        "input_channels": sum(net.population(name).size for name in net.inputs),
        "hidden_neurons": sum(p.size for p in hidden),
        "output_neurons": sum(p.size for p in outputs),
        "hidden_weights": sum(w.synapses for w in inside),
        "fan_in": max((_fan_in(p, inside) for p in hidden), default=0),
    }
    remedies = {
        "input_channels": "encode the signal in fewer channels (level crossing: 2), samples in sequence",
        "fan_in": "prune, or use smaller kernels",
    }
    limits, used = [], []
    for key, amount in amounts.items():
        figure = chip.figure(f"limits.{key}")
        if figure is None:
            continue
        limit = Limit(
            key.replace("_", " "), figure.value, key.split("_")[-1], f"{figure.source} ({figure.cls})"
        )
        limits.append(limit)
        used.append(float(amount))
        if amount > figure.value:
            remedy = remedies.get(key, CHANGE)
            problems.append(
                Violation(f"net {net.name}", limit.name, amount, figure.value, limit.unit, remedy)
            )
    bits = chip.need("limits.weight_bits").value
    problems += [
        Violation(
            f"projection {w.projection.name}",
            "weight width",
            weight_format(w.projection).needed,
            bits,
            "bits",
            "quantise the weights",
        )
        for w in wires
        if weight_format(w.projection).needed > bits
    ]
    return limits, used, problems


def _fan_in(p: Population, inside: list[Wiring]) -> int:
    """Greatest number of hidden neurons that reach one neuron."""
    total = 0
    for w in inside:
        if w.projection.target != p.name:
            continue
        if w.dense:
            total += int(np.count_nonzero(w.projection.weight, axis=1).max())
        elif w.shared:
            total += w.channels.per_group[0] * int(np.prod([axis.kernel for axis in w.windows]))
        else:
            total += 1
    return total
