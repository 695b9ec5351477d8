"""TopK along one axis of one example (ONNX TopK-11): the lower index first among equals.

Normal form: inputs (x); attributes axis, k, largest; outputs (values, indices int64), sorted always. Either output may
be absent.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.elementwise import require
from trine.compilers.graph import Array, Node, Shape
from trine.compilers.operators import Case, Operator, SourceNode, Spelled, Unsupported


def read(source: SourceNode) -> Node:
    require(source, "fiu")
    axis = source.axis(source.integer("axis", -1))
    count = source.constant(1, "k").reshape(-1)
    if count.size != 1 or not 0 < count[0] <= source.shape()[axis]:
        raise Unsupported(f"k = {count.tolist()} of {source.shape()[axis]} values")
    attributes = {"axis": axis, "k": int(count[0]), "largest": source.integer("largest", 1)}
    return Node("TopK", source.name, source.inputs[:1], source.outputs, attributes)


def shapes(node: Node, inputs: Sequence[Shape]) -> list[Shape]:
    axis, k = node.attributes["axis"], node.attributes["k"]
    return [(*inputs[0][:axis], k, *inputs[0][axis + 1 :])] * len(node.outputs)


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    x, axis, k = arguments[0], node.attributes["axis"] + 1, node.attributes["k"]
    if node.attributes["largest"]:
        # Ascending order of the mirrored array, read backwards: descending, equal values in their own order.
        order = x.shape[axis] - 1 - np.flip(np.argsort(np.flip(x, axis), axis=axis, kind="stable"), axis)
    else:
        order = np.argsort(x, axis=axis, kind="stable")
    places = np.take(order, range(k), axis=axis).astype(np.int64)
    return [np.take_along_axis(x, places, axis=axis), places][: len(node.outputs)]


def types(node: Node, inputs: Sequence[str]) -> list[str]:
    return [inputs[0], "int64"][: len(node.outputs)]


def spell(node: Node, opset: int) -> list[Spelled]:
    name, a = f"{node.name}.k", node.attributes
    attributes = {"axis": a["axis"] + 1, "largest": a["largest"], "sorted": 1}
    outputs = [
        given or f"{name}.{role}" for given, role in zip((*node.outputs, "")[:2], ("values", "indices"))
    ]
    return [Spelled("TopK", [*node.inputs, name], outputs, attributes, {name: np.array([a["k"]], np.int64)})]


OPERATOR = Operator(
    "TopK", read, shapes, run,
    (
        Case("classes", ((8,),), {"axis": 0, "k": 2, "largest": 1}, outputs=2),
        Case("time", ((4, 9),), {"axis": 1, "k": 3, "largest": 1}, outputs=2),
        Case("channels_least", ((6, 5),), {"axis": 0, "k": 4, "largest": 0}, outputs=2),
        Case("all", ((3, 5, 4),), {"axis": 1, "k": 5, "largest": 1}, outputs=2),
        Case("values_only", ((4, 9),), {"axis": 1, "k": 1, "largest": 1}),
    ),
    types=types, spell=spell,
)  # fmt: skip
