"""CumSum along one axis of one example (ONNX CumSum-14).

Normal form: inputs (x); attributes axis, exclusive (a value is not in its own sum), reverse (from the end).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.elementwise import require, same_shape
from trine.compilers.graph import Array, Node
from trine.compilers.operators import Case, Form, Operator, SourceNode, Spelled


def read(source: SourceNode) -> Node:
    require(source, "fiu")
    axis = source.axis(int(source.scalar(1, "the axis")))
    attributes = {"axis": axis, **{name: source.integer(name, 0) for name in ("exclusive", "reverse")}}
    return Node("CumSum", source.name, source.inputs[:1], source.outputs, attributes)


def cumulate(x: Array, axis: int, exclusive: int, reverse: int) -> Array:
    """Running sums along an axis, in x's own type."""
    turned = np.flip(x, axis) if reverse else x
    sums = np.cumsum(turned, axis=axis, dtype=x.dtype)
    if exclusive:
        first = np.zeros_like(np.take(sums, [0], axis=axis))
        sums = np.concatenate([first, np.take(sums, range(x.shape[axis] - 1), axis=axis)], axis=axis)
    return np.flip(sums, axis) if reverse else sums


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    a = node.attributes
    return [cumulate(arguments[0], a["axis"] + 1, a["exclusive"], a["reverse"])]


def spell(node: Node, opset: int) -> list[Spelled]:
    name, a = f"{node.name}.axis", node.attributes
    attributes = {key: a[key] for key in ("exclusive", "reverse")}
    return [
        Spelled("CumSum", [*node.inputs, name], node.outputs, attributes, {name: np.array(a["axis"] + 1)})
    ]


def _attributes(axis: int, exclusive: int = 0, reverse: int = 0) -> dict[str, int]:
    return {"axis": axis, "exclusive": exclusive, "reverse": reverse}


OPERATOR = Operator(
    "CumSum", read, same_shape, run,
    (
        Case("vector", ((20,),), _attributes(0)),
        Case("time", ((4, 9),), _attributes(1)),
        Case("exclusive", ((4, 9),), _attributes(1, exclusive=1)),
        Case("reverse", ((3, 5, 4),), _attributes(1, reverse=1)),
        Case("reverse_exclusive_channels", ((6, 5),), _attributes(0, 1, 1)),
    ),
    forms=(
        Form("axis", ((4, 9),), {}, {1: np.array(2, np.int64)}),
        Form("negative", ((4, 9),), {"exclusive": 1}, {1: np.array([-1], np.int32)}),
    ),
    spell=spell,
)  # fmt: skip
