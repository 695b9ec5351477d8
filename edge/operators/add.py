"""Add or Sub of two int8 tensors, or of one and a constant, in integers; Sub adds a b of negative scale.

q = (a' * ma + b' * mb + half) >> shift, plus the zero point, saturated; a' and b' less their zero points.
Equal to rounding (a' * sa + b' * sb) / sy on all 65,536 pairs: checked when compiling, the output scale
moves until it is; with sums of 32 bits where such a scale is found nearby, else of 64 bits (attribute
`wide`).
A scalar constant makes a table; another is quantised as a tensor of its own. Of int16 operands the sum has 64 bits
and no scale moves; with a scalar it is a rescaling.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array, Node
from trine.edge.c.elementwise import IN_FLOAT as BY_FLOAT
from trine.edge.c.elementwise import binary_layer
from trine.edge.int16 import FINEST, parameters_of_16, rescaled
from trine.edge.lower import IN_FLOAT, TIE_MARGINS, Lowering, clear_of_ties, parameters_of
from trine.edge.operators import Kernel
from trine.edge.operators.table import Function, table_of
from trine.edge.program import QMAX, QMIN, Int8, IntegerProgram, QuantizedTensor, Step
from trine.edge.qdq import QdqWriter

Parameters = Callable[[QuantizedTensor, QuantizedTensor, QuantizedTensor], dict[str, int]]
EVERY = np.arange(QMIN, QMAX + 1, dtype=np.int64)
SUM_BITS = 46  # of |a' * ma| + |b' * mb|: well inside int64, and exact to 2^-30 of an output step


def operands(
    lowering: Lowering, node: Node
) -> tuple[list[QuantizedTensor], dict[str, Array], dict[str, Any]]:
    """Both operands as quantised tensors, the int8 constant among them, and the attributes that describe
    them.

    A constant is quantised over its own range; attribute `constant` tells which operand it is (0, 1 or None).
    """
    tensors: list[QuantizedTensor] = []
    constants: dict[str, Array] = {}
    place = None
    for i, name in enumerate(node.inputs[:2]):
        if not lowering.is_constant(name):
            tensors.append(lowering.tensors[name])
            continue
        value, stored = lowering.graph.constants[name], lowering.graph.stored.get(name)
        shape = lowering.graph.tensors[node.outputs[0]].shape
        value = np.broadcast_to(
            value.reshape(value.shape[-len(shape) :] if value.ndim > len(shape) else value.shape), shape
        )
        if lowering.wide(node.outputs[0]):
            ends = parameters_of_16(float(value.min()), float(value.max()))
            tensors.append(QuantizedTensor(name, shape, *ends, "int16"))
            constants["constant"], place = tensors[-1].quantize(value), i
            continue
        scale, zero_point = parameters_of(float(value.min()), float(value.max()))
        if stored is not None and stored.axis is None and stored.integers.dtype.itemsize == 1:
            scale = np.float32(stored.scale[0])
            zero_point = int(stored.zero_point[0]) - 128 * (stored.integers.dtype == np.uint8)
        tensors.append(QuantizedTensor(name, shape, scale, zero_point))
        constants["constant"], place = tensors[-1].quantize(value), i
    a, b = tensors
    sides = {
        "a": (a.scale, a.zero_point),
        "b": (b.scale, b.zero_point),
        "rank": max(len(a.shape), len(b.shape)),
    }
    return tensors, constants, {**sides, "constant": place}


def lower_scalar(lowering: Lowering, node: Node, scalar: np.float32) -> Step:
    """Add, Sub or Mul with one number: a table."""
    x = next(lowering.tensors[name] for name in node.inputs if not lowering.is_constant(name))
    if x.dtype == "int16":
        return lower_scalar_16(lowering, node, x, scalar)
    y = lowering.add_ranged(lowering.output_name(node))
    low, high = lowering.bounds(node, y)
    place = int(lowering.is_constant(node.inputs[1]))
    functions: dict[str, Function] = {
        "Add": lambda v: v + scalar,
        "Sub": (lambda v: v - scalar) if place else (lambda v: scalar - v),
        "Mul": lambda v: v * scalar,
    }
    table = table_of(functions[node.op], x, y)
    attributes = {"op": node.op, "scalar": scalar, "place": place}
    return Step("table", node.name, (x.name,), y.name, {"table": np.clip(table, low, high)}, attributes)


def lower_scalar_16(lowering: Lowering, node: Node, x: QuantizedTensor, scalar: np.float32) -> Step:
    """Add, Sub or Mul of int16 with one number: a rescaling."""
    place, number = int(lowering.is_constant(node.inputs[1])), float(scalar)
    factor, offset = {
        "Add": (1.0, number),
        "Sub": (1.0, -number) if place else (-1.0, number),
        "Mul": (number, 0.0),
    }[node.op]
    y = lowering.add_ranged(lowering.output_name(node), float(x.scale) * abs(factor) * FINEST)
    step = rescaled(node.name, x, y, factor, offset, lowering.bounds(node, y))
    return replace(step, attributes={**step.attributes, "op": node.op, "scalar": scalar, "place": place})


def scalar_operand(lowering: Lowering, node: Node) -> np.float32 | None:
    """The constant operand if it is a single number."""
    for name in node.inputs[:2]:
        if lowering.is_constant(name) and lowering.graph.constants[name].size == 1:
            return np.float32(lowering.graph.constants[name].reshape(()))
    return None


def wide_parameters(
    a: QuantizedTensor, b: QuantizedTensor, y: QuantizedTensor, bits: int = 9
) -> dict[str, int]:
    """Multipliers and shift for the ratios a / y and b / y of a 64-bit sum; bits: of a centred operand."""
    ratios = [float(t.scale) / float(y.scale) for t in (a, b)]
    shift = min(int(SUM_BITS - bits - np.ceil(np.log2(max(map(abs, ratios))))), 40)
    longest = max(abs(round(r * 2.0**shift)).bit_length() for r in ratios)
    shift -= max(longest - 31, 0)
    return {
        "ma": round(ratios[0] * 2.0**shift),
        "mb": round(ratios[1] * 2.0**shift),
        "shift": shift,
        "wide": 1,
    }


def narrow_parameters(a: QuantizedTensor, b: QuantizedTensor, y: QuantizedTensor) -> dict[str, int]:
    """Multipliers and the greatest shift with which the sum, half and zero point included, stays inside 32
    bits."""
    ratios = [float(t.scale) / float(y.scale) for t in (a, b)]
    reach = sum(
        max(127 - t.zero_point, t.zero_point + 128) * abs(r) for t, r in zip((a, b), ratios, strict=True)
    )
    shift = int(np.floor(np.log2((2.0**31 - 2**24) / (reach + abs(y.zero_point) + 1))))
    shift = max(
        min(shift, int(np.floor(23 - np.log2(max(map(abs, ratios))))), 30), 1
    )  # 128 * multiplier stays inside too
    return {
        "ma": round(ratios[0] * 2.0**shift),
        "mb": round(ratios[1] * 2.0**shift),
        "shift": shift,
        "wide": 0,
    }


def add_rule(a: NDArray[np.int64], b: NDArray[np.int64], p: dict[str, int]) -> NDArray[np.int64]:
    """The integer rule on centred values, before zero point and saturation."""
    return np.asarray((a * p["ma"] + b * p["mb"] + (1 << (p["shift"] - 1))) >> p["shift"])


def lower(lowering: Lowering, node: Node) -> Step:
    scalar = scalar_operand(lowering, node)
    if scalar is not None:
        return lower_scalar(lowering, node, scalar)
    (a, b), constants, sides = operands(lowering, node)
    if node.op == "Sub":
        b = replace(b, scale=-b.scale)
        sides["b"] = (b.scale, b.zero_point)
    if a.dtype == "int16":
        y = lowering.add_ranged(lowering.output_name(node), float(max(a.scale, abs(b.scale))) * FINEST)
        low, high = lowering.bounds(node, y)
        inputs = tuple(name for name in node.inputs[:2] if not lowering.is_constant(name))
        numbers = {**wide_parameters(a, b, y, 17), "low": low, "high": high}
        return Step("add", node.name, inputs, y.name, constants, {"op": node.op, **numbers, **sides})
    left, right = EVERY[:, None] - a.zero_point, EVERY[None, :] - b.zero_point
    as_float = left.astype(np.float32) * a.scale + right.astype(np.float32) * b.scale

    def make_with(parameters: Parameters, output: QuantizedTensor, margin: float) -> dict[str, int] | None:
        if margin == IN_FLOAT:
            return {"ma": 0, "mb": 0, "shift": 1, "wide": BY_FLOAT} if parameters is wide_parameters else None
        p = parameters(a, b, output)
        by_float = np.clip(np.rint(as_float / output.scale) + output.zero_point, QMIN, QMAX)
        by_integer = np.clip(add_rule(left, right, p) + output.zero_point, QMIN, QMAX)
        if not np.array_equal(by_float, by_integer):
            return None
        real = left * (float(a.scale) / float(output.scale)) + right * (float(b.scale) / float(output.scale))
        return p if clear_of_ties(real, margin) else None

    try:
        parameters, y = lowering.nudge_output(node, partial(make_with, narrow_parameters), TIE_MARGINS[:2])
    except ValueError:
        parameters, y = lowering.nudge_output(node, partial(make_with, wide_parameters))
    low, high = lowering.bounds(node, y)
    inputs = tuple(name for name in node.inputs[:2] if not lowering.is_constant(name))
    return Step(
        "add", node.name, inputs, y.name, constants,
        {"op": node.op, **parameters, **sides, "low": low, "high": high},
    )  # fmt: skip


def sides_of(step: Step, inputs: Sequence[Int8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Both centred operands [n, *shape], broadcast against each other."""
    values = list(inputs)
    if step.attributes["constant"] is not None:
        values.insert(step.attributes["constant"], step.constants["constant"][None])
    rank, sides = step.attributes["rank"], []
    for side, q in zip("ab", values, strict=True):
        q = q.reshape(q.shape[0], *([1] * (rank - q.ndim + 1)), *q.shape[1:])
        sides.append(q.astype(np.int64) - step.attributes[side][1])
    return sides[0], sides[1]


def run(program: IntegerProgram, step: Step, inputs: Sequence[Int8]) -> Int8:
    a, b = sides_of(step, inputs)
    p = step.attributes
    if p["wide"] == BY_FLOAT:
        scales = [np.float32(s) for s in (p["a"][0], p["b"][0], program.tensors[step.output].scale)]
        real = (a.astype(np.float32) * scales[0] + b.astype(np.float32) * scales[1]) / scales[2]
        rounded = np.rint(real) + program.tensors[step.output].zero_point
        return np.asarray(np.clip(rounded, p["low"], p["high"]), np.int8)
    q = (
        add_rule(a, b, {name: p[name] for name in ("ma", "mb", "shift")})
        + program.tensors[step.output].zero_point
    )
    return np.asarray(np.clip(q, p["low"], p["high"]), program.tensors[step.output].dtype)


def qdq(writer: QdqWriter, step: Step) -> None:
    writer.output(step, writer.node(step.attributes["op"], writer.binary_inputs(step)))


KERNEL = Kernel("add", ("Add", "Sub"), lower, run, qdq, binary_layer, in_place=True, int16=True)
