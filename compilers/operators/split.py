"""Split along an axis of one example, in parts of any size (ONNX Split-18).

Normal form: inputs (x); attributes axis, without the batch axis, and sizes, one a part; an output that nobody reads has
the name "".
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.graph import Array, Node, Shape
from trine.compilers.movement import integers
from trine.compilers.operators import Case, Form, Operator, SourceNode, Spelled, Unsupported
from trine.compilers.operators.slice import sliced


def read(source: SourceNode) -> Node:
    axis = source.axis(source.integer("axis", 0))
    shape, parts = source.shape(), len(source.outputs)
    if source.has(1):
        sizes = tuple(integers(source, 1, "the sizes of the parts"))
    else:
        parts = source.integer("num_outputs", parts)
        each = -(-shape[axis] // parts)
        sizes = (*(each,) * (parts - 1), shape[axis] - each * (parts - 1))
    if len(sizes) != len(source.outputs) or sum(sizes) != shape[axis]:
        raise Unsupported(f"parts of {sizes} for {len(source.outputs)} outputs of an axis of {shape[axis]}")
    if min(sizes) < 1:
        raise Unsupported(f"parts of {sizes}: a part is empty")
    used = [i for i, name in enumerate(source.outputs) if name]
    if len(sizes) == 1 or len(used) == 1:
        part = used[0]
        starts = [0] * len(shape)
        starts[axis] = sum(sizes[:part])
        counts = (*shape[:axis], sizes[part], *shape[axis + 1 :])
        return sliced(source, (source.outputs[part],), tuple(starts), (1,) * len(shape), counts)
    return Node("Split", source.name, source.inputs[:1], source.outputs, {"axis": axis, "sizes": sizes})


def batch(source: SourceNode) -> list[int | None]:
    """As many as the normal form has outputs."""
    return [source.batch_of()] * len(read(source).outputs)


def shapes(node: Node, inputs: Sequence[Shape]) -> list[Shape]:
    axis = node.attributes["axis"]
    return [(*inputs[0][:axis], size, *inputs[0][axis + 1 :]) for size in node.attributes["sizes"]]


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    ends = np.cumsum(node.attributes["sizes"])[:-1]
    parts = np.split(arguments[0], ends, axis=node.attributes["axis"] + 1)
    return [np.ascontiguousarray(part) for part in parts]


def spell(node: Node, opset: int) -> list[Spelled]:
    name = f"{node.name}.sizes"
    sizes = np.array(node.attributes["sizes"], np.int64)
    axis = {"axis": node.attributes["axis"] + 1}
    # Every part has a name: onnxruntime 1.31 crashes where one is left out.
    parts = [part or f"{node.name}.part{i}" for i, part in enumerate(node.outputs)]
    return [Spelled("Split", [*node.inputs, name], parts, axis, {name: sizes})]


OPERATOR = Operator(
    "Split", read, shapes, run,
    (
        Case("channels", ((6, 5),), {"axis": 0, "sizes": (3, 2, 1)}, outputs=3),
        Case("time", ((4, 9),), {"axis": 1, "sizes": (4, 5)}, outputs=2),
        Case("image", ((4, 3, 5),), {"axis": 0, "sizes": (2, 2)}, outputs=2),
    ),
    forms=(
        Form("one_of_one", ((4, 9),), {"axis": 1}, {1: np.array([4], np.int64)}),
        Form("one_of_one_counted", ((4, 9),), {"axis": -1, "num_outputs": 1}, opsets=(18, 999)),
    ),
    batch=batch,
    spell=spell,
)  # fmt: skip
