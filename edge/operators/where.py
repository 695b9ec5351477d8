"""Where: an int8 value of one branch or the other, by a truth value; both go through tables into the output's scale.

A constant branch is stored in the output's codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from trine.compilers.graph import Array, Node
from trine.edge.lower import Lowering
from trine.edge.operands import CONSTANT, activations, constant_of, elements, slots_of, spell_real, values_of
from trine.edge.operators import Kernel
from trine.edge.operators.minmax import alike, in_output_codes, into_output, real_constants, through_tables
from trine.edge.program import IntegerProgram, Step
from trine.edge.qdq import QdqWriter

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter

BRANCHES = (1, 2)


def lower(lowering: Lowering, node: Node) -> Step | tuple[Step, ...]:
    y, steps = lowering.add_ranged(node.outputs[0]), list[Step]()
    if y.dtype == "int16":
        node, steps = alike(lowering, node, y, BRANCHES)
    constants = into_output(lowering, node, y, BRANCHES)
    if lowering.is_constant(node.inputs[0]):
        constants["i0"] = constant_of(lowering, node, 0)
    names, slots = activations(lowering, node), slots_of(lowering, node)
    return (*steps, Step("where", node.name, names, y.name, constants, slots))


def run(program: IntegerProgram, step: Step, inputs: Sequence[Array]) -> Array:
    values = values_of(step, inputs)
    a, b = in_output_codes(step, values, BRANCHES)
    return np.where(values[0], a, b)


def qdq(writer: QdqWriter, step: Step) -> None:
    reals = real_constants(writer, step, BRANCHES)
    if step.attributes["slots"][0] == CONSTANT:
        reals[0] = step.constants["i0"]
    writer.output(step, spell_real(writer, step, reals))


def where_layer(layer: LayerWriter, step: Step) -> None:
    texts, indent = elements(layer, step)
    a, b = through_tables(layer, step, texts, BRANCHES)
    layer.line(f"{indent}*y++ = {texts[0]} ? {a} : {b};")


KERNEL = Kernel("where", ("Where",), lower, run, qdq, where_layer, layout="row", int16=True)
