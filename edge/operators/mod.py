"""Mod of two int8 tensors, or of one and a constant, with fmod: what C's fmodf gives of the real values, exactly.

A value s (q - zero point), rounded to float32 as ONNX's DequantizeLinear does, is a whole number of 24 bits times a
power of two, and so is a constant. With both operands in the smaller of two such units the remainder is one of 64-bit
integers, with the dividend's sign; by 0 it is no number and counts as 0. Of its 255 thresholds those it reaches are the
code.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import frexp
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array, Node
from trine.edge.lower import Lowering
from trine.edge.operands import CONSTANT, activations, constant_of, elements, slots_of, spell_real, values_of
from trine.edge.operators import Kernel
from trine.edge.operators.table import zero_for_nan
from trine.edge.program import QMAX, QMIN, Int8, IntegerProgram, Step
from trine.edge.qdq import QdqWriter
from trine.edge.requantize import thresholds

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter

Int64 = NDArray[np.int64]
BITS = 24  # of a float32
LARGEST = 62


def lower(lowering: Lowering, node: Node) -> Step:
    if not node.attributes["fmod"]:
        raise ValueError(f"{node.name}: a remainder with the divisor's sign; int8 has the one of fmod = 1")
    constants, whole, units, reach = dict[str, Array](), [1, 1], [0, 0], [0, 0]
    zeros = [0, 0]
    for i, name in enumerate(node.inputs):
        if lowering.is_constant(name):
            value = constant_of(lowering, node, i).astype(np.float32)
            constants[f"i{i}"], units[i], reach[i] = whole_numbers(value)
            constants[f"r{i}"] = value
        else:
            x = lowering.tensors[name]
            m, e = frexp(float(x.scale))
            whole[i], units[i], reach[i], zeros[i] = round(m * 2**BITS), e - BITS, BITS + 8, x.zero_point
    unit = min(units)
    shifts = [each - unit for each in units]
    if max(bits + shift for bits, shift in zip(reach, shifts, strict=True)) > LARGEST:
        raise ValueError(f"{node.name}: its operands are too far apart in size for 64 bits")
    constants |= {f"i{i}": constants[f"i{i}"] << shifts[i] for i in range(2) if f"i{i}" in constants}
    y = lowering.add_ranged(node.outputs[0])
    most = np.array([[2 ** (reach[1] + shifts[1])]], np.int64)

    def codes_of(remainders: Int64) -> Int64:
        real = np.ldexp(remainders.astype(np.float64), unit).astype(np.float32)
        return np.asarray(y.quantize(real), np.int64)

    levels = np.arange(QMIN + 1, QMAX + 1, dtype=np.int64)[None]
    constants["steps"] = thresholds(codes_of, -most, most, levels, np.zeros_like(levels))[0]
    attributes = {
        **slots_of(lowering, node),
        "zeros": tuple(zeros),
        "shifts": tuple(shifts),
        "whole": tuple(whole),
    }
    return Step("mod", node.name, activations(lowering, node), y.name, constants, attributes)


def whole_numbers(value: NDArray[np.float32]) -> tuple[Int64, int, int]:
    """Floats as whole numbers times 2^unit: these, the unit, and how many bits they need."""
    mantissas, exponents = np.frexp(value.astype(np.float64))
    used = exponents[value != 0]
    low, high = (int(used.min()), int(used.max())) if used.size else (0, 0)
    if not np.isfinite(value).all() or high - low + BITS > LARGEST:
        return np.zeros(value.shape, np.int64), 0, LARGEST + 1
    return np.ldexp(mantissas, exponents - low + BITS).astype(np.int64), low - BITS, high - low + BITS


def in_float(value: Int64) -> Int64:
    """Whole numbers rounded to BITS bits, half to even, as float32 does."""
    return value.astype(np.float32).astype(np.int64)


def run(program: IntegerProgram, step: Step, inputs: Sequence[Int8]) -> Int8:
    p, sides = step.attributes, []
    for i, (slot, q) in enumerate(zip(p["slots"], values_of(step, inputs), strict=True)):
        real = in_float((q.astype(np.int64) - p["zeros"][i]) * p["whole"][i]) << p["shifts"][i]
        sides.append(q if slot == CONSTANT else real)
    a, b = sides
    remainder = np.where(b == 0, 0, np.fmod(a, np.where(b == 0, 1, b)))
    return (np.searchsorted(step.constants["steps"], remainder, "right") + QMIN).astype(np.int8)


def qdq(writer: QdqWriter, step: Step) -> None:
    reals = {i: step.constants[f"r{i}"] for i in range(2) if f"r{i}" in step.constants}
    writer.output(step, zero_for_nan(writer, spell_real(writer, step, reals)))


def mod_layer(layer: LayerWriter, step: Step) -> None:
    layer.need("sums", "remainder")
    p, sides = step.attributes, []
    values, indent = elements(layer, step)
    for i, (slot, value) in enumerate(zip(p["slots"], values, strict=True)):
        real = f"trine_in_float((int64_t)({value} - ({p['zeros'][i]})) * {p['whole'][i]}) * {1 << p['shifts'][i]}"
        sides.append(value if slot == CONSTANT else real)
    steps = layer.array("steps", step.constants["steps"])
    layer.line(f"{indent}*y++ = trine_remainder({sides[0]}, {sides[1]}, {steps});")


KERNEL = Kernel("mod", ("Mod",), lower, run, qdq, mod_layer, in_place=True)
