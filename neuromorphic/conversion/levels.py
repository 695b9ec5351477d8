"""Activations in T levels: where each layer's levels lie, and weights and biases that make up for their coarseness.

Levels are QCFS's (Bu et al. 2022, arXiv 2303.04347): a = s clip(floor(z/s + 1/2), 0, T), s = lambda / T. Lambda is the
one of least squared error on calibration data; each layer is then refitted by ridge regression, so that it answers
the coarse activations before it as the trained one answers the fine ones, and its mean is corrected by channel
(the idea of Li et al. 2021, arXiv 2106.06984, in closed form). No labels are used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from trine.compilers.graph import Array
from trine.compilers.operators.conv import pad_spatial, windows
from trine.compilers.target import Progress, silent
from trine.devices.errors import InputError
from trine.neuromorphic.conversion.layers import FIRE, MAXIMUM, READOUT, Layer, LayerNet, Term, apply, pooled

RIDGE = 0.02  # pull towards the trained weights, as a share of the inputs' mean square
SEARCHED = np.geomspace(0.25, 1.0, 25)  # lambda as a share of the largest activation
CHUNK = 512


@dataclass(frozen=True)
class InputLevels:
    """A graph input in whole steps: x is round(x / step), clipped to low .. high steps."""

    name: str
    step: float
    low: int
    high: int

    def encode(self, x: Array) -> Array:
        """Whole steps, int64, of real values."""
        return np.clip(np.rint(np.asarray(x, np.float64) / self.step), self.low, self.high).astype(np.int64)


@dataclass(frozen=True)
class LevelNet:
    """Layers with coarse activations, weights real. levels: T by layer (None: no upper end); scales: of one count.
    trained: the layers before their weights were corrected, whose activations the counts stand for."""

    net: LayerNet
    inputs: Mapping[str, InputLevels]
    levels: Mapping[str, int | None]
    scales: Mapping[str, float]
    trained: LayerNet | None = None
    grams: Mapping[str, Array] = field(default_factory=dict, repr=False)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Real values of every layer and input, [n, *shape] float32."""
        values = {
            k: (code.encode(inputs[k]) * code.step).astype(np.float32) for k, code in self.inputs.items()
        }
        for layer in self.net.layers:
            values[layer.name] = self.activate(layer, summed(layer, values))
        return values

    def activate(self, layer: Layer, z: Array) -> Array:
        """A layer's answer to a sum: coarse, or the sum itself where it is read out."""
        if layer.role != FIRE:
            return z
        return coarse(z, self.scales[layer.name], self.levels[layer.name])


class Simulator(Protocol):
    """Runs layers in time, one after another."""

    def feed(self, code: InputLevels, x: Array) -> None:
        """Take the real values of an input."""

    def run(self, layer: Layer, scale: float, levels: int | None) -> Array:
        """Activations of a layer, counts times scale."""


def coarse(z: Array, scale: float, levels: int | None) -> Array:
    """s clip(floor(z/s + 1/2), 0, T)."""
    return (np.clip(np.floor(z / scale + 0.5), 0, levels) * scale).astype(np.float32)


def summed(layer: Layer, values: Mapping[str, Array]) -> Array:
    """Sum of a layer's terms and bias in float32, or the maximum of its windows."""
    if layer.role == MAXIMUM:
        return np.asarray(pooled(layer.terms[0], values[layer.terms[0].source]).max(axis=-1))
    shape = layer.shape
    parts = (apply(t, values[t.source], shape, t.weight.astype(np.float32)) for t in layer.terms)
    total = np.asarray(sum(parts, np.zeros((), np.float32)))
    return total + layer.bias.astype(np.float32)


def input_levels(net: LayerNet, samples: Mapping[str, Array], bits: int) -> dict[str, InputLevels]:
    """Steps of the inputs: `bits` bits of magnitude over what the samples hold."""
    found = {}
    for t in net.inputs:
        x = samples[t.name]
        most = (1 << bits) - 1
        low, high = float(x.min()), float(x.max())
        step = max(abs(low), abs(high)) / most
        if step == 0:
            raise InputError(f"input {t.name} is zero in all calibration examples: give examples that vary")
        found[t.name] = InputLevels(t.name, step, -most if low < 0 else 0, most if high > 0 else 0)
    return found


