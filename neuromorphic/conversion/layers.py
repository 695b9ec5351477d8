"""The trained network as layers that a spiking population can stand for, and everything that stands in the way.

A layer is ReLU(sum of linear terms + bias), a maximum over windows, or a last linear sum that is only read out. What
lies between (pooling by averages, flattening, joining, adding) is folded into the terms of the layers behind it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trine.compilers.graph import Array, Node, Shape, Tensor
from trine.compilers.operators.conv import convolve, pad_spatial, windows

FIRE, MAXIMUM, READOUT = "fire", "maximum", "readout"


@dataclass(frozen=True)
class Term:
    """One linear path into a layer.

    kind: "conv" (weight (out, in/group, *kernel), ONNX attributes), "dense" (weight (out, in), both flattened),
    "identity" (weight a scalar array, or one that broadcasts to the shape) or "pool" (windows of each channel, weight
    a scalar array; attributes kernel_shape, strides, pads).
    """

    source: str
    kind: str
    weight: Array
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Layer:
    """One population to be. tensor: the activation of the graph that it computes. shape: of one example.

    bias: float64, broadcasts to shape. ceiling: largest activation (Clip), or infinity. role: FIRE, MAXIMUM, READOUT.
    """

    name: str
    tensor: str
    shape: Shape
    terms: tuple[Term, ...]
    bias: Array
    role: str = FIRE
    ceiling: float = np.inf


@dataclass(frozen=True)
class LayerNet:
    """Layers in an order in which they can run; `inputs` are those of the graph, `output` the layer that answers."""

    name: str
    inputs: tuple[Tensor, ...]
    layers: tuple[Layer, ...]

    @property
    def output(self) -> Layer:
        """The readout."""
        return self.layers[-1]

    def shape(self, source: str) -> Shape:
        """Shape of one example of an input or a layer."""
        shapes = {t.name: t.shape for t in self.inputs} | {layer.name: layer.shape for layer in self.layers}
        return shapes[source]

    def depths(self) -> dict[str, int]:
        """Number of layers on the longest way from an input to each layer, itself counted; inputs are 0."""
        found = {t.name: 0 for t in self.inputs}
        for layer in self.layers:
            found[layer.name] = 1 + max((found[term.source] for term in layer.terms), default=0)
        return found


def apply(term: Term, x: Array, shape: Shape, weight: Array | None = None) -> Array:
    """What a term adds to its layer, [n, *shape], in the weight's own type; `weight` replaces the term's."""
    w = term.weight if weight is None else weight
    x = x.astype(w.dtype, copy=False)
    if term.kind == "dense":
        return (x.reshape(len(x), -1) @ w.T).reshape(-1, *shape)
    if term.kind == "identity":
        return x.reshape(-1, *shape) * w
    if term.kind == "pool":
        return np.asarray(pooled(term, x).sum(axis=-1) * w, w.dtype)
    node = Node("Conv", "", (), (), term.attributes)
    return convolve(pad_spatial(x, term.attributes["pads"], 0.0), w, node)


def pooled(term: Term, x: Array) -> Array:
    """Windows of a pool, padded with zeros: [n, channels, *positions, cells]."""
    a = term.attributes
    rank = len(a["kernel_shape"])
    view = windows(pad_spatial(x, a["pads"], 0.0), a["kernel_shape"], a["strides"], (1,) * rank)
    return view.reshape(*view.shape[: 2 + rank], -1)
