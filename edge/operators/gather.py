"""Gather, GatherElements and GatherND in integers: codes move, scale and zero point stay.

By constant indices they are moves (`operators.move`). Indices that are computed are whole numbers, int32 or int64, and
are clipped to their axis. A constant table that is gathered from (an embedding) is quantised over its own range.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from trine.compilers.graph import Array, Node
from trine.compilers.onnx_writer import spelled
from trine.compilers.operators import operators
from trine.edge.c.indexed import Place, gather_elements_lines, gather_lines, gather_nd_lines
from trine.edge.c.writer import LayerWriter
from trine.edge.int16 import parameters_of_16
from trine.edge.lower import Lowering, parameters_of
from trine.edge.operators import Kernel
from trine.edge.operators.move import lower_move
from trine.edge.program import IntegerProgram, Step
from trine.edge.qdq import OPSET, QdqWriter


def lower(lowering: Lowering, node: Node) -> Step:
    fixed = node.attributes["constant"]
    if fixed[1] and not fixed[0]:
        return lower_move(lowering, node)
    attributes = {"op": node.op, "of": dict(node.attributes)}
    if not fixed[0]:
        y = lowering.like_input(node)
        return Step("gather", node.name, tuple(node.inputs[:2]), y.name, {}, attributes)
    value, name = lowering.graph.constants[node.inputs[0]], node.outputs[0]
    if value.dtype != np.float32:
        return Step(
            "gather", node.name, (node.inputs[1],), lowering.add_plain(name).name, {"i0": value}, attributes
        )
    ends = float(value.min()), float(value.max())
    kind = "int16" if lowering.wide(name) else "int8"
    parameters = parameters_of_16(*ends) if kind == "int16" else parameters_of(*ends)
    y = lowering.add_tensor(name, lowering.graph.tensors[name].shape, *parameters, kind)
    codes = replace(y, shape=tuple(value.shape)).quantize(value)
    return Step("gather", node.name, (node.inputs[1],), y.name, {"i0": codes}, attributes)


def node_of(step: Step) -> Node:
    """The operator that a step stands for."""
    names = (*step.constants, *step.inputs)
    return Node(step.attributes["op"], step.name, names, (step.output,), step.attributes["of"])


def run(program: IntegerProgram, step: Step, inputs: Sequence[Array]) -> Array:
    return operators()[step.attributes["op"]].run(node_of(step), [*step.constants.values(), *inputs])[0]


def qdq(writer: QdqWriter, step: Step) -> None:
    real, y = f"{step.output}_real", writer.program.tensors[step.output]
    node = replace(node_of(step), outputs=(real,))
    part = replace(step, output=real, constants={})
    if step.constants:
        codes = step.constants["i0"]
        table = (
            writer.stored_constant(f"{step.name}_table", codes, y.scale, y.zero_point, None)
            if y.quantized
            else (writer.constant(codes, f"{step.name}_table"))
        )
        node = replace(node, inputs=(table, *step.inputs))
    writer.spell(part, spelled(node, OPSET))
    writer.output(step, writer.value(real))


def write_c(layer: LayerWriter, step: Step) -> None:
    of, y = step.attributes["of"], layer.tensor(step.output)
    places = [Place(layer.array(name, value), value.shape) for name, value in step.constants.items()]
    places += [Place(f"x{i}", layer.tensor(name).shape) for i, name in enumerate(step.inputs)]
    size = np.dtype(y.dtype).itemsize
    data, indices = places
    if step.attributes["op"] == "Gather":
        gather_lines(layer, data, indices, of["axis"], size)
    elif step.attributes["op"] == "GatherElements":
        gather_elements_lines(layer, data, indices, of["axis"])
    else:
        gather_nd_lines(layer, data, indices, of["batch_dims"], size)


KERNEL = Kernel(
    "gather", ("Gather", "GatherElements", "GatherND"), lower, run, qdq, write_c, layout="row", int16=True
)
