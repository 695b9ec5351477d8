"""Mul of two int8 tensors, or of one and a constant, in integers: the product, then one requantiser.

Equal to rounding a' * sa * b' * sb / sy on all 65,536 pairs: checked when compiling, the output scale
moves if not. Of int16 operands the requantiser's integer rule is the definition.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.graph import Node
from trine.edge.c.elementwise import binary_layer
from trine.edge.lower import IN_FLOAT, Lowering, clear_of_ties
from trine.edge.operators import Kernel
from trine.edge.operators.add import EVERY, lower_scalar, operands, scalar_operand, sides_of
from trine.edge.program import Int8, IntegerProgram, QuantizedTensor, Step
from trine.edge.qdq import QdqWriter
from trine.edge.requantize import Requantizer, make_requantizer


def lower(lowering: Lowering, node: Node) -> Step:
    scalar = scalar_operand(lowering, node)
    if scalar is not None:
        return lower_scalar(lowering, node, scalar)
    (a, b), constants, sides = operands(lowering, node)
    inputs = tuple(name for name in node.inputs[:2] if not lowering.is_constant(name))
    if a.dtype == "int16":
        wide, y = lowering.requantizer_16(node, float(a.scale) * float(b.scale), 32768**2)
        return Step("mul", node.name, inputs, y.name, constants, sides, wide)
    left, right = EVERY[:, None] - a.zero_point, EVERY[None, :] - b.zero_point
    products = left * right
    limit = np.array([int(np.abs(products).max())], np.int64)

    def make(output: QuantizedTensor, margin: float) -> Requantizer | None:
        ratio = np.array([np.float32(a.scale * b.scale) / output.scale], np.float32)
        made = make_requantizer(ratio, -limit, limit, output.zero_point, lowering.bounds(node, output))
        as_float = (left.astype(np.float32) * a.scale) * (right.astype(np.float32) * b.scale)
        by_float = np.clip(np.rint(as_float / output.scale) + output.zero_point, made.low, made.high)
        exact = np.array_equal(by_float, made.apply_integer(products)) and np.array_equal(
            by_float, made.apply(products)
        )
        real = products.astype(np.float64) * (float(a.scale) * float(b.scale) / float(output.scale))
        if margin == IN_FLOAT:
            return made.in_float(np.ones(1, bool))
        return made if exact and clear_of_ties(real, margin) else None

    requantizer, y = lowering.nudge_output(node, make)
    return Step("mul", node.name, inputs, y.name, constants, sides, requantizer)


def run(program: IntegerProgram, step: Step, inputs: Sequence[Int8]) -> Int8:
    a, b = sides_of(step, inputs)
    return np.asarray(step.requantizer.apply(a * b, axis=0))


def qdq(writer: QdqWriter, step: Step) -> None:
    writer.output(step, writer.node("Mul", writer.binary_inputs(step)))


KERNEL = Kernel("mul", ("Mul",), lower, run, qdq, binary_layer, in_place=True, int16=True)
