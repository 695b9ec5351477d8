"""ArgMax along one axis of one example (ONNX ArgMax-13): the first of equal values, or the last where asked.

Normal form: inputs (x); attributes axis, keepdims, select_last_index; the result is int64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from trine.compilers.elementwise import require
from trine.compilers.graph import Array, Node, Shape
from trine.compilers.operators import Case, Form, Operator, SourceNode, Spelled
from trine.compilers.reduction import batch_after


def shapes(node: Node, inputs: Sequence[Shape]) -> list[Shape]:
    axis, keep = node.attributes["axis"], node.attributes["keepdims"]
    return [tuple(1 if i == axis else size for i, size in enumerate(inputs[0]) if keep or i != axis)]


def types(node: Node, inputs: Sequence[str]) -> list[str]:
    return ["int64"]


def batch(source: SourceNode) -> list[int | None]:
    axis = source.axis(source.integer("axis", 0))
    return [batch_after(source, (axis,), source.integer("keepdims", 1))]


def spell(node: Node, opset: int) -> list[Spelled]:
    attributes = {**node.attributes, "axis": node.attributes["axis"] + 1}
    return [Spelled(node.op, node.inputs, node.outputs, attributes)]


def argument(name: str, function: Callable[..., Array]) -> Operator:
    """The record of ArgMax or ArgMin; function(x, axis) gives the first place."""

    def read(source: SourceNode) -> Node:
        require(source, "fiu")
        attributes = {
            "axis": source.axis(source.integer("axis", 0)),
            "keepdims": source.integer("keepdims", 1),
            "select_last_index": source.integer("select_last_index", 0),
        }
        return Node(name, source.name, source.inputs, source.outputs, attributes)

    def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
        x, axis = arguments[0], node.attributes["axis"] + 1
        if node.attributes["select_last_index"]:
            place = x.shape[axis] - 1 - function(np.flip(x, axis), axis)
        else:
            place = function(x, axis)
        place = np.expand_dims(place, axis) if node.attributes["keepdims"] else place
        return [np.asarray(place, np.int64)]

    def case(label: str, shape: Shape, axis: int, keepdims: int, last: int) -> Case:
        return Case(label, (shape,), {"axis": axis, "keepdims": keepdims, "select_last_index": last})

    return Operator(
        name, read, shapes, run,
        (
            case("classes", (5,), 0, 0, 0), case("time", (6, 25), 1, 0, 0), case("time_last", (6, 25), 1, 1, 1),
            case("channels", (6, 5, 4), 0, 1, 0), case("rows", (3, 5, 4), 1, 0, 1),
        ),
        forms=(
            Form("negative", ((4, 9),), {"axis": -1}),
            Form("dropped", ((4, 9),), {"axis": 1, "keepdims": 0, "select_last_index": 1}),
        ),
        types=types, batch=batch, spell=spell,
    )  # fmt: skip


OPERATOR = argument("ArgMax", np.argmax)
