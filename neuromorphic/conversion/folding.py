"""Linear nodes folded into weights: averages, joins, scales, and layers that no ReLU parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from trine.compilers.graph import Array, Node, Shape
from trine.compilers.operators.averagepool import divisors
from trine.devices.errors import InputError
from trine.neuromorphic.conversion.layers import Term

BASIS: Final = 256  # unit vectors pushed through linear nodes at a time


@dataclass(frozen=True)
class Sum:
    """A sum of terms plus bias that no ReLU has met yet. bias: broadcasts to the sum's shape."""

    terms: tuple[Term, ...]
    bias: Array


def columns(shape: Shape, forward: Callable[[Array], Array]) -> Array:
    """The matrix (out, in) of a linear function of values of a shape, found by sending unit vectors forward."""
    size = int(np.prod(shape))
    found = []
    for at in range(0, size, BASIS):
        unit = np.eye(min(BASIS, size - at), size, at).reshape(-1, *shape)
        found.append(forward(unit).reshape(len(unit), -1))
    return np.concatenate(found).T


def by_channel(bias: Array) -> Array:
    """A bias for each neuron as one for each channel, where a channel has one."""
    flat = bias.reshape(len(bias), -1)
    return bias if np.ptp(flat, axis=1).any() else flat[:, 0].reshape(-1, *([1] * (bias.ndim - 1)))


def scaled(total: Sum, factor: Array, shape: Shape) -> Sum:
    """A sum times a constant that broadcasts to its shape."""
    each = np.broadcast_to(factor, shape)
    channels = by_channel(each) if each.ndim else each
    terms = []
    for term in total.terms:
        if term.kind == "identity":
            made = term.weight * channels
        elif term.kind == "dense":
            made = term.weight * each.reshape(-1, 1)
        elif channels.size == shape[0]:
            made = term.weight * channels.reshape(-1, *([1] * (term.weight.ndim - 1)))
        else:
            raise InputError(f"scales of {np.shape(factor)} that differ inside a channel of {shape}")
        terms.append(replace(term, weight=made))
    return Sum(tuple(terms), total.bias * channels)


def whole_groups(weight: Array, group: int) -> Array:
    """Weights of a grouped convolution written out over all input channels, (out, in, *kernel)."""
    out, each = weight.shape[:2]
    full = np.zeros((out, each * group, *weight.shape[2:]))
    for g in range(group):
        rows = slice(g * out // group, (g + 1) * out // group)
        full[rows, g * each : (g + 1) * each] = weight[rows]
    return full


def folded(term: Term, weight: Array, node: Node) -> Term | None:
    """A convolution behind a term as one convolution: behind one-to-one scales, or with a kernel of 1 behind another
    convolution; None where borders or shapes forbid it."""
    a = node.attributes
    if term.kind == "identity":
        out, each = weight.shape[:2]
        inputs = each * a["group"]
        if term.weight.size not in (1, inputs):
            return None
        gains = np.broadcast_to(term.weight.reshape(-1), (inputs,)).reshape(a["group"], 1, each)
        gains = np.repeat(gains, out // a["group"], axis=1).reshape(out, each, *([1] * (weight.ndim - 2)))
        return Term(term.source, "conv", weight * gains, dict(a))
    if term.kind != "conv" or set(weight.shape[2:]) != {1} or any(a["pads"]):
        return None
    mixed = whole_groups(weight, a["group"]).reshape(len(weight), -1)
    inner = whole_groups(term.weight, term.attributes["group"])
    strides = tuple(s * k for s, k in zip(term.attributes["strides"], a["strides"]))
    return Term(
        term.source,
        "conv",
        np.tensordot(mixed, inner, 1),
        {**term.attributes, "group": 1, "strides": strides},
    )


def spread_average(node: Node, rows: Array, shape: Shape) -> Array:
    """The transpose of an average pool: each output's row shared among the cells of its window."""
    a, rank = node.attributes, len(shape) - 1
    shared = rows / divisors(node, shape[1:])
    padded = tuple(s + b + e for s, b, e in zip(shape[1:], a["pads"][:rank], a["pads"][rank:]))
    total = np.zeros((len(rows), shape[0], *padded))
    for cell in np.ndindex(*a["kernel_shape"]):
        reach = zip(cell, a["strides"], rows.shape[2:])
        places = tuple(slice(c, c + stride * (n - 1) + 1, stride) for c, stride, n in reach)
        total[(slice(None), slice(None), *places)] += shared
    inside = tuple(slice(b, b + s) for b, s in zip(a["pads"][:rank], shape[1:]))
    return total[(slice(None), slice(None), *inside)]


def joined(parts: Sequence[list[Term] | None]) -> list[Term] | None:
    """All terms, or None where one part has none."""
    return None if any(p is None for p in parts) else [term for p in parts if p is not None for term in p]


def over_average(pool: Node, weight: Array, node: Node, spatial: Shape) -> tuple[Array, Node] | None:
    """A convolution of averages as one longer convolution; None where windows overlap or are padded."""
    a = pool.attributes
    window = a["kernel_shape"]
    plain = a["strides"] == window and not any(a["pads"]) and set(a["dilations"]) == {1}
    cut = any(size % k for size, k in zip(spatial[1:], window)) and any(node.attributes["pads"])
    if not plain or cut or any(d != 1 for d in node.attributes["dilations"]):
        return None
    wide = weight
    for axis, k in enumerate(window):
        wide = np.repeat(wide, k, axis=2 + axis)
    attributes = {
        **node.attributes,
        "strides": tuple(s * k for s, k in zip(node.attributes["strides"], window)),
        "pads": tuple(p * k for p, k in zip(node.attributes["pads"], (*window, *window))),
    }
    return wide / float(np.prod(window)), Node("Conv", node.name, node.inputs, node.outputs, attributes)
