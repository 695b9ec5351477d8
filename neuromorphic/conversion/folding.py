"""Linear nodes folded into the weights behind them: averages, joins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.graph import Array, Node, Shape
from trine.compilers.operators.averagepool import divisors
from trine.neuromorphic.conversion.layers import Term


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
