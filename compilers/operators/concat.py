"""Concat along an axis of one example (ONNX Concat-13).

Normal form: inputs (a, b, ...), activations all; attribute axis, without the batch axis.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.graph import Array, Node, Shape
from trine.compilers.operators import Case, Form, Operator, SourceNode, Unsupported, floats


def read(source: SourceNode) -> Node:
    constant = [name for name in source.inputs if name in source.constants]
    if constant:
        raise Unsupported(
            f"joins the constant {constant[0]} to every example; only activations can be joined"
        )
    axis = source.axis(source.integer("axis", 0))
    parts = [source.shape(i) for i in range(len(source.inputs))]
    if len({(len(part), *part[:axis], *part[axis + 1 :]) for part in parts}) != 1:
        raise Unsupported(f"shapes {', '.join(map(str, parts))} differ off axis {axis + 1}")
    return Node("Concat", source.name, source.inputs, source.outputs, {"axis": axis})


def shapes(node: Node, inputs: Sequence[Shape]) -> list[Shape]:
    axis = node.attributes["axis"]
    return [(*inputs[0][:axis], sum(shape[axis] for shape in inputs), *inputs[0][axis + 1 :])]


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    return [floats(np.concatenate(arguments, axis=node.attributes["axis"] + 1))]


OPERATOR = Operator(
    "Concat", read, shapes, run,
    (
        Case("vectors", ((5,), (4,)), {"axis": 0}),
        Case("channels", ((2, 9), (3, 9), (1, 9)), {"axis": 0}),
        Case("time", ((4, 5), (4, 2)), {"axis": 1}),
        Case("image_width", ((3, 5, 4), (3, 5, 1)), {"axis": 2}),
    ),
    forms=(
        Form("negative_axis", ((4, 5), (4, 2)), {"axis": -1}),
        Form("channels", ((2, 9), (3, 9)), {"axis": 1}),
        Form("one", ((2, 9),), {"axis": 1}),
    ),
)  # fmt: skip
