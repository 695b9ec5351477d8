"""ScatterElements and ScatterND in integers: codes are written where the indices say.

Data and updates go to the output's scale through a table each, where they have another. Reductions by the greatest or
least work on codes; sums and products do not, and are refused by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from trine.compilers.graph import Array, Node
from trine.compilers.onnx_writer import spelled
from trine.compilers.operators import operators
from trine.edge.c.indexed import Place, scatter_elements_lines, scatter_nd_lines
from trine.edge.c.writer import LayerWriter
from trine.edge.lower import Lowering
from trine.edge.operators import Kernel
from trine.edge.operators.table import table_of
from trine.edge.program import QMIN, IntegerProgram, Step
from trine.edge.qdq import OPSET, QdqWriter


def lower(lowering: Lowering, node: Node) -> Step:
    if node.attributes["reduction"] in ("add", "mul"):
        raise ValueError(
            f"{node.name}: reduction {node.attributes['reduction']} has no int8 form; float32 has one"
        )
    if any(node.attributes["constant"]):
        raise ValueError(f"{node.name}: an input is a constant; int8 takes computed ones only")
    data, updates = lowering.tensors[node.inputs[0]], lowering.tensors[node.inputs[2]]
    y = (lowering.add_ranged if data.quantized else lowering.add_plain)(node.outputs[0])
    tables = {
        f"table{i}": table_of(lambda v: v, x, y)
        for i, x in ((0, data), (2, updates))
        if (x.scale, x.zero_point) != (y.scale, y.zero_point)
    }
    attributes = {"op": node.op, "of": dict(node.attributes)}
    return Step("scatter", node.name, tuple(node.inputs[:3]), y.name, tables, attributes)


def node_of(step: Step) -> Node:
    """The operator that a step stands for."""
    return Node(step.attributes["op"], step.name, step.inputs, (step.output,), step.attributes["of"])


def run(program: IntegerProgram, step: Step, inputs: Sequence[Array]) -> Array:
    values = list(inputs)
    for i in (0, 2):
        if f"table{i}" in step.constants:
            values[i] = step.constants[f"table{i}"][values[i].astype(np.int16) - QMIN]
    return operators()[step.attributes["op"]].run(node_of(step), values)[0]


def qdq(writer: QdqWriter, step: Step) -> None:
    real = f"{step.output}_real"
    part = replace(step, output=real, constants={})
    writer.spell(part, spelled(replace(node_of(step), outputs=(real,)), OPSET))
    writer.output(step, writer.value(real))


def write_c(layer: LayerWriter, step: Step) -> None:
    y, of = layer.tensor(step.output), step.attributes["of"]
    indices = Place("x1", layer.tensor(step.inputs[1]).shape)
    if "table0" in step.constants:
        layer.need("elementwise")
        table = layer.array("table0", step.constants["table0"])
        layer.line(f"trine_table(x0, y, {table}, {y.size});")
    else:
        layer.need("copy")
        layer.line(f"trine_copy((int8_t *)y, (const int8_t *)x0, {y.bytes});")
    update = "x2[j]"
    if "table2" in step.constants:
        update = f"{layer.array('table2', step.constants['table2'])}[x2[j] + 128]"
    if step.attributes["op"] == "ScatterElements":
        scatter_elements_lines(layer, y.shape, indices, update, of["axis"], of["reduction"])
    else:
        scatter_nd_lines(layer, y.shape, indices, update, of["reduction"])


KERNEL = Kernel("scatter", ("ScatterElements", "ScatterND"), lower, run, qdq, write_c, layout="row")
