"""PRelu in integers: x' times one of two multipliers by its sign, one rounding shift.

q = (x' * m + half) >> shift, plus the zero point, saturated; m = sx / sy for x' >= 0, that times the slope below, one
an element of the slopes' shape. Equal to the float rule on all 256 codes with every slope: checked when compiling, the
output scale moves until it is; where no move helps ties may fall a step apart. One slope makes a table. Slopes that are
an activation have a multiplier a code: all 65,536 pairs are checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array, Node
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
from trine.edge.operators.table import EVERY, lower_scalar, scalar_of
from trine.edge.program import QMAX, QMIN, Int8, IntegerProgram, QuantizedTensor, Step
from trine.edge.qdq import QdqWriter

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter

MULTIPLIER_BITS = 30


def multipliers(ratios: NDArray[np.float64]) -> tuple[NDArray[np.int32], int]:
    """(multipliers, shift) with the greatest below 2^30."""
    shift = int(np.floor(MULTIPLIER_BITS - np.log2(np.abs(ratios).max(initial=2.0**-20))))
    shift = min(max(shift, 1), 45)
    return np.rint(ratios * 2.0**shift).astype(np.int32), shift


def rule(x: NDArray[np.int64], multiplier: NDArray[np.int64], shift: int) -> NDArray[np.int64]:
    """The integer rule on centred values, before zero point and saturation."""
    return np.asarray((x * multiplier + (np.int64(1) << (shift - 1))) >> shift)


def lower(lowering: Lowering, node: Node) -> Step:
    scalar = scalar_of(lowering, node)
    if scalar is not None and scalar[0] == 1:
        return lower_scalar(lowering, node, *scalar)
    x = lowering.tensors[node.inputs[0]]
    constant = constant_of(lowering, node, 1) if lowering.is_constant(node.inputs[1]) else None
    slopes = np.asarray(constant, np.float32) if constant is not None else slope_codes(lowering, node)
    centred = EVERY.astype(np.int64)[:, None] - x.zero_point
    real = centred.astype(np.float32) * x.scale
    exact = np.where(real < 0, real * slopes.reshape(1, -1), real)

    def make(output: QuantizedTensor, margin: float) -> tuple[NDArray[np.int32], int] | None:
        every = np.concatenate([[1.0], slopes.astype(np.float64).ravel()]) * (
            float(x.scale) / float(output.scale)
        )
        entries, shift = multipliers(every)
        chosen = np.where(centred < 0, entries[1:].astype(np.int64), int(entries[0]))
        found = np.clip(rule(centred, chosen, shift) + output.zero_point, QMIN, QMAX)
        wanted = np.clip(np.rint(exact / output.scale) + output.zero_point, QMIN, QMAX)
        ties = clear_of_ties(exact.astype(np.float64) / float(output.scale), margin)
        return (entries, shift) if margin == IN_FLOAT or (np.array_equal(found, wanted) and ties) else None

    (entries, shift), y = lowering.nudge_output(node, make, (*TIE_MARGINS, IN_FLOAT))
    constants: dict[str, Array] = {"below": entries[1:].reshape(slopes.shape)}
    if constant is not None:
        constants["i1"] = slopes
    attributes = {**slots_of(lowering, node), "shift": shift, "above": int(entries[0])}
    return Step("prelu", node.name, activations(lowering, node), y.name, constants, attributes)


def slope_codes(lowering: Lowering, node: Node) -> NDArray[np.float32]:
    """The slope that each code of an activation stands for."""
    return np.asarray(lowering.tensors[node.inputs[1]].dequantize(EVERY), np.float32)


def run(program: IntegerProgram, step: Step, inputs: Sequence[Int8]) -> Int8:
    x, slopes = values_of(step, inputs)
    a, below = step.attributes, step.constants["below"].astype(np.int64)
    below = below[None] if a["slots"][1] == CONSTANT else below[slopes.astype(np.int16) - QMIN]
    centred = x.astype(np.int64) - program.tensors[step.inputs[0]].zero_point
    q = rule(centred, np.where(centred < 0, below, a["above"]), a["shift"])
    return np.clip(q + program.tensors[step.output].zero_point, QMIN, QMAX).astype(np.int8)


def qdq(writer: QdqWriter, step: Step) -> None:
    reals = {1: step.constants["i1"]} if "i1" in step.constants else {}
    writer.output(step, spell_real(writer, step, reals))


def prelu_layer(layer: LayerWriter, step: Step) -> None:
    a, zero_point = step.attributes, layer.tensor(step.output).zero_point
    layer.need("sums")
    places, indent = operand_places(layer, step)
    below, index = step.constants["below"], places[1]
    if a["slots"][1] == CONSTANT:
        below = stored_constant(layer, step, below)
    else:
        index = f"x1[{index}] + 128"
    start = (1 << (a["shift"] - 1)) + (zero_point << a["shift"])
    layer.line(f"{indent}{{")
    layer.line(f"{indent}    int32_t v = x0[{places[0]}] - ({layer.tensor(step.inputs[0]).zero_point});")
    layer.line(f"{indent}    int64_t m = v < 0 ? {layer.array('below', below)}[{index}] : {a['above']};")
    layer.line(f"{indent}    *y++ = trine_clamp_wide((v * m + INT64_C({start})) >> {a['shift']});")
    layer.line(f"{indent}}}")


KERNEL = Kernel("prelu", ("PRelu",), lower, run, qdq, prelu_layer, in_place=True, apart=1)
