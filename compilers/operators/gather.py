"""Gather: entries of an axis by their indices, constant ones or computed ones (ONNX Gather-13).

Normal form: inputs (data, indices), one of which may be a constant (attribute `constant`, one flag each): a constant
`data` is a table of embeddings. Attribute axis: of one example of data, or of the whole constant; ranks, only where
that is not a table's first: the axes of the table and of one example's indices. Indices that are computed are clipped
to the axis (see `movement.clipped`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.graph import Array, Node, Shape
from trine.compilers.movement import checked_indices, clipped, constant_flags, examples
from trine.compilers.operators import Case, Form, Operator, SourceNode, Spelled, Unsupported


def read(source: SourceNode) -> Node:
    data, indices = source.inputs[:2]
    flags = constant_flags(source)
    if not any(flags) and source.batch_of() is not None:
        raise Unsupported(f"picks from {data} by {indices}, both of every example; GatherElements does that")
    axis, shape = source.axis(source.integer("axis", 0), data), source.shape()
    if shape[axis] < 1:
        raise Unsupported(f"picks from an axis of {shape[axis]}")
    if flags[1]:
        checked_indices(source.constants[indices], shape[axis])
    attributes = {"axis": axis, "constant": flags}
    if flags[0] and axis:
        attributes["ranks"] = (len(shape), len(source.shape(1)))
    return Node("Gather", source.name, (data, indices), source.outputs, attributes)


def batch(source: SourceNode) -> list[int | None]:
    data, indices = source.inputs[:2]
    axis = source.integer("axis", 0)
    if source.is_constant(0):
        place = source.batch_of(indices)
        return [None if place is None else axis % len(source.shape()) + place]
    place = source.batch_of(data)
    if place is None:
        return [None]
    return [place if place < axis % len(source.file_shape()) else place + len(source.shape(1)) - 1]


def shapes(node: Node, inputs: Sequence[Shape]) -> list[Shape]:
    data, indices, axis = inputs[0], inputs[1], node.attributes["axis"]
    return [(*data[:axis], *indices, *data[axis + 1 :])]


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    axis = node.attributes["axis"]
    data, indices = arguments[0], arguments[1]
    if node.attributes["constant"][1]:
        return [np.take(data, clipped(indices, data.shape[axis + 1]), axis=axis + 1)]
    if node.attributes["constant"][0]:
        taken = np.take(data, clipped(indices, data.shape[axis]), axis=axis)
        return [np.ascontiguousarray(np.moveaxis(taken, axis, 0))]
    each = zip(*examples(node, arguments), strict=True)
    return [np.stack([np.take(d, clipped(i, d.shape[axis]), axis=axis) for d, i in each])]


def spell(node: Node, opset: int) -> list[Spelled]:
    """The batch axis first: it comes before the axis of data or with the indices into a constant: then it is moved."""
    axis = node.attributes["axis"]
    if not node.attributes["constant"][0]:
        return [Spelled("Gather", node.inputs, node.outputs, {"axis": axis + 1})]
    if not axis:
        return [Spelled("Gather", node.inputs, node.outputs, {"axis": 0})]
    picked, rank = f"{node.name}.picked", sum(node.attributes["ranks"])
    perm = [axis, *(k for k in range(rank) if k != axis)]
    return [
        Spelled("Gather", node.inputs, (picked,), {"axis": axis}),
        Spelled("Transpose", (picked,), node.outputs, {"perm": perm}),
    ]


def _by(axis: int) -> dict[str, object]:
    return {"axis": axis, "constant": (False, True)}


def _indices(*values: int, shape: Shape = (-1,)) -> tuple[Array, ...]:
    return (np.array(values, np.int64).reshape(shape),)


OPERATOR = Operator(
    "Gather", read, shapes, run,
    (
        Case("channels", ((5, 7),), _by(0), _indices(3, 0, -1, 3)),
        Case("time", ((3, 9),), _by(1), _indices(8, 1, 2, 5, shape=(2, 2))),
        Case("image", ((3, 4, 5),), _by(2), _indices(4, 0, 1)),
    ),
    forms=(
        Form("negative_axis", ((5, 7),), {"axis": -1}, {1: np.array([6, -2], np.int64)}),
        Form("scalar", ((5, 7),), {"axis": 1}, {1: np.array(2, np.int64)}),
        Form("int32", ((5, 7),), {"axis": 2}, {1: np.array([[1, 3]], np.int32)}),
    ),
    batch=batch,
    spell=spell,
)  # fmt: skip
