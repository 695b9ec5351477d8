"""Receipts of networks whose layers a chip's form has cut or added to: classes step by step, counts layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from trine.compilers.graph import Array
from trine.neuromorphic.conversion.convert import Converted
from trine.neuromorphic.conversion.running import run_spiking

LOST = 0.05  # share of examples that change class in one step, from which on it is said


def stages(converted: Converted, samples: Mapping[str, Array]) -> dict[str, Any]:
    """For `receipts.json`: share of examples with the float network's class after each step; counts by layer."""
    made, graph = converted.spiking, converted.graph
    assert made is not None
    examples = len(next(iter(samples.values())))
    ran = run_spiking(made, converted.network, converted.network.encode(samples))
    logits = graph.run(dict(samples))[graph.outputs[0]].reshape(examples, -1)
    classes = {"float": logits.argmax(axis=1), "integers": ran.quantised, "spiking": ran.spiking}
    agreement = {stage: float((c == classes["float"]).mean()) for stage, c in classes.items()}
    sizes = {layer.name: int(np.prod(layer.shape)) for layer in converted.network.layers}
    layers = [
        {
            "layer": name, "stage": "spiking", "spikes_a_neuron": c.spikes / (examples * sizes[name]),
            "differing": c.differing / c.values, "mean_shift": (c.spikes - c.wanted) / c.values,
            "silent_neurons": c.silent_neurons,
        }
        for name, c in ran.layers.items() if name in sizes
    ]  # fmt: skip
    return {
        "examples": examples,
        "stages": [{"stage": s, "agreement": a, "accuracy": None} for s, a in agreement.items()],
        "layers": layers,
        "warnings": _warnings(classes, agreement, layers),
    }


def _warnings(
    classes: Mapping[str, Array], agreement: Mapping[str, float], layers: list[dict[str, Any]]
) -> list[str]:
    found = [f"layer {x['layer']} is silent, no neuron spikes" for x in layers if x["spikes_a_neuron"] == 0][
        :1
    ]
    for before, after in (("float", "integers"), ("integers", "spiking")):
        lost = agreement[before] - agreement[after]
        if lost > LOST:
            found.append(f"step {after} moves {lost:.1%} of the examples to another class")
        if len(np.unique(classes[after])) == 1 < len(np.unique(classes["float"])):
            found.append(f"step {after} puts every example in one class")
    return found