def find_levels(
    net: LayerNet,
    samples: Mapping[str, Array],
    levels: Mapping[str, int | None],
    input_bits: int,
    refit: bool = True,
    progress: Progress = silent,
    simulator: Callable[[Mapping[str, InputLevels]], Simulator] | None = None,
) -> LevelNet:
    """Levels of every layer from samples {input: [n, *shape]}; weights refitted layer by layer.

    simulator: makes, for inputs in whole steps, what runs each layer in time, so that the layers behind it are fitted
    to the counts that its spikes arrive at; without one they are fitted to the levels. Raises InputError where a
    layer never answers, so that its threshold would be zero.
    """
    codes = input_levels(net, samples, input_bits)
    fine: dict[str, Array] = {k: np.asarray(samples[k], np.float32) for k in codes}
    rough: dict[str, Array] = {
        k: (c.encode(samples[k]) * c.step).astype(np.float32) for k, c in codes.items()
    }
    simulated = None if simulator is None else simulator(codes)
    for name, code in codes.items():
        if simulated is not None:
            simulated.feed(code, samples[name])
    scales: dict[str, float] = {k: c.step for k, c in codes.items()}
    layers: list[Layer] = []
    grams: dict[str, Array] = {}
    silent_layers: list[str] = []
    for done, layer in enumerate(net.layers):
        progress("finding levels", done, len(net.layers))
        wanted = summed(layer, fine)
        made = layer
        if refit and layer.role != MAXIMUM:
            made, gram = refitted_with(layer, rough, wanted)
            grams |= {} if gram is None else {layer.name: gram}
        z = summed(made, rough)
        fine[layer.name] = (
            np.clip(wanted, 0, layer.ceiling).astype(np.float32) if layer.role == FIRE else wanted
        )
        rough[layer.name] = z
        if layer.role == FIRE:
            if fine[layer.name].max() <= 0:
                silent_layers.append(
                    f"layer {layer.name}: no calibration example makes it answer; its threshold would be zero"
                )
                scales[layer.name] = 1.0  # refused below, with every other silent layer
                continue
            scale, made = fitted_scale(made, z, fine[layer.name], levels[layer.name])
            scales[layer.name] = scale
            rough[layer.name] = (
                coarse(summed(made, rough), scale, levels[layer.name])
                if simulated is None
                else simulated.run(made, scale, levels[layer.name])
            )
        elif layer.role == MAXIMUM:
            scales[layer.name] = scales[layer.terms[0].source]
        layers.append(made)
    if silent_layers:
        raise InputError("\n  ".join(["thresholds cannot be found:", *silent_layers]))
    progress("finding levels", len(net.layers), len(net.layers))
    return LevelNet(replace(net, layers=tuple(layers)), codes, dict(levels), scales, net, grams)


def fitted_scale(layer: Layer, z: Array, wanted: Array, levels: int | None) -> tuple[float, Layer]:
    """The scale of least squared error and the layer with its bias shifted so that channels keep their mean."""
    top = min(float(wanted.max()), layer.ceiling)
    if levels is None:
        return top / 255, layer
    errors = [float(np.square(coarse(z, lam / levels, levels) - wanted).mean()) for lam in top * SEARCHED]
    scale = float(top * SEARCHED[int(np.argmin(errors))] / levels)
    axes = (0, *range(2, z.ndim))
    shift = np.zeros((1, z.shape[1], *([1] * (z.ndim - 2))))
    for _ in range(4):
        error = (wanted - coarse(z + shift.astype(np.float32), scale, levels)).mean(axis=axes, keepdims=True)
        shift = np.clip(shift + error, -scale, scale)
    return scale, replace(layer, bias=layer.bias + shift[0].reshape(-1, *([1] * (z.ndim - 2))))


def refitted(layer: Layer, rough: Mapping[str, Array], wanted: Array) -> Layer:
    """Weights and bias nearest to the trained ones that answer `rough` inputs with the `wanted` sums (ridge)."""
    return refitted_with(layer, rough, wanted)[0]


def refitted_with(layer: Layer, rough: Mapping[str, Array], wanted: Array) -> tuple[Layer, Array | None]:
    """As `refitted`, and sums of products of what the weights multiply; the layer as it is, and None, where its weights
    are no matrix."""
    whole = len(layer.shape) == 1 or (
        layer.bias.size == layer.shape[0] and all(t.kind == "conv" for t in layer.terms)
    )
    if not whole or any(
        t.kind not in ("conv", "dense") or t.attributes.get("group", 1) != 1 for t in layer.terms
    ):
        return layer, None
    n = len(wanted)
    sizes = [int(np.prod(t.weight.shape[1:])) for t in layer.terms]
    if sum(sizes) > 2048:
        return layer, None
    gram = np.zeros((sum(sizes) + 1,) * 2)
    moment = np.zeros((sum(sizes) + 1, layer.shape[0]))
    for at in range(0, n, CHUNK):
        rows = [_columns(t, rough[t.source][at : at + CHUNK]) for t in layer.terms]
        target = np.moveaxis(wanted[at : at + CHUNK], 1, -1).reshape(-1, layer.shape[0])
        x = np.concatenate([*rows, np.ones((len(target), 1), np.float32)], axis=1)
        gram += x.T @ x
        moment += x.T @ target
    trained = np.concatenate(
        [t.weight.reshape(layer.shape[0], -1) for t in layer.terms] + [layer.bias.reshape(-1, 1)], axis=1
    ).T
    power = np.diag(gram).copy()
    pull = RIDGE * np.maximum(power, power[:-1].mean() * 1e-3)
    pull[-1] = 1e-9 * power[-1]
    pull = np.maximum(pull, 1e-12 * power[-1])  # inputs that never come leave their weights as trained
    solved = np.linalg.solve(gram + np.diag(pull), moment + pull[:, None] * trained).T
    ends = np.cumsum([0, *sizes])
    terms = tuple(
        replace(t, weight=solved[:, a:b].reshape(t.weight.shape))
        for t, a, b in zip(layer.terms, ends, ends[1:])
    )
    return replace(layer, terms=terms, bias=solved[:, -1].reshape(layer.bias.shape)), gram


def _columns(term: Term, x: Array) -> Array:
    """What a term's weights multiply, [rows, weights of one output] float32."""
    if term.kind == "dense":
        return x.reshape(len(x), -1)
    a = term.attributes
    view = windows(pad_spatial(x, a["pads"], 0.0), term.weight.shape[2:], a["strides"], a["dilations"])
    rank = term.weight.ndim - 2
    return np.moveaxis(view, 1, 1 + rank).reshape(-1, int(np.prod(term.weight.shape[1:])))


__all__ = ["FIRE", "MAXIMUM", "READOUT", "InputLevels", "LevelNet", "find_levels"]
