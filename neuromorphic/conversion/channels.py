"""A scale for each channel: activations of all channels fill the same T levels.

ReLU lets positive factors through, so a channel's activations may be divided by a factor that the next layer's weights
are multiplied with; the network stays the same and no neuron needs a threshold of its own for it (channel-wise
normalisation: Kim et al. 2020, arXiv 1903.06530). Quiet channels then spike more often.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from trine.compilers.graph import Array, Shape
from trine.neuromorphic.conversion.layers import FIRE, MAXIMUM, READOUT, Layer, LayerNet, Term
from trine.neuromorphic.conversion.levels import SEARCHED, coarse, summed

SMALLEST: Final = 0.1  # a channel's factor: below it, noise would fill the levels


def normalised(net: LayerNet, samples: Mapping[str, Array], levels: Mapping[str, int | None]) -> LayerNet:
    """The same network, channels of layers that spike scaled alike on samples {input: [n, *shape]}; activations that
    are clipped from above keep their scale. levels: T by layer."""
    values = {t.name: np.asarray(samples[t.name], np.float32) for t in net.inputs}
    factors: dict[str, Array] = {}
    layers = []
    for layer in net.layers:
        z = summed(layer, values)
        values[layer.name] = z if layer.role == READOUT else np.clip(z, 0, layer.ceiling).astype(np.float32)
        terms = layer.terms
        if layer.role == MAXIMUM:  # passes its source's channels on
            if terms[0].source in factors:
                factors[layer.name] = factors[terms[0].source]
        else:
            terms = tuple(
                _received(t, factors[t.source], layer.shape) if t.source in factors else t for t in terms
            )
        made = replace(layer, terms=terms)
        steps = levels.get(layer.name)
        if layer.role == FIRE and steps and np.isinf(layer.ceiling) and values[layer.name].max() > 0:
            factors[layer.name] = found = _factors(values[layer.name], steps)
            made = _sent(made, 1 / found)
        layers.append(made)
    return replace(net, layers=tuple(layers))


def _factors(activations: Array, steps: int) -> Array:
    """Share of the largest channel's scale that each channel takes, by the least squared error of T levels."""
    rows = np.moveaxis(activations, 1, 0).reshape(activations.shape[1], -1)
    tops = np.maximum(rows.max(axis=1), rows.max() * 1e-6)
    best = []
    for row, top in zip(rows, tops):
        errors = [float(np.square(coarse(row, lam / steps, steps) - row).mean()) for lam in top * SEARCHED]
        best.append(float(top * SEARCHED[int(np.argmin(errors))]))
    return np.maximum(np.array(best) / max(best), SMALLEST)


def _sent(layer: Layer, gains: Array) -> Layer:
    """A layer whose channels' sums are multiplied with gains."""

    def along(rank: int) -> Array:
        return gains.reshape(-1, *([1] * (rank - 1)))

    terms = []
    for t in layer.terms:
        if t.kind == "identity":
            made = t.weight * along(len(layer.shape))
        elif t.kind == "dense":
            made = t.weight * np.repeat(gains, len(t.weight) // len(gains)).reshape(-1, 1)
        else:
            made = t.weight * along(t.weight.ndim)
        terms.append(replace(t, weight=made))
    return replace(layer, terms=tuple(terms), bias=layer.bias * along(len(layer.shape)))


def _received(term: Term, factors: Array, shape: Shape) -> Term:
    """A term whose source's channels were divided by factors."""
    w, tail = term.weight, [1] * (term.weight.ndim - 2)
    if term.kind == "identity":
        return replace(term, weight=w * factors.reshape(-1, *([1] * (len(shape) - 1))))
    if term.kind == "dense":
        return replace(term, weight=w * np.repeat(factors, w.shape[1] // len(factors)))
    group = term.attributes["group"]
    each = np.repeat(factors.reshape(group, 1, -1), len(w) // group, axis=1).reshape(len(w), -1, *tail)
    return replace(term, weight=w * each)
