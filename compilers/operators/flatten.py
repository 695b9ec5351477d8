"""Flatten (ONNX Flatten-13); read as Reshape."""

from __future__ import annotations

from math import prod

from trine.compilers.graph import Node
from trine.compilers.operators import Form, Operator, SourceNode, Unsupported
from trine.compilers.operators.reshape import reshape, run, shapes


def read(source: SourceNode) -> Node:
    shape, place = source.file_shape(), source.batch_of()
    axis = source.integer("axis", 1)
    axis = axis + len(shape) if axis < 0 else axis
    if not 0 <= axis <= len(shape):
        raise Unsupported(f"axis {axis} is out of range for rank {len(shape)}")
    if place is None:
        return reshape(source, (prod(shape[:axis]), prod(shape[axis:])))
    if place != 0 or prod(shape[:axis]) != 1 or axis == 0:
        raise Unsupported(
            f"axis {axis} on shape {source.shape()} an example mixes the batch axis with others"
        )
    return reshape(source, (prod(source.shape()),))


OPERATOR = Operator(
    "Flatten", read, shapes, run, (),
    forms=(
        Form("default", ((4, 9),)),
        Form("negative_axis", ((4, 9),), {"axis": -2}),
        Form("after_an_axis_of_one", ((1, 5, 6),), {"axis": 2}),
        Form("scalar", ((),), {"axis": 1}),
    ),
)  # fmt: skip
