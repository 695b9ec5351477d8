"""ArgMax and ArgMin of int8 codes along an axis: the first of equal values, or the last; int64.

Codes of one tensor keep the order of the values they stand for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from trine.compilers.graph import Array, Node
from trine.compilers.operators import operators
from trine.edge.c.lines import best_of_line
from trine.edge.lower import Lowering
from trine.edge.operands import slots_of, spell_real
from trine.edge.operators import Kernel
from trine.edge.program import IntegerProgram, Step
from trine.edge.qdq import QdqWriter

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter


def lower(lowering: Lowering, node: Node) -> Step:
    y = lowering.add_plain(node.outputs[0])
    return Step("argument", node.name, node.inputs, y.name, {}, slots_of(lowering, node))


def run(program: IntegerProgram, step: Step, inputs: Sequence[Array]) -> Array:
    op = step.attributes["op"]
    return operators()[op].run(Node(op, step.name, step.inputs, step.outputs, step.attributes["of"]), inputs)[
        0
    ]


def qdq(writer: QdqWriter, step: Step) -> None:
    writer.output(step, spell_real(writer, step, {}))


def argument_layer(layer: LayerWriter, step: Step) -> None:
    of = step.attributes["of"]
    best_of_line(layer, step, of["axis"], step.attributes["op"] == "ArgMin", bool(of["select_last_index"]))


KERNEL = Kernel("argument", ("ArgMax", "ArgMin"), lower, run, qdq, argument_layer, layout="row", int16=True)
