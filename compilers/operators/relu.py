"""Relu (ONNX Relu-14). Normal form: inputs (x); no attributes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from trine.compilers.graph import Array, Node, Shape
from trine.compilers.operators import Case, Form, Operator, SourceNode, floats


def same_shape(node: Node, inputs: Sequence[Shape]) -> list[Shape]:
    """Element by element: the output has the input's shape."""
    return [inputs[0]]


def unary(name: str, function: Callable[[Array], Array]) -> Operator:
    """The record of an operator that maps each value by itself and has no attributes."""

    def read(source: SourceNode) -> Node:
        return Node(name, source.name, (source.inputs[0],), source.outputs)

    def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
        return [floats(function(arguments[0]))]

    cases = (Case("vector", ((37,),)), Case("signal", ((4, 9),)), Case("image", ((3, 5, 4),)))
    return Operator(name, read, same_shape, run, cases, forms=(Form("scalar_an_example", ((),)),))


def relu(x: Array) -> Array:
    """max(x, 0)."""
    return np.maximum(x, np.float32(0))


OPERATOR = unary("Relu", relu)
