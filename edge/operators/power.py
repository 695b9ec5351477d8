"""Pow of two int8 tensors in integers: |x|^y = 2^(y log2 |x|), and a code is what power of two has been reached.

e = y' * log2|x| * sy in 64-bit fixed point, one logarithm a code of x; the magnitude of q less its zero point is the
number of thresholds log2((k - 1/2) * s_out) up to e. Nothing is approximated but the logarithms, to 2^-40. Equal to
rounding the float power on all 65,536 pairs: checked when compiling, the output scale moves until it is; where no move
helps ties may fall a step apart. The sign is that of x where y is odd; a negative x to a broken y is no number and
counts as 0.

A constant operand has a table of 256 codes for each different value, and so has a single number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array, Node
from trine.compilers.operators.pow import power
from trine.devices.errors import InputError
from trine.edge.lower import IN_FLOAT, TIE_MARGINS, Lowering, clear_of_ties
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

BITS = 40  # of fixed point in an exponent of two
OF_ZERO = -(1 << 48)  # log2 of 0: any y' takes it past every threshold
EVEN, ODD, BROKEN = 0, 1, 2
MOST_TABLES = 64
LEVELS = np.arange(1, 256)


def logarithms(x: QuantizedTensor, y: QuantizedTensor) -> NDArray[np.int64]:
    """log2 |x| * sy of every code of x."""
    real = np.abs(x.dequantize(EVERY).astype(np.float64))
    with np.errstate(divide="ignore"):
        found = np.log2(real) * float(y.scale) * 2.0**BITS
    return np.where(real > 0, np.rint(np.where(real > 0, found, 0)), OF_ZERO).astype(np.int64)


def parities(y: QuantizedTensor) -> NDArray[np.uint8]:
    """Whether each code of y stands for an even, an odd or a broken number."""
    real = y.dequantize(EVERY).astype(np.float64)
    whole = real == np.rint(real)
    return np.where(whole, np.abs(real) % 2, BROKEN).astype(np.uint8)


def limits_of(output: QuantizedTensor) -> NDArray[np.int64]:
    """The least exponent of two with which each magnitude from 1 to 255 is reached."""
    real = (np.log2(LEVELS - 0.5) + np.log2(float(output.scale))) * 2.0**BITS
    return np.asarray(np.ceil(real), np.int64)


def power_rule(
    exponent: NDArray[np.int64],
    negative: NDArray[np.bool_],
    parity: NDArray[np.uint8],
    limits: NDArray[np.int64],
) -> NDArray[np.int64]:
    """The integer rule, before zero point and saturation."""
    magnitude = np.searchsorted(limits, exponent, "right")
    signed = np.where(negative & (parity == ODD), -magnitude, magnitude)
    return np.where(negative & (parity == BROKEN), 0, signed)


def lower(lowering: Lowering, node: Node) -> Step:
    scalar = scalar_of(lowering, node)
    if scalar is not None:
        return lower_scalar(lowering, node, *scalar)
    for place in (0, 1):
        if lowering.is_constant(node.inputs[place]):
            return lower_constant(lowering, node, place)
    x, y = (lowering.tensors[name] for name in node.inputs)
    with np.errstate(all="ignore"):
        exact = power(x.dequantize(EVERY)[:, None], y.dequantize(EVERY)[None]).astype(np.float32)
    exact = np.where(np.isnan(exact), 0, exact)
    logs, parity = logarithms(x, y), parities(y)
    exponents = logs[:, None] * (EVERY.astype(np.int64) - y.zero_point)
    negative = (EVERY.astype(np.int64) < x.zero_point)[:, None]

    def make(output: QuantizedTensor, margin: float) -> NDArray[np.int64] | None:
        limits = limits_of(output)
        found = power_rule(exponents, negative, parity, limits) + output.zero_point
        with np.errstate(over="ignore"):
            wanted = np.rint(exact / output.scale) + output.zero_point
            real = exact.astype(np.float64) / float(output.scale)
        equal = np.array_equal(np.clip(found, QMIN, QMAX), np.clip(wanted, QMIN, QMAX))
        exact_here = equal and clear_of_ties(real[np.isfinite(real)], margin)
        return limits if margin == IN_FLOAT or exact_here else None

    limits, output = lowering.nudge_output(node, make, (*TIE_MARGINS, IN_FLOAT))
    constants: dict[str, Array] = {"logs": logs, "parity": parity, "limits": limits}
    attributes = {**slots_of(lowering, node), "zeros": (x.zero_point, y.zero_point)}
    return Step("power", node.name, activations(lowering, node), output.name, constants, attributes)


def lower_constant(lowering: Lowering, node: Node, place: int) -> Step:
    """Tables [different values, 256] and which of them each element takes ("i<place>")."""
    x, value = lowering.tensors[node.inputs[1 - place]], constant_of(lowering, node, place)
    different, index = np.unique(value, return_inverse=True)
    if len(different) > MOST_TABLES:
        raise InputError(
            f"node {node.name} (Pow): {len(different)} different constants; int8 has a table of 256 bytes for each of "
            f"up to {MOST_TABLES}, --precision float32 has it"
        )
    y, real = lowering.add_ranged(node.outputs[0]), x.dequantize(EVERY)
    with np.errstate(all="ignore"):
        both = [real[None], different.astype(np.float32)[:, None]]
        found = power(*(both if place else both[::-1])).astype(np.float32)
    tables = y.quantize(np.where(np.isnan(found), 0, found))
    constants = {
        "tables": tables,
        f"i{place}": index.reshape(value.shape).astype(np.uint8),
        "real": different,
    }
    return Step("power", node.name, (x.name,), y.name, constants, slots_of(lowering, node))


def run(program: IntegerProgram, step: Step, inputs: Sequence[Int8]) -> Int8:
    values, c = values_of(step, inputs), step.constants
    if "tables" in c:
        place = step.attributes["slots"].index(CONSTANT)
        return np.asarray(c["tables"][values[place], values[1 - place].astype(np.int16) - QMIN], np.int8)
    x, y = (v.astype(np.int64) for v in values)
    zeros = step.attributes["zeros"]
    found = power_rule(c["logs"][x - QMIN] * (y - zeros[1]), x < zeros[0], c["parity"][y - QMIN], c["limits"])
    return np.clip(found + program.tensors[step.output].zero_point, QMIN, QMAX).astype(np.int8)


def qdq(writer: QdqWriter, step: Step) -> None:
    reals = {}
    if "tables" in step.constants:
        place = step.attributes["slots"].index(CONSTANT)
        reals[place] = step.constants["real"].astype(np.float32)[step.constants[f"i{place}"]]
    writer.output(step, zero_for_nan(writer, spell_real(writer, step, reals)))


def power_layer(layer: LayerWriter, step: Step) -> None:
    places, indent = operand_places(layer, step)
    c, slots = step.constants, step.attributes["slots"]
    if "tables" in c:
        place = slots.index(CONSTANT)
        which = f"{layer.array('which', stored_constant(layer, step, c[f'i{place}']))}[{places[place]}]"
        table = layer.array("tables", c["tables"])
        layer.line(f"{indent}*y++ = {table}[{which} * 256 + x0[{places[1 - place]}] + 128];")
        return
    layer.need("power")
    arrays = ", ".join(layer.array(name, c[name]) for name in ("logs", "parity", "limits"))
    zeros = f"{', '.join(map(str, step.attributes['zeros']))}, {layer.tensor(step.output).zero_point}"
    layer.line(f"{indent}*y++ = trine_power_int8(x0[{places[0]}], x1[{places[1]}], {arrays}, {zeros});")


KERNEL = Kernel("power", ("Pow",), lower, run, qdq, power_layer, in_place=True, apart=1)
