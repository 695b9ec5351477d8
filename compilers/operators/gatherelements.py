"""GatherElements: each value of the output names its place along one axis (ONNX GatherElements-13).

Normal form: inputs (data, indices) of one rank; attributes axis and constant (one flag each: indices may be a constant
in a graph read whole). Indices are clipped to the axis (see `movement.clipped`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.graph import Array, Node, Shape
from trine.compilers.movement import checked_indices, clipped, constant_flags, examples
from trine.compilers.operators import Case, Operator, SourceNode, Spelled, Unsupported


def read(source: SourceNode) -> Node:
    axis, shape, wanted = source.axis(source.integer("axis", 0)), source.shape(), source.shape(1)
    flags = constant_flags(source)
    if any(flags) and source.batch_of(source.inputs[int(flags[0])]) is not None:
        raise Unsupported(
            f"{source.inputs[flags.index(True)]} is a constant; data and indices must both be computed"
        )
    fits = len(wanted) == len(shape) and all(
        w <= s or i == axis for i, (w, s) in enumerate(zip(wanted, shape))
    )
    if not fits or 0 in wanted:
        raise Unsupported(f"indices {wanted} for data {shape}")
    if flags[1]:
        checked_indices(source.constants[source.inputs[1]], shape[axis])
    attributes = {"axis": axis, "constant": flags}
    return Node("GatherElements", source.name, source.inputs[:2], source.outputs, attributes)


def shapes(node: Node, inputs: Sequence[Shape]) -> list[Shape]:
    return [inputs[1]]


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    axis = node.attributes["axis"] + 1
    data, indices = examples(node, arguments)
    part = tuple(slice(None if i in (0, axis) else size) for i, size in enumerate(indices.shape))
    return [np.take_along_axis(data[part], clipped(indices, data.shape[axis]), axis)]


def spell(node: Node, opset: int) -> list[Spelled]:
    return [Spelled("GatherElements", node.inputs, node.outputs, {"axis": node.attributes["axis"] + 1})]


def _by(axis: int) -> dict[str, object]:
    return {"axis": axis, "constant": (False, False)}


OPERATOR = Operator(
    "GatherElements", read, shapes, run,
    (
        Case("time", ((3, 7), (3, 5)), _by(1), dtypes=("float32", "int64")),
        Case("channels", ((4, 7), (2, 6)), _by(0), dtypes=("float32", "int64")),
        Case("vector", ((4,), (9,)), _by(0), dtypes=("float32", "int64")),
    ),
    spell=spell,
)  # fmt: skip
