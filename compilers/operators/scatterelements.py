"""ScatterElements: values written, or reduced, into places named along one axis (ONNX ScatterElements-18).

Normal form: inputs (data, indices, updates) of one rank; attributes axis, reduction ("none", "add", "mul", "max",
"min") and constant (one flag each; in a graph read whole). Indices are clipped to the axis (see `movement.clipped`);
without a reduction the last of several updates of one place stands.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.graph import Array, Node, Shape
from trine.compilers.movement import checked_indices, clipped, constant_flags, examples, text
from trine.compilers.operators import Case, Operator, SourceNode, Spelled, Unsupported

REDUCTIONS = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}


def reduction(source: SourceNode) -> str:
    """The attribute, if it is one that ONNX knows."""
    how = text(source, "reduction", "none")
    if how not in ("none", *REDUCTIONS):
        raise Unsupported(f"reduction {how}; supported are none, {', '.join(REDUCTIONS)}")
    return how


def read(source: SourceNode) -> Node:
    names, flags = source.inputs[:3], constant_flags(source)
    given = [name for name, flag in zip(names, flags, strict=True) if not flag]
    if any(flags) and any(source.batch_of(name) is not None for name in given):
        raise Unsupported(
            f"{names[flags.index(True)]} is a constant; data, indices and updates must be computed"
        )
    axis = source.axis(source.integer("axis", 0))
    data, indices, updates = (source.shape(i) for i in range(3))
    if (
        len(indices) != len(data)
        or updates != indices
        or any(i > d for k, (i, d) in enumerate(zip(indices, data, strict=True)) if k != axis)
        or 0 in indices
    ):
        raise Unsupported(f"indices {indices} and updates {updates} for data {data}")
    if flags[1]:
        checked_indices(source.constants[names[1]], data[axis])
    attributes = {"axis": axis, "reduction": reduction(source), "constant": flags}
    return Node("ScatterElements", source.name, names, source.outputs, attributes)


def shapes(node: Node, inputs: Sequence[Shape]) -> list[Shape]:
    return [inputs[0]]


def write(target: Array, places: tuple[Array, ...], values: Array, how: str) -> None:
    """target[places] = values in order, or reduced with what is there."""
    if how == "none":
        target[places] = values
    else:
        REDUCTIONS[how].at(target, places, values)


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    axis = node.attributes["axis"] + 1
    data, indices, updates = examples(node, arguments)
    result = np.array(data)
    places = list(np.ogrid[tuple(slice(size) for size in indices.shape)])
    places[axis] = clipped(indices, data.shape[axis])
    write(result, tuple(np.broadcast_arrays(*places)), updates, node.attributes["reduction"])
    return [result]


def spell(node: Node, opset: int) -> list[Spelled]:
    a = node.attributes
    how = {} if a["reduction"] == "none" else {"reduction": a["reduction"]}
    return [Spelled("ScatterElements", node.inputs, node.outputs, {"axis": a["axis"] + 1, **how})]


def _case(name: str, data: Shape, indices: Shape, axis: int) -> Case:
    attributes = {"axis": axis, "reduction": "none", "constant": (False,) * 3}
    return Case(name, (data, indices, indices), attributes, dtypes=("float32", "int64", "float32"))


OPERATOR = Operator(
    "ScatterElements", read, shapes, run,
    (
        _case("time", (3, 7), (3, 4), 1),
        _case("channels", (5, 6), (2, 4), 0),
        _case("vector", (8,), (5,), 0),
    ),
    spell=spell,
)  # fmt: skip
