"""Div of two int8 tensors, or of one and a constant, in integers.

q = (a' * r[b] + half) >> shift, plus the zero point, saturated; r[b] = sa / (sb * sy * b') in fixed point, one entry
for each code of b (a constant b has an entry an element). Equal to rounding the float quotient on all 65,536 pairs:
checked when compiling, the output scale moves until it is; where no move helps, or the scale is stated, ties may fall a
step apart. Where b' is 0 the quotient saturates by the sign of a', and 0 / 0 counts as 0. A constant of a single number
makes a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array, Node
from trine.edge.lower import IN_FLOAT, TIE_MARGINS, Lowering, clear_of_ties, parameters_of
from trine.edge.operands import (
    CONSTANT,
    activations,
    constant_of,
    operand_places,
    slots_of,
    spell_real,
    stored_constant,
    values_of,
)
from trine.edge.operators import Kernel
from trine.edge.operators.table import EVERY, lower_scalar, scalar_of, zero_for_nan
from trine.edge.program import QMAX, QMIN, Int8, IntegerProgram, QuantizedTensor, Step
from trine.edge.qdq import QdqWriter

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter

LEAST_SHIFT, MOST_SHIFT = 22, 40
BY_ZERO = 2**31 - 1  # the entry of a divisor of 0; its products are shifted up until they saturate
SATURATES = 22


def fixed_point(ratio: NDArray[np.float64]) -> tuple[NDArray[np.int32], int]:
    """(entries, shift) of ratios, the greatest below 2^31; BY_ZERO for an infinite one.

    The shift is at least 22: an entry near 2^31 then stands for 512 output steps and saturates with any a'.
    """
    finite = np.abs(ratio[np.isfinite(ratio)]).max(initial=2.0**-40)
    shift = int(np.clip(np.floor(np.log2((BY_ZERO - 1) / finite)), LEAST_SHIFT, MOST_SHIFT))
    entries = np.clip(np.rint(ratio * 2.0**shift), -BY_ZERO + 1, BY_ZERO - 1)
    return np.where(np.isfinite(ratio), entries, BY_ZERO).astype(np.int32), shift


def quotient_rule(a: NDArray[np.int64], entries: NDArray[np.int64], shift: int) -> NDArray[np.int64]:
    """The integer rule on centred values, before zero point and saturation."""
    product = (a * entries) << np.where(entries == BY_ZERO, SATURATES, 0)
    return np.asarray((product + (np.int64(1) << (shift - 1))) >> shift)


def quantized_operand(
    lowering: Lowering, node: Node, position: int
) -> tuple[QuantizedTensor, NDArray[np.int8] | None]:
    """An operand as a quantised tensor; a constant over its own range, with its codes."""
    name = node.inputs[position]
    if not lowering.is_constant(name):
        return lowering.tensors[name], None
    value = constant_of(lowering, node, position)
    scale, zero_point = parameters_of(float(value.min()), float(value.max()))
    tensor = QuantizedTensor(name, value.shape, scale, zero_point)
    return tensor, np.asarray(tensor.quantize(value), np.int8)


def lower(lowering: Lowering, node: Node) -> Step:
    scalar = scalar_of(lowering, node)
    if scalar is not None:
        return lower_scalar(lowering, node, *scalar)
    a, codes = quantized_operand(lowering, node, 0)
    constant = constant_of(lowering, node, 1) if lowering.is_constant(node.inputs[1]) else None
    b = None if constant is not None else lowering.tensors[node.inputs[1]]
    divisor = np.asarray(constant, np.float32) if b is None else b.dequantize(EVERY)
    left = EVERY.astype(np.int64) - a.zero_point
    with np.errstate(all="ignore"):
        quotient = np.float32(left[:, None] * a.scale) / divisor.reshape(1, -1)
    quotient = np.where(np.isnan(quotient), 0, quotient).astype(np.float32)

    def make(output: QuantizedTensor, margin: float) -> tuple[NDArray[np.int32], int] | None:
        with np.errstate(divide="ignore"):
            entries, shift = fixed_point(float(a.scale) / (divisor.astype(np.float64) * float(output.scale)))
        low, high = lowering.bounds(node, output)
        found = (
            quotient_rule(left[:, None], entries.reshape(1, -1).astype(np.int64), shift) + output.zero_point
        )
        wanted = np.rint(quotient / output.scale) + output.zero_point
        exact = np.array_equal(np.clip(found, low, high), np.clip(wanted, low, high))
        real = quotient.astype(np.float64) / float(output.scale)
        if margin == IN_FLOAT or (exact and clear_of_ties(real[np.isfinite(real)], margin)):
            return entries, shift
        return None

    (entries, shift), y = lowering.nudge_output(node, make, (*TIE_MARGINS, IN_FLOAT))
    constants: dict[str, Array] = {"entries": entries.reshape(divisor.shape)}
    if constant is not None:
        constants["i1"] = divisor
    if codes is not None:
        constants["i0"] = codes
    attributes = {**slots_of(lowering, node), "shift": shift, "a": (a.scale, a.zero_point)}
    return Step("div", node.name, activations(lowering, node), y.name, constants, attributes)


def run(program: IntegerProgram, step: Step, inputs: Sequence[Int8]) -> Int8:
    a, b = values_of(step, inputs)
    p, entries = step.attributes, step.constants["entries"].astype(np.int64)
    ratio = entries[None] if p["slots"][1] == CONSTANT else entries[b.astype(np.int16) - QMIN]
    q = quotient_rule(a.astype(np.int64) - p["a"][1], ratio, p["shift"])
    return np.clip(q + program.tensors[step.output].zero_point, QMIN, QMAX).astype(np.int8)


def qdq(writer: QdqWriter, step: Step) -> None:
    reals = {1: step.constants["i1"]} if "i1" in step.constants else {}
    if "i0" in step.constants:
        scale, zero_point = step.attributes["a"]
        reals[0] = QuantizedTensor("", (), scale, zero_point).dequantize(step.constants["i0"])
    writer.output(step, zero_for_nan(writer, spell_real(writer, step, reals)))


def div_layer(layer: LayerWriter, step: Step) -> None:
    p, zero_point = step.attributes, layer.tensor(step.output).zero_point
    places, indent = operand_places(layer, step)
    entries, pointer, index = step.constants["entries"], "x0", places[1]
    if p["slots"][1] == CONSTANT:
        entries = stored_constant(layer, step, entries)
    else:
        index = f"x{p['slots'][1]}[{places[1]}] + 128"
    if p["slots"][0] == CONSTANT:
        pointer = layer.array("i0", stored_constant(layer, step, step.constants["i0"]))
    start = (1 << (p["shift"] - 1)) + (zero_point << p["shift"])
    layer.need("sums")
    layer.line(f"{indent}{{")
    layer.line(f"{indent}    int32_t entry = {layer.array('entries', entries)}[{index}];")
    layer.line(f"{indent}    int64_t product = (int64_t)({pointer}[{places[0]}] - ({p['a'][1]})) * entry;")
    layer.line(f"{indent}    product *= entry == INT32_MAX ? {1 << SATURATES} : 1;")
    layer.line(f"{indent}    *y++ = trine_clamp_wide((product + INT64_C({start})) >> {p['shift']});")
    layer.line(f"{indent}}}")


KERNEL = Kernel("div", ("Div",), lower, run, qdq, div_layer, in_place=True, apart=1)
