"""Real weights to a chip's whole ones: a unit for each layer, an exponent for each path, and bounds that are proved.

A layer's unit is the finest that keeps the worst possible membrane, over all inputs, within the chip's bits: then no
sum wraps or clips on the way, in whatever order spikes arrive. Graded activations have no upper end: theirs is proved
for activations up to twice those of the calibration examples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from trine.compilers.graph import Array, Shape
from trine.devices.errors import InputError
from trine.neuromorphic.arithmetic import ACTIVATION_SHIFT
from trine.neuromorphic.conversion.layers import FIRE, MAXIMUM, Layer, Term
from trine.neuromorphic.conversion.levels import LevelNet
from trine.neuromorphic.conversion.quantised import CountLayer, QuantisedNetwork, Synapses
from trine.neuromorphic.conversion.rounding import grid_of, rounded

# Counts without upper end (graded messages): twice the 511 that the calibration examples reach at most.
UNBOUNDED = 1022.0
PLAIN_BITS = 8  # weights of so many bits and more are rounded one by one
FINE_THRESHOLD = 64  # weight units that a threshold has at least, room permitting: rounded by 1 % at most
OCTAVES = (
    7  # so that a layer has 8 thresholds at most, as many as a core of Loihi 1 holds (nengo-loihi 1.1.0)
)


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
    levels: LevelNet, limits: Limits, shifts: Mapping[str, int], power_of_two: bool = False,
    per_channel: bool = False,
) -> QuantisedNetwork:  # fmt: skip
    """Whole numbers for a `LevelNet`. shifts: exponent that an input's highest digit takes already.

    power_of_two: thresholds are powers of two. per_channel: channels with small weights get finer units and larger
    thresholds, by octaves: at most `OCTAVES` + 1 thresholds a layer. Raises InputError where a layer's weights are
    all zero or cannot meet the limits.
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
        finer = per_channel and layer.role == FIRE
        made = _fixed(layer, levels, limits, shifts, scales, largest, power_of_two, finer)
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
        size = size + _absolute(s.term, float(1 << s.exponent) * largest[s.source], layer.shape)
    return float((size + np.abs(layer.bias) / 64 + layer.thresholds / 2).max())


def _absolute(term: Term, gain: float, shape: Shape) -> Array:
    """Sum of sizes of the weights of each output channel, times a gain; broadcasts to the layer's shape."""
    w = np.abs(np.asarray(term.weight, np.float64))
    if term.kind == "pool":
        return np.asarray(w * np.prod(term.attributes["kernel_shape"]) * gain)
    if term.kind == "identity":
        return np.asarray(w * gain)
    sums = w.reshape(len(w), -1).sum(axis=1) * gain
    return np.asarray(
        sums.reshape(-1, *([1] * (len(shape) - 1))) if term.kind == "conv" else sums.reshape(shape)
    )


