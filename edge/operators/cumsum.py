"""CumSum of int8 along an axis: running sums of x - zero point in int32, each through one requantiser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from trine.compilers.graph import Node
from trine.compilers.operators.cumsum import cumulate
from trine.edge.c.lines import close_lines, open_lines
from trine.edge.lower import Lowering
from trine.edge.operands import slots_of, spell_real
from trine.edge.operators import Kernel
from trine.edge.operators.reduce import finish, finished, sum_bounds, sum_finish
from trine.edge.program import Int8, IntegerProgram, Step
from trine.edge.qdq import QdqWriter

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter


def lower(lowering: Lowering, node: Node) -> Step:
    x = lowering.tensors[node.inputs[0]]
    low, high = sum_bounds("ReduceSum", x, x.shape[node.attributes["axis"]])
    constants, requantizer, y = sum_finish(lowering, node, x.scale, low, high)
    return Step("cumsum", node.name, (x.name,), y.name, constants, slots_of(lowering, node), requantizer)


def run(program: IntegerProgram, step: Step, inputs: Sequence[Int8]) -> Int8:
    centred = inputs[0].astype(np.int64) - program.tensors[step.inputs[0]].zero_point
    of = step.attributes["of"]
    return finished(step, cumulate(centred, of["axis"] + 1, of["exclusive"], of["reverse"]))


def qdq(writer: QdqWriter, step: Step) -> None:
    writer.output(step, spell_real(writer, step, {}))


def cumsum_layer(layer: LayerWriter, step: Step) -> None:
    of, x, finishing = step.attributes["of"], layer.tensor(step.inputs[0]), finish(layer, step)
    length, apart = open_lines(layer, step, of["axis"])
    layer.line("        int32_t sum = 0;")
    layer.line(f"        for (int32_t i = 0; i < {length}; i++) {{")
    layer.line(
        f"            int32_t place = at + ({f'{length - 1} - i' if of['reverse'] else 'i'}) * {apart};"
    )
    layer.line(f"            int32_t v = x0[place] - ({x.zero_point});")
    add = "            sum += v;"
    store = f"            y[place] = {finishing};"
    for text in (store, add) if of["exclusive"] else (add, store):
        layer.line(text)
    layer.line("        }")
    close_lines(layer)


KERNEL = Kernel("cumsum", ("CumSum",), lower, run, qdq, cumsum_layer, layout="row", in_place=True, apart=1)
