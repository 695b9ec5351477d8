"""DequantizeLinear: integer to real, x = (q - zero_point) * scale (ONNX DequantizeLinear-13 to -25).

Normal form: inputs (q, scale, zero_point) and attribute axis, as QuantizeLinear's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.elementwise import same_shape
from trine.compilers.graph import Array, Node, Shape
from trine.compilers.operators import Case, Operator, SourceNode, Unsupported
from trine.compilers.operators.quantizelinear import STORED, along, parameters, spell


def read(source: SourceNode) -> Node:
    if source.type() not in (*STORED, "int32"):
        raise Unsupported(f"reads {source.type()}; supported are {', '.join(STORED)} and int32")
    *names, axis = parameters(source, source.type())
    return Node(
        "DequantizeLinear", source.name, (source.inputs[0], *names), source.outputs[:1], {"axis": axis}
    )


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    q, (scale, zero) = arguments[0], (along(value, node, arguments[0]) for value in arguments[1:])
    return [(q.astype(np.int64) - zero.astype(np.int64)).astype(np.float32) * scale]


def types(node: Node, inputs: Sequence[str]) -> list[str]:
    return ["float32"]


def shapes(node: Node, inputs: Sequence[Shape]) -> list[Shape]:
    return same_shape(node, inputs[:1])


def _case(name: str, shape: Shape, kind: str, scale: object, zero: object) -> Case:
    constants = (np.array(scale, np.float32), np.array(zero, kind))
    return Case(name, (shape,), {"axis": 0}, constants, (kind,))


OPERATOR = Operator(
    "DequantizeLinear", read, shapes, run,
    (
        _case("int8", (4, 9), "int8", 0.02, 3),
        _case("uint8", (3, 5, 4), "uint8", 0.03, 128),
        _case("channels", (3, 7), "int8", [0.01, 0.02, 0.03], [0, 3, -4]),
        _case("int32", (6,), "int32", 1e-4, 0),
    ),
    types=types, spell=spell,
)  # fmt: skip
