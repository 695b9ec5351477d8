"""Chips known by their neuron and synapse totals, and a chip that holds no spiking neurons at all (Akida)."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from trine.devices import NeuroChip
from trine.neuromorphic.mapping.grid import Demand
from trine.neuromorphic.mapping.partition import CoreRule, Messages
from trine.neuromorphic.mapping.reach import Wiring
from trine.neuromorphic.mapping.records import Limit, Violation
from trine.neuromorphic.net import INPUT, Population, SpikingNet

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

CHANGE: Final = "make the net smaller, or take another chip"
MODELS: Final = {
    "dynapcnn": frozenset({"IF"}),
    "speck": frozenset({"IF"}),
    "xylo": frozenset({"LIF", "CubaLIF", "LI", "CubaLI", "IF"}),
}


def refused(chip: NeuroChip) -> tuple[Violation, ...]:
    """Why Akida takes no spiking net."""
    return (
        Violation(
            "the net",
            "neuron model",
            None,
            None,
            "",
            "Akida computes event-based quantised ReLU, no integrate-and-fire: quantise the ONNX model with "
            "BrainChip's own tools",
        ),
        Violation(
            "1-D convolutions", "layer type", None, None, "", "Akida has no Conv1D layer: rewrite as 2-D"
        ),
    )


def totals(net: SpikingNet, wires: tuple[Wiring, ...], chip: NeuroChip) -> tuple[list[Limit], list[float]]:
    """Neurons and synapses against the chip's totals, where they are published."""
    limits, used = [], []
    for key, amount in (("neurons", net.neurons), ("synapses", sum(w.synapses for w in wires))):
        figure = chip.figure(f"limits.{key}")
        if figure is not None:
            limits.append(Limit(key, figure.value, key, f"{figure.source} ({figure.cls})"))
            used.append(float(amount))
    fan_in = chip.figure("limits.synapses_per_neuron")
    if fan_in is not None:
        limits.append(Limit("synapses a neuron", fan_in.value, "synapses", f"{fan_in.source} ({fan_in.cls})"))
        by_target: dict[str, float] = {}
        for w in wires:
            target = w.projection.target
            by_target[target] = by_target.get(target, 0.0) + w.synapses / net.population(target).size
        used.append(max(by_target.values(), default=0.0))
    return limits, used


def even_share_rule(net: SpikingNet, chip: NeuroChip) -> CoreRule:
    """A core that gets an even share of the chip's neurons and synapses (SpiNNaker2's PEs)."""
    cores = chip.need("limits.cores").value
    keys = ("neurons", "synapses")
    limits = tuple(
        Limit(
            key,
            chip.need(f"limits.{key}").value // cores,
            key,
            f"{chip.need(f'limits.{key}').source}, by core",
        )
        for key in keys
    )

    def use(p: Population, neurons: Ints, incoming: list[Demand], outgoing: Messages) -> Floats:
        synapses = np.zeros_like(neurons)
        for d in incoming:
            synapses = synapses + d.synapses
        return np.stack(np.broadcast_arrays(neurons.astype(np.float64), synapses.astype(np.float64)), axis=-1)

    return CoreRule(limits, use, {"neurons": CHANGE, "synapses": "give each neuron fewer inputs"})


def total_violations(net: SpikingNet, limits: list[Limit], used: list[float]) -> list[Violation]:
    """Totals that are too large."""
    return [
        Violation(f"net {net.name}", limit.name, amount, limit.available, limit.unit, CHANGE)
        for limit, amount in zip(limits, used)
        if amount > limit.available
    ]


def model_violations(net: SpikingNet, family: str, title: str) -> list[Violation]:
    known = MODELS[family]
    return [
        Violation(
            f"layer {p.name}",
            f"neuron model {p.neuron}",
            None,
            None,
            "",
            f"{title} has {', '.join(sorted(known))} only: convert with that neuron",
        )
        for p in net.populations
        if p.neuron != INPUT and p.neuron not in known
    ]
