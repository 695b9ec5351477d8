"""Small spiking nets, and events, for the tests of mapping and energy."""

from __future__ import annotations

from typing import Any

import numpy as np

from trine.devices import NeuroChip, load_device
from trine.neuromorphic.events import Events, PopulationEvents, ProjectionEvents
from trine.neuromorphic.net import INPUT, Population, Projection, Shape, SpikingNet


def chip(name: str) -> NeuroChip:
    device = load_device(name)
    assert isinstance(device, NeuroChip)
    return device


def stack(
    *layers: tuple[Shape, dict[str, Any] | None], neuron: str = "CubaLIF", reset: str = "zero"
) -> SpikingNet:
    """Layers one behind the other: (shape, None) is dense, (shape, {"kernel": ..., "largest": ...}) a
    convolution.

    The first layer is the input. Weights are seeded integers in [-largest, largest], 120 unless told.
    """
    rng = np.random.default_rng(7)
    populations = [Population("layer0", INPUT, layers[0][0])]
    projections = []
    for number, (shape, options) in enumerate(layers[1:], start=1):
        options = dict(options or {})
        before = populations[-1]
        largest = options.pop("largest", 120)
        kernel = options.pop("kernel", None)
        if kernel is None:
            kind, size = "dense", (int(np.prod(shape)), before.size)
        else:
            kind, size = "conv", (shape[0], before.shape[0] // options.get("group", 1), *kernel)
        weight = rng.integers(-largest, largest + 1, size, dtype=np.int16)
        populations.append(Population(f"layer{number}", neuron, shape, reset=reset))
        projections.append(Projection(f"p{number}", before.name, f"layer{number}", kind, weight, options))
    return SpikingNet(
        "stack", 1e-3, tuple(populations), tuple(projections), ("layer0",), (populations[-1].name,)
    )


def ecg(largest: int = 120, neuron: str = "CubaLIF", reset: str = "zero") -> SpikingNet:
    """187 -> conv 5/2 x 16 -> conv 5/2 x 16 -> 16 -> 5: the worked example of Trine's energy model."""
    conv, dense = {"kernel": (5,), "strides": (2,), "largest": largest}, {"largest": largest}
    return stack(
        ((1, 187), None), ((16, 92), conv), ((16, 44), conv), ((16,), dense), ((5,), dense),
        neuron=neuron, reset=reset,
    )  # fmt: skip


def perceptron() -> SpikingNet:
    """784-512-512-10, dense."""
    return stack(((784,), None), ((512,), None), ((512,), None), ((10,), None))


def events(net: SpikingNet, rate: float, steps: int = 10, examples: int = 1) -> Events:
    """Every population spikes at one rate; every neuron is updated in every step; synapses by dense
    fan-out.
    """
    neuron_steps = steps * examples
    spikes = {p.name: round(p.size * neuron_steps * rate) for p in net.populations}
    return Events(
        steps,
        examples,
        {
            p.name: PopulationEvents(
                p.size, 0 if p.neuron == INPUT else p.size * neuron_steps, spikes[p.name]
            )
            for p in net.populations
        },
        {p.name: ProjectionEvents(spikes[p.source] * net.population(p.target).size) for p in net.projections},
    )


def synapses(net: SpikingNet, projection: Projection) -> list[tuple[int, int]]:
    """(source, target) of every connection of a projection, one by one: the slow definition."""
    source, target = net.population(projection.source), net.population(projection.target)
    if projection.kind == "dense":
        return [(i, o) for o in range(target.size) for i in range(source.size)]
    if projection.kind == "identity":
        return [(i, i) for i in range(target.size)]
    found = []
    kernel = (
        projection.weight.shape[2:] if projection.kind == "conv" else projection.attributes["kernel_shape"]
    )
    groups = projection.attributes.get("group", 1) if projection.kind == "conv" else source.shape[0]
    rank = len(kernel)
    strides = projection.attributes.get("strides", (1,) * rank)
    dilations = projection.attributes.get("dilations", (1,) * rank)
    pads = projection.attributes.get("pads", (0,) * 2 * rank)
    ins, outs = source.shape[0] // groups, target.shape[0] // groups
    for index in np.ndindex(*target.shape):
        for tap in np.ndindex(*kernel):
            place = [o * s + k * d - p for o, s, k, d, p in zip(index[1:], strides, tap, dilations, pads)]
            if all(0 <= x < n for x, n in zip(place, source.shape[1:])):
                for c in range(ins):
                    at = (index[0] // outs * ins + c, *place)
                    found.append(
                        (
                            int(np.ravel_multi_index(at, source.shape)),
                            int(np.ravel_multi_index(index, target.shape)),
                        )
                    )
    return found
