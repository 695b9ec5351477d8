"""Layers cut into blocks of output channels, so that each can choose the few inputs that its core has room for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import numpy as np

from trine.compilers.graph import Array, Shape
from trine.devices.errors import InputError
from trine.neuromorphic.conversion.layers import Layer, LayerNet, Term

Cuts = tuple[int, ...]


def plain(term: Term) -> bool:
    """Whether any input may be left out of a term."""
    return term.kind in ("conv", "dense") and term.attributes.get("group", 1) == 1


def fan_in(layer: Layer, net: LayerNet) -> int:
    """Sources of one neuron; graph inputs come on two lines, one a sign."""
    inputs = {t.name for t in net.inputs}
    return sum(taps_of(t, net.shape(t.source)) * (1 + (t.source in inputs)) for t in layer.terms)


def taps_of(term: Term, source: Shape) -> int:
    """Sources that one neuron has through a term."""
    if term.kind == "dense":
        return int(np.prod(source))
    if term.kind == "conv":
        return int(np.prod(term.weight.shape[1:]))
    return int(np.prod(term.attributes["kernel_shape"])) if term.kind == "pool" else 1


def cut(net: LayerNet, most: int, outputs: int) -> LayerNet:
    """Layers with more than `most` inputs a neuron in blocks of at most `outputs` channels.

    Raises InputError naming every layer that cannot be cut: a grouped path, a pool, a path one to one.
    """
    wide = {x.name for x in net.layers if fan_in(x, net) > most}
    problems = [
        f"layer {x.name}: {fan_in(x, net)} inputs a neuron, at most {most}, and its path from {t.source} ({t.kind}) "
        "has none to spare; make the layer narrower"
        for x in net.layers if x.name in wide for t in x.terms if not plain(t)
    ]  # fmt: skip
    shapes = {x.name: x.shape for x in net.layers}
    cuts = {x.name: _edges(x.shape[0], outputs if x.name in wide else x.shape[0]) for x in net.layers}
    problems += [
        f"layer {x.name}: a path of kind {t.kind} comes from {t.source}, which is cut into blocks; use a plain "
        "convolution there"
        for x in net.layers for t in x.terms if not plain(t) and len(cuts.get(t.source, (0, 1))) > 2
    ]  # fmt: skip
    if problems:
        raise InputError("the network is too wide for the chip's cores:\n  " + "\n  ".join(problems))
    layers = []
    for layer in net.layers:
        if len(cuts[layer.name]) == 2:
            terms = [piece for t in layer.terms for piece in _pieces(t, None, cuts.get(t.source), shapes)]
            layers.append(replace(layer, terms=tuple(terms)))
            continue
        for name, low, high in blocks_of(layer.name, cuts[layer.name]):
            terms = [
                piece
                for t in layer.terms
                for piece in _pieces(t, slice(low, high), cuts.get(t.source), shapes)
            ]
            shape = (high - low, *layer.shape[1:])
            bias = _rows(layer.bias, layer.shape[0], low, high)
            layers.append(replace(layer, name=name, shape=shape, bias=bias, terms=tuple(terms)))
    return replace(net, layers=tuple(layers))


def _edges(channels: int, each: int) -> Cuts:
    blocks = -(-channels // each)
    return tuple(np.linspace(0, channels, blocks + 1).astype(int).tolist())


def blocks_of(name: str, cuts: Cuts) -> list[tuple[str, int, int]]:
    """(name, first channel, end) of each block of a layer."""
    if len(cuts) == 2:
        return [(name, cuts[0], cuts[1])]
    return [(f"{name}_block{k}", low, high) for k, (low, high) in enumerate(pairwise(cuts))]


def _rows(bias: Array, channels: int, low: int, high: int) -> Array:
    return bias[low:high] if bias.ndim and bias.shape[0] == channels else bias


def _pieces(t: Term, rows: slice | None, cuts: Cuts | None, shapes: Mapping[str, Shape]) -> list[Term]:
    """Some or all rows of a term, one term for each block of its source."""
    weight = t.weight if rows is None else t.weight[rows]
    if cuts is None or len(cuts) == 2:
        return [replace(t, weight=weight)]
    size = int(np.prod(shapes[t.source][1:])) if t.kind == "dense" else 1
    return [
        replace(t, source=name, weight=weight[:, a * size : b * size])
        for name, a, b in blocks_of(t.source, cuts)
    ]
