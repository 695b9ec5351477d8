"""Div of two int8 or int16 tensors, or of one and a constant, in integers.

q = (a' * r[b] + half) >> shift, plus the zero point, saturated; r[b] = sa / (sb * sy * b') in fixed point, one entry
for each code of b (a constant b has an entry an element). Equal to rounding the float quotient on all 65,536 pairs:
checked when compiling, the output scale moves until it is; where no move helps, or the scale is stated, ties may fall a
step apart. Where b' is 0 the quotient saturates by the sign of a', and 0 / 0 counts as 0. A constant of a single number
makes a table.

Of int16: q = a' m / (b' 2^s) in 64 bits, rounded once, halves up; by constants a product as above, by a single number a
rescaling. That rule is the definition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array, Node
from trine.edge.c.linear16 import is_wide
from trine.edge.int16 import parameters_of_16, rescaled
from trine.edge.lower import IN_FLOAT, TIE_MARGINS, Lowering, clear_of_ties, parameters_of
from trine.edge.operands import (
    CONSTANT,
    activations,
    constant_of,
    elements,
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

LEAST_SHIFT, MOST_SHIFT, MOST_SHIFT_16 = 22, 40, 44
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


def lower_16(lowering: Lowering, node: Node) -> Step:
    """Of int16. Raises ValueError for a constant divisor that is 0 somewhere."""
    constant = [lowering.graph.constants.get(name) for name in node.inputs[:2]]
    divisor = None if constant[1] is None else constant_of(lowering, node, 1).astype(np.float64)
    if divisor is not None and not divisor.all():
        raise ValueError(f"{node.name}: divides int16 by a constant 0")
    y = lowering.add_ranged(lowering.output_name(node))
    low, high = lowering.bounds(node, y)
    if divisor is not None and divisor.size == 1:
        x, number = lowering.tensors[node.inputs[0]], divisor.reshape(())
        step = rescaled(node.name, x, y, float(1 / number), bounds=(low, high))
        return replace(
            step, attributes={**step.attributes, "op": "Div", "scalar": np.float32(number), "place": 1}
        )
    constants: dict[str, Array] = {}
    if constant[0] is None:
        a = lowering.tensors[node.inputs[0]]
    else:
        value = constant_of(lowering, node, 0)
        a = QuantizedTensor(
            "", value.shape, *parameters_of_16(float(value.min()), float(value.max())), "int16"
        )
        constants["i0"] = a.quantize(value)
    attributes = {**slots_of(lowering, node), "a": (a.scale, 0), "low": low, "high": high}
    if divisor is not None:
        ratio = float(a.scale) / (divisor * float(y.scale))
        shift = int(np.clip(np.floor(np.log2((BY_ZERO - 1) / np.abs(ratio).max())), 1, MOST_SHIFT))
        constants |= {
            "entries": np.rint(ratio * 2.0**shift).astype(np.int32),
            "i1": divisor.astype(np.float32),
        }
        return Step(
            "div", node.name, activations(lowering, node), y.name, constants, {**attributes, "shift": shift}
        )
    unit = float(a.scale) / (float(lowering.tensors[node.inputs[1]].scale) * float(y.scale))
    shift = int(np.clip(np.floor(np.log2((BY_ZERO - 1) / unit)), 0, MOST_SHIFT_16))
    if unit * 2.0**shift > BY_ZERO:
        raise ValueError(f"{node.name}: its quotients are out of all proportion to its scales")
    attributes |= {"shift": shift, "multiplier": round(unit * 2.0**shift)}
    return Step("div", node.name, activations(lowering, node), y.name, constants, attributes)


def quotient_16(a: NDArray[np.int64], b: NDArray[np.int64], multiplier: int, shift: int) -> NDArray[np.int64]:
    """The integer rule of int16 on both operands; by 0 it saturates by the sign of a, and 0 / 0 is 0."""
    n, d = a * np.where(b < 0, -multiplier, multiplier), np.abs(b) << shift
    return np.where(b == 0, np.sign(a) << 16, (2 * n + d) // np.maximum(2 * d, 1))


def lower(lowering: Lowering, node: Node) -> Step:
    if "int16" in {lowering.tensors[n].dtype for n in node.inputs if not lowering.is_constant(n)}:
        return lower_16(lowering, node)
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
    p, y = step.attributes, program.tensors[step.output]
    if "multiplier" in p:
        q = quotient_16(a.astype(np.int64), b.astype(np.int64), p["multiplier"], p["shift"])
        return np.asarray(np.clip(q, p["low"], p["high"]), y.dtype)
    entries = step.constants["entries"].astype(np.int64)
    ratio = entries[None] if p["slots"][1] == CONSTANT else entries[b.astype(np.int16) - QMIN]
    q = quotient_rule(a.astype(np.int64) - p["a"][1], ratio, p["shift"])
    return np.asarray(np.clip(q + y.zero_point, p.get("low", QMIN), p.get("high", QMAX)), y.dtype)


def qdq(writer: QdqWriter, step: Step) -> None:
    reals = {1: step.constants["i1"]} if "i1" in step.constants else {}
    if "i0" in step.constants:
        scale, zero_point = step.attributes["a"]
        codes = step.constants["i0"]
        reals[0] = QuantizedTensor("", (), scale, zero_point, codes.dtype.name).dequantize(codes)
    writer.output(step, zero_for_nan(writer, spell_real(writer, step, reals)))


def div_layer(layer: LayerWriter, step: Step) -> None:
    p, zero_point = step.attributes, layer.tensor(step.output).zero_point
    if "multiplier" in p:
        (a, b), indent = elements(layer, step)
        layer.need("divide", "int16", "quotient16")
        numbers = ", ".join(str(p[name]) for name in ("multiplier", "shift", "low", "high"))
        layer.line(f"{indent}*y++ = trine_quotient16({a}, {b}, {numbers});")
        return
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
    if not is_wide(layer.program, step):
        layer.line(f"{indent}    product *= entry == INT32_MAX ? {1 << SATURATES} : 1;")
    if is_wide(layer.program, step):
        layer.line(f"{indent}    product = (product + INT64_C({start})) >> {p['shift']};")
        ends = f"product < {p['low']} ? {p['low']} : product > {p['high']} ? {p['high']} : product"
        layer.line(f"{indent}    *y++ = (int16_t)({ends});")
    else:
        layer.line(f"{indent}    *y++ = trine_clamp_wide((product + INT64_C({start})) >> {p['shift']});")
    layer.line(f"{indent}}}")


KERNEL = Kernel("div", ("Div",), lower, run, qdq, div_layer, in_place=True, apart=1, int16=True)