def _fixed(
    layer: Layer, levels: LevelNet, limits: Limits, shifts: Mapping[str, int], scales: Mapping[str, float],
    largest: Mapping[str, float], power_of_two: bool, per_channel: bool,
) -> CountLayer | str:  # fmt: skip
    """One layer, or why not."""
    real = [Term(t.source, t.kind, t.weight * scales[t.source], t.attributes) for t in layer.terms]
    fine = limits.weight_bits >= PLAIN_BITS
    grids = [
        float(np.abs(t.weight).max()) / limits.largest if fine else grid_of(t.weight, limits.largest)
        for t in real
    ]
    if not any(t.weight.any() for t in real):
        return "all weights are zero, so that it answers every input alike; remove it or train again"
    scale = levels.scales.get(layer.name, 0.0)
    reach = np.zeros(())
    for t in real:
        reach = reach + _absolute(t, largest[t.source], layer.shape)
    most = scale * (levels.levels.get(layer.name) or 1)  # a threshold of T counts has to fit as well
    by_channel = np.broadcast_to(np.maximum(reach + np.abs(layer.bias) + scale, most), layer.shape)
    span = float(by_channel.max())
    finest = max(span / limits.room, scale / limits.room, 1e-300)
    top = max(grids)
    for g, t in zip(grids, real):
        room = limits.exponent - shifts.get(t.source, 0)
        if room < 0:
            needed = shifts[t.source]
            return f"input {t.source} needs a shift of {needed}, the chip has {limits.exponent}: use fewer input bits"
        finest = max(finest, g / 2.0**room)
    coarsest = min(g for g in grids if g)
    if layer.role == FIRE and not power_of_two:
        coarsest /= 2.0 ** max(0, np.ceil(np.log2(coarsest * FINE_THRESHOLD / scale)))
    unit = max(coarsest, finest)
    octaves: tuple[int, ...] = ()
    gram = None if fine else _counted(levels.grams.get(layer.name), real, scales)
    for _ in range(8):
        if per_channel:
            octaves = _octaves(real, by_channel, unit, limits)
        made = _whole(
            layer,
            real,
            grids,
            unit,
            limits,
            scale,
            levels.levels.get(layer.name),
            power_of_two,
            octaves,
            gram,
        )
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
    power_of_two: bool, octaves: tuple[int, ...], gram: Array | None,
) -> CountLayer:  # fmt: skip
    """Round everything to a unit, or to a unit a channel."""
    theta = round(scale / unit) if layer.role == FIRE else 1
    if power_of_two and theta > 1:
        theta = 1 << (theta.bit_length() - 1)  # a finer count, up to twice as many
    synapses = []
    finer = 2.0 ** np.array(octaves) if octaves else np.ones(1)
    exponents = [max(0, int(np.ceil(np.log2(grid / unit) - 1e-9))) if grid else 0 for grid in grids]
    gains = [gain_of(t, finer, layer.shape) / (unit * 2.0**e) for t, e in zip(real, exponents)]
    wanted = [t.weight * gain for t, gain in zip(real, gains)]
    bias = layer.bias * (finer.reshape(-1, *([1] * (len(layer.shape) - 1))) if octaves else finer[0]) / unit
    if gram is not None:
        steps = np.repeat([2.0**e for e in exponents], [w[0].size for w in wanted])
        flat = np.concatenate([w.reshape(len(w), -1) for w in wanted], axis=1)
        scaled = np.append(steps, 1.0)
        whole, more = rounded(flat, gram * np.outer(scaled, scaled), limits.largest)
        ends = np.cumsum([w[0].size for w in wanted])[:-1]
        wanted = [part.reshape(w.shape) for part, w in zip(np.split(whole, ends, axis=1), wanted)]
        bias = bias + more.reshape(layer.bias.shape)
    for t, weight, exponent in zip(real, wanted, exponents):
        whole = np.clip(np.rint(weight), -limits.largest, limits.largest)
        synapses.append(Synapses(t.source, t.kind, whole.astype(np.int32), exponent, t.attributes))
    bias = np.rint(bias * (1 << ACTIVATION_SHIFT)).astype(np.int64)
    if np.isfinite(layer.ceiling) and levels is not None and scale:
        levels = max(1, min(levels, int(np.floor(layer.ceiling / scale + 0.5))))
    return CountLayer(
        layer.name, layer.tensor, layer.shape, tuple(synapses), bias, max(theta, 0), levels, unit, layer.role,
        not power_of_two, octaves,
    )  # fmt: skip


def _counted(gram: Array | None, real: list[Term], scales: Mapping[str, float]) -> Array | None:
    """Products of activations as products of counts; None where there are none, or a term has no matrix."""
    if gram is None or any(t.weight.ndim < 2 for t in real):
        return None
    each = np.repeat([1 / scales[t.source] for t in real], [t.weight[0].size for t in real])
    factors = np.append(each, 1.0)
    return np.asarray(gram * np.outer(factors, factors))


def gain_of(term: Term, finer: Array, shape: Shape) -> Array:
    """A factor a channel as one that the term's weights can be multiplied with."""
    if finer.size == 1:
        return finer.reshape(())
    if term.kind == "dense":
        return np.repeat(finer, len(term.weight) // len(finer)).reshape(-1, 1)
    rank = len(shape) if term.kind == "identity" else term.weight.ndim
    return finer.reshape(-1, *([1] * (rank - 1)))


def _octaves(real: list[Term], reach: Array, unit: float, limits: Limits) -> tuple[int, ...]:
    """By how many powers of two each channel's numbers may be larger than the layer's, weights and sums permitting."""
    reach = reach.reshape(len(reach), -1).max(axis=1)
    largest = np.zeros(len(reach))
    for t in real:
        each = (
            np.broadcast_to(t.weight, (len(reach), *t.weight.shape[1:])) if t.kind == "identity" else t.weight
        )
        sizes = np.abs(each).reshape(len(reach), -1).max(axis=1)
        largest = np.maximum(largest, sizes / np.abs(t.weight).max())
    room = limits.room * unit / reach
    free = np.floor(np.log2(np.minimum(1 / np.maximum(largest, 2.0**-OCTAVES), np.maximum(room, 1))))
    found = tuple(int(k) for k in np.clip(free, 0, OCTAVES))
    return found if any(found) else ()


def _maximum(layer: Layer, levels: LevelNet, scale: float) -> CountLayer:
    """A maximum passes counts on."""
    term = layer.terms[0]
    path = Synapses(term.source, term.kind, np.ones((), np.int32), 0, term.attributes)
    return CountLayer(layer.name, layer.tensor, layer.shape, (path,), np.zeros((), np.int64), 1,
                      levels.levels.get(term.source), scale, MAXIMUM)  # fmt: skip
