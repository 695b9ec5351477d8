"""Real weights to a chip's whole ones: a unit for each layer, an exponent for each path, and bounds that are proved.

A layer's unit is the finest that keeps the worst possible membrane, over all inputs, within the chip's bits: then no
sum wraps or clips on the way, in whatever order spikes arrive. Graded activations have no upper end: theirs is proved
for activations up to twice those of the calibration examples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from trine.compilers.graph import Array
from trine.devices.errors import InputError
from trine.neuromorphic.arithmetic import ACTIVATION_SHIFT
from trine.neuromorphic.conversion.layers import FIRE, MAXIMUM, Layer, Term
from trine.neuromorphic.conversion.levels import LevelNet
from trine.neuromorphic.conversion.quantised import CountLayer, QuantisedNetwork, Synapses

# Counts without upper end (graded messages): twice the 511 that the calibration examples reach at most.
UNBOUNDED = 1022.0


@dataclass(frozen=True)
class Limits:
    """What whole numbers a chip holds.

    weight_bits: of a weight, sign included. membrane_bits: of the membrane, sign included, six of them below a weight
    unit (facts: 24 on Loihi 1). exponent: largest shift of a path, digits of inputs included.
    Sources: Davies et al. 2018 (doi 10.1109/MM.2018.112130359); lava-nc 0.10.0; nengo-loihi 1.1.0.
    """

    weight_bits: int = 8
    membrane_bits: int = 24
    exponent: int = 7

    @property
    def largest(self) -> int:
        """Largest weight."""
        return int((1 << (self.weight_bits - 1)) - 1)

    @property
    def room(self) -> int:
        """Largest membrane in weight units."""
        return int((1 << (self.membrane_bits - 1 - ACTIVATION_SHIFT)) - 1)


def fix(
    levels: LevelNet, limits: Limits, shifts: Mapping[str, int], power_of_two: bool = False
) -> QuantisedNetwork:
    """Whole numbers for a `LevelNet`. shifts: exponent that an input's highest digit takes already.

    power_of_two: thresholds are powers of two. Raises InputError where a layer's weights are all zero or cannot meet
    the limits.
    """
    layers: list[CountLayer] = []
    scales = {k: code.step for k, code in levels.inputs.items()}
    largest: dict[str, float] = {k: max(code.high, -code.low) for k, code in levels.inputs.items()}
    problems: list[str] = []
    for layer in levels.net.layers:
        if layer.role == MAXIMUM:
            source = layer.terms[0].source
            scales[layer.name], largest[layer.name] = scales[source], largest[source]
            layers.append(_maximum(layer, levels, scales[source]))
            continue
        made = _fixed(layer, levels, limits, shifts, scales, largest, power_of_two)
        if isinstance(made, str):
            problems.append(f"layer {layer.name}: {made}")
            scales[layer.name], largest[layer.name] = 1.0, 1.0
            continue
        layers.append(made)
        scales[layer.name] = made.scale
        largest[layer.name] = UNBOUNDED if made.levels is None else made.levels
    if problems:
        raise InputError("no whole numbers can be found:\n  " + "\n  ".join(problems))
    shapes = {t.name: t.shape for t in levels.net.inputs}
    most = next((layer.levels for layer in layers if layer.role == FIRE), None)
    codes = tuple(levels.inputs[t.name] for t in levels.net.inputs)
    return QuantisedNetwork(levels.net.name, codes, shapes, tuple(layers), most, limits.weight_bits)


def worst(layer: CountLayer, largest: Mapping[str, float]) -> float:
    """Largest size the membrane can take over all inputs and all orders of arrival, in weight units, plus theta / 2."""
    size = np.zeros(())
    for s in layer.synapses:
        size = size + _absolute(s.term, float(1 << s.exponent) * largest[s.source])
    return float((size + np.abs(layer.bias) / 64).max() + layer.theta / 2)


def _absolute(term: Term, gain: float) -> Array:
    """Sum of sizes of the weights of each output channel, times a gain; broadcasts to the layer's shape."""
    w = np.abs(np.asarray(term.weight, np.float64))
    if term.kind == "pool":
        return np.asarray(w * np.prod(term.attributes["kernel_shape"]) * gain)
    if term.kind == "identity":
        return np.asarray(w * gain)
    sums = w.reshape(len(w), -1).sum(axis=1) * gain
    return np.asarray(sums.reshape(-1, *([1] * (term.weight.ndim - 2))) if term.kind == "conv" else sums)


