"""QuantizeLinear: q = saturate(round_half_even(x / scale) + zero_point) (ONNX QuantizeLinear-13 to -25).

Normal form: inputs (x, scale, zero_point), both constants () or (places,); attributes axis, the axis of one example
that the places are along, and dtype, of the output. Blocks are refused.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.elementwise import same_shape
from trine.compilers.graph import Array, Node, Shape
from trine.compilers.operators import Case, Form, Operator, SourceNode, Spelled, Unsupported

STORED = ("int8", "uint8", "int16", "uint16")


def parameters(source: SourceNode, kind: str) -> tuple[str, str, int]:
    """Names of scale and zero point, and the axis; kind: type of the zero point where it is absent."""
    if source.integer("block_size", 0):
        raise Unsupported("scales in blocks (block_size) are not supported")
    scale = source.constant(1, "the scale")
    zero = source.constant(2, "the zero point") if source.has(2) else np.zeros(scale.shape, kind)
    if scale.dtype != np.float32:
        raise Unsupported(f"a scale of {scale.dtype}; float32 is supported")
    if zero.dtype.name not in (*STORED, "int32"):
        raise Unsupported(f"integers of {zero.dtype}; supported are {', '.join(STORED)}")
    if zero.size != scale.size:
        raise Unsupported(f"{zero.shape} zero points for {scale.shape} scales")
    if scale.size != 1:
        shape = source.shape()
        axis = source.axis(source.integer("axis", 1))
        if scale.ndim != 1 or scale.size != shape[axis]:
            raise Unsupported(f"{scale.shape} scales for {shape[axis] if shape else 1} places of the axis")
    else:
        axis, scale, zero = 0, scale.reshape(()), zero.reshape(())
    names = [source.define(*pair) for pair in (("scale", scale), ("zero_point", zero))]
    return names[0], names[1], axis


def read(source: SourceNode) -> Node:
    if source.type() != "float32":
        raise Unsupported(f"quantises {source.type()}; float32 is supported")
    *names, axis = parameters(source, "uint8")
    kind = source.defined[names[1]].dtype.name
    if kind == "int32":
        raise Unsupported(f"integers of int32; supported are {', '.join(STORED)}")
    return Node(
        "QuantizeLinear",
        source.name,
        (source.inputs[0], *names),
        source.outputs[:1],
        {"axis": axis, "dtype": kind},
    )


def along(value: Array, node: Node, x: Array) -> Array:
    """A scale or zero point shaped to broadcast against examples x."""
    return value if value.ndim == 0 else value.reshape(-1, *[1] * (x.ndim - node.attributes["axis"] - 2))


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    x, (scale, zero) = arguments[0], (along(value, node, arguments[0]) for value in arguments[1:])
    kind = np.iinfo(node.attributes["dtype"])
    with np.errstate(over="ignore"):
        q = np.rint(x / scale) + zero.astype(np.float32)
    return [np.clip(q, kind.min, kind.max).astype(kind.dtype)]


def types(node: Node, inputs: Sequence[str]) -> list[str]:
    return [node.attributes["dtype"]]


def shapes(node: Node, inputs: Sequence[Shape]) -> list[Shape]:
    return same_shape(node, inputs[:1])


def spell(node: Node, opset: int) -> list[Spelled]:
    """Its type is that of the zero point; the axis counts the batch."""
    return [Spelled(node.op, node.inputs, node.outputs, {"axis": node.attributes["axis"] + 1})]


def _case(name: str, shape: Shape, kind: str, scale: object, zero: object) -> Case:
    return Case(
        name, (shape,), {"axis": 0, "dtype": kind}, (np.array(scale, np.float32), np.array(zero, kind))
    )


OPERATOR = Operator(
    "QuantizeLinear", read, shapes, run,
    (
        _case("int8", (4, 9), "int8", 0.02, 3),
        _case("uint8", (3, 5, 4), "uint8", 0.03, 128),
        _case("channels", (3, 7), "int8", [0.01, 0.02, 0.03], [0, 3, -4]),
    ),
    forms=(
        Form("int8", ((4, 9),), {}, {1: np.array(0.02, np.float32), 2: np.array(3, np.int8)}),
        Form("no_zero_point", ((4, 9),), {}, {1: np.array(0.02, np.float32)}),
    ),
    types=types, spell=spell,
)  # fmt: skip
