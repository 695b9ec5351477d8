"""GlobalAveragePool (ONNX GlobalAveragePool-1).

Normal form: inputs (x (channels, *spatial)); no attributes.
"""

from __future__ import annotations

from collections.abc import Sequence

from trine.compilers.graph import Array, Node, Shape
from trine.compilers.operators import Case, Form, Operator, SourceNode, Unsupported, floats


def read(source: SourceNode) -> Node:
    if len(source.shape()) < 2:
        raise Unsupported(f"shape {source.shape()} has no spatial axes")
    return Node("GlobalAveragePool", source.name, source.inputs, source.outputs)


def shapes(node: Node, inputs: Sequence[Shape]) -> list[Shape]:
    return [(inputs[0][0], *(1 for _ in inputs[0][1:]))]


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    x = arguments[0]
    return [floats(x.mean(axis=tuple(range(2, x.ndim)), keepdims=True))]


OPERATOR = Operator(
    "GlobalAveragePool", read, shapes, run,
    (Case("1d", ((6, 25),)), Case("2d", ((5, 6, 7),)), Case("one_position", ((9, 1, 1),))),
    forms=(Form("plain", ((3, 11),)),),
)  # fmt: skip
