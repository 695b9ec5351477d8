"""PRelu (ONNX PRelu-16): x, times the slope below zero. Normal form in `compilers.elementwise`, inputs (x, slope)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from trine.compilers.elementwise import channel, several
from trine.compilers.graph import Array, Node
from trine.compilers.operators import Case, Form, SourceNode, Unsupported


def prelu(x: Array, slope: Array) -> Array:
    """x, times slope below zero (He et al. 2015, arXiv 1502.01852)."""
    return np.where(x < 0, slope * x, x)


def read(source: SourceNode) -> Node:
    if source.is_constant(0):
        raise Unsupported("x is a constant")
    node = _OPERANDS.read(source)
    shapes = [source.defined[n].shape if n in source.defined else source.shapes[n] for n in node.inputs]
    if np.broadcast_shapes(*shapes) != source.shape():
        raise Unsupported(f"slopes {shapes[1]} do not broadcast to x of shape {source.shape()}")
    return node


_SLOPES = channel(7)

_OPERANDS = several(
    "PRelu", prelu,
    (
        Case("a_channel", ((4, 9),), constants=(_SLOPES,)),
        Case("one", ((4, 9),), constants=(np.array([0.25], np.float32),)),
        Case("an_element", ((4, 9),), constants=(np.linspace(-1, 1, 36, dtype=np.float32).reshape(4, 9),)),
        Case("image", ((4, 3, 5),), constants=(_SLOPES[:, None],)),
        Case("two_activations", ((4, 9), (4, 1))),
    ),
    kinds="f",
    forms=(
        Form("a_channel", ((4, 9),), {}, {1: _SLOPES}),
        Form("with_batch_axis", ((4, 9),), {}, {1: _SLOPES[None]}),
        Form("one", ((4, 9),), {}, {1: np.array([0.25], np.float32)}),
    ),
)  # fmt: skip

OPERATOR = replace(_OPERANDS, read=read)
