"""Not, And, Or, Xor of truth values, one byte each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from trine.compilers.graph import Array, Node
from trine.edge.lower import Lowering
from trine.edge.operands import activations, constant_of, elements, slots_of, spell_real, values_of
from trine.edge.operators import Kernel
from trine.edge.program import IntegerProgram, Step
from trine.edge.qdq import QdqWriter

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter

# By operator: NumPy's function and the C of elements a and b.
LOGIC = {
    "And": (np.logical_and, "{0} && {1}"),
    "Not": (np.logical_not, "!{0}"),
    "Or": (np.logical_or, "{0} || {1}"),
    "Xor": (np.logical_xor, "!{0} != !{1}"),
}


def lower(lowering: Lowering, node: Node) -> Step:
    y = lowering.add_plain(node.outputs[0])
    places = [i for i, name in enumerate(node.inputs) if lowering.is_constant(name)]
    constants = {f"i{i}": constant_of(lowering, node, i) for i in places}
    return Step("logic", node.name, activations(lowering, node), y.name, constants, slots_of(lowering, node))


def run(program: IntegerProgram, step: Step, inputs: Sequence[Array]) -> Array:
    return np.asarray(LOGIC[step.attributes["op"]][0](*values_of(step, inputs)))


def qdq(writer: QdqWriter, step: Step) -> None:
    reals = {int(name[1:]): value for name, value in step.constants.items()}
    writer.output(step, spell_real(writer, step, reals))


def logic_layer(layer: LayerWriter, step: Step) -> None:
    texts, indent = elements(layer, step)
    layer.line(f"{indent}*y++ = (uint8_t)({LOGIC[step.attributes['op']][1].format(*texts)});")


KERNEL = Kernel("logic", tuple(LOGIC), lower, run, qdq, logic_layer, layout="row", in_place=True)
