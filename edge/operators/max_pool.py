"""MaxPool 1-D and 2-D in integers: the greatest code of a window; padding never wins; scale and zero point
stay."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.graph import Node
from trine.compilers.operators.maxpool import pool_windows
from trine.devices.errors import InputError
from trine.edge.c.pool import max_pool_layer
from trine.edge.lower import Lowering
from trine.edge.operators import Kernel
from trine.edge.program import Int8, IntegerProgram, Step
from trine.edge.qdq import QdqWriter


def lower(lowering: Lowering, node: Node) -> Step:
    if len(node.attributes["kernel_shape"]) > 2:
        raise InputError(
            f"node {node.name} (MaxPool): 3-D pools have no int8 kernel; --precision float32 has them"
        )
    y = lowering.like_input(node)
    return Step("max_pool", node.name, (node.inputs[0],), y.name, {}, dict(node.attributes))


def run(program: IntegerProgram, step: Step, inputs: Sequence[Int8]) -> Int8:
    node = Node("MaxPool", step.name, step.inputs, (step.output,), step.attributes)
    least = program.tensors[step.inputs[0]].limits[0]
    return np.asarray(pool_windows(node, inputs[0], least).max(axis=-1))


def qdq(writer: QdqWriter, step: Step) -> None:
    lists = {name: list(value) for name, value in step.attributes.items()}
    writer.output(step, writer.node("MaxPool", [writer.value(step.inputs[0])], **lists))


KERNEL = Kernel("max_pool", ("MaxPool",), lower, run, qdq, max_pool_layer, layout="last", int16=True)
