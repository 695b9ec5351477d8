"""Softmax along one axis of one example (ONNX Softmax-13).

Normal form: inputs (x); attribute axis, without the batch axis.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.elementwise import same_shape
from trine.compilers.graph import Array, Node
from trine.compilers.operators import Case, Form, Operator, SourceNode, floats


def read(source: SourceNode) -> Node:
    axis = source.axis(source.integer("axis", -1))
    return Node("Softmax", source.name, source.inputs, source.outputs, {"axis": axis})


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    x, axis = arguments[0], node.attributes["axis"] + 1
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return [floats(e / e.sum(axis=axis, keepdims=True))]


OPERATOR = Operator(
    "Softmax", read, same_shape, run,
    (
        Case("classes", ((5,),), {"axis": 0}),
        Case("one_class", ((1,),), {"axis": 0}),
        Case("last_axis", ((4, 9),), {"axis": 1}),
        Case("channels", ((4, 9),), {"axis": 0}),
    ),
    forms=(
        Form("default", ((4, 9),)),
        Form("negative", ((4, 9),), {"axis": -2}),
        Form("classes", ((7,),), {"axis": 1}),
    ),
)  # fmt: skip