def _fixed(
    layer: Layer, levels: LevelNet, limits: Limits, shifts: Mapping[str, int], scales: Mapping[str, float],
    largest: Mapping[str, float], power_of_two: bool,
) -> CountLayer | str:  # fmt: skip
    """One layer, or why not."""
    real = [Term(t.source, t.kind, t.weight * scales[t.source], t.attributes) for t in layer.terms]
    grids = [float(np.abs(t.weight).max()) / limits.largest for t in real]
    if max(grids, default=0.0) == 0.0:
        return "all weights are zero, so that it answers every input alike; remove it or train again"
    scale = levels.scales.get(layer.name, 0.0)
    reach = np.zeros(())
    for t in real:
        reach = reach + _absolute(t, largest[t.source])
    span = float((reach + np.abs(layer.bias)).max()) + scale
    finest = max(span / limits.room, scale / limits.room, 1e-300)
    top = max(grids)
    for g, t in zip(grids, real):
        room = limits.exponent - shifts.get(t.source, 0)
        if room < 0:
            needed = shifts[t.source]
            return f"input {t.source} needs a shift of {needed}, the chip has {limits.exponent}: use fewer input bits"
        finest = max(finest, g / 2.0**room)
    unit = max(min(g for g in grids if g), finest)
    for _ in range(8):
        made = _whole(layer, real, grids, unit, limits, scale, levels.levels.get(layer.name), power_of_two)
        over = worst(made, largest) / limits.room
        if over <= 1:
            break
        unit *= over * 1.001
    else:
        return "its sums exceed the chip's membrane at any scale"
    if layer.role == FIRE and made.theta < 1:
        return (
            f"threshold {scale:.4g} rounds to 0 in units of {unit:.4g} (largest weight {top * limits.largest:.4g}), "
            "so that every input would make it spike: its weights dwarf its activations; train it with weight decay"
        )
    return made


def _whole(
    layer: Layer, real: list[Term], grids: list[float], unit: float, limits: Limits, scale: float, levels: int | None,
    power_of_two: bool,
) -> CountLayer:  # fmt: skip
    """Round everything to a unit."""
    theta = round(scale / unit) if layer.role == FIRE else 1
    if power_of_two and theta > 1:
        theta = 1 << (theta.bit_length() - 1)  # a finer count, up to twice as many
    synapses = []
    for t, grid in zip(real, grids):
        exponent = max(0, int(np.ceil(np.log2(grid / unit) - 1e-9))) if grid else 0
        whole = np.clip(np.rint(t.weight / (unit * 2.0**exponent)), -limits.largest, limits.largest)
        synapses.append(Synapses(t.source, t.kind, whole.astype(np.int32), exponent, t.attributes))
    bias = np.rint(layer.bias / unit * (1 << ACTIVATION_SHIFT)).astype(np.int64)
    if np.isfinite(layer.ceiling) and levels is not None and scale:
        levels = max(1, min(levels, int(np.floor(layer.ceiling / scale + 0.5))))
    return CountLayer(
        layer.name, layer.tensor, layer.shape, tuple(synapses), bias, max(theta, 0), levels, unit, layer.role,
        not power_of_two,
    )  # fmt: skip


def _maximum(layer: Layer, levels: LevelNet, scale: float) -> CountLayer:
    """A maximum passes counts on."""
    term = layer.terms[0]
    path = Synapses(term.source, term.kind, np.ones((), np.int32), 0, term.attributes)
    return CountLayer(layer.name, layer.tensor, layer.shape, (path,), np.zeros((), np.int64), 1,
                      levels.levels.get(term.source), scale, MAXIMUM)  # fmt: skip
