"""Concat in integers: each input as it is, or through a 256-entry table to the output's scale; int16 is rescaled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.graph import Node
from trine.edge.c.movement import concat_layer
from trine.edge.int16 import rescaled
from trine.edge.lower import Lowering
from trine.edge.operators import Kernel
from trine.edge.operators.table import table_of
from trine.edge.program import QMIN, Int8, IntegerProgram, QuantizedTensor, Step
from trine.edge.qdq import QdqWriter


def rescaled_parts(lowering: Lowering, node: Node, y: QuantizedTensor) -> tuple[Step, ...]:
    """Concat of int16: parts of another scale are rescaled before."""
    steps, names = [], []
    for name in node.inputs:
        x = lowering.tensors[name]
        if x.scale != y.scale:
            part = lowering.add_tensor(f"{node.name}_{name}", x.shape, y.scale, 0, "int16")
            if part.name not in names:
                steps.append(rescaled(part.name, x, part))
            name = part.name
        names.append(name)
    step = Step("concat", node.name, tuple(names), y.name, {}, {"axis": node.attributes["axis"]})
    return (*steps, step)


def lower(lowering: Lowering, node: Node) -> Step | tuple[Step, ...]:
    y = lowering.add_ranged(node.outputs[0])
    if y.dtype == "int16":
        return rescaled_parts(lowering, node, y)
    tables = {}
    for i, name in enumerate(node.inputs):
        x = lowering.tensors[name]
        if (x.scale, x.zero_point) != (y.scale, y.zero_point):
            tables[f"table{i}"] = table_of(lambda v: v, x, y)
    return Step("concat", node.name, tuple(node.inputs), y.name, tables, {"axis": node.attributes["axis"]})


def run(program: IntegerProgram, step: Step, inputs: Sequence[Int8]) -> Int8:
    parts = [
        step.constants[f"table{i}"][q.astype(np.int16) - QMIN] if f"table{i}" in step.constants else q
        for i, q in enumerate(inputs)
    ]
    return np.concatenate(parts, axis=step.attributes["axis"] + 1)


def qdq(writer: QdqWriter, step: Step) -> None:
    values = [writer.value(name) for name in step.inputs]
    writer.output(step, writer.node("Concat", values, axis=step.attributes["axis"] + 1))


KERNEL = Kernel("concat", ("Concat",), lower, run, qdq, concat_layer, layout="any", int16=True)
