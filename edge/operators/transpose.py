"""Transpose of the axes of one example: bytes move, values stay."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.graph import Node
from trine.edge.c.movement import transpose_layer
from trine.edge.lower import Lowering
from trine.edge.operators import Kernel
from trine.edge.program import Int8, IntegerProgram, Step
from trine.edge.qdq import QdqWriter


def lower(lowering: Lowering, node: Node) -> Step:
    y = lowering.like_input(node)
    return Step(
        "transpose", node.name, (node.inputs[0],), y.name, {}, {"perm": tuple(node.attributes["perm"])}
    )


def run(program: IntegerProgram, step: Step, inputs: Sequence[Int8]) -> Int8:
    return np.ascontiguousarray(inputs[0].transpose(0, *(axis + 1 for axis in step.attributes["perm"])))


def qdq(writer: QdqWriter, step: Step) -> None:
    perm = [0, *(axis + 1 for axis in step.attributes["perm"])]
    writer.output(step, writer.node("Transpose", [writer.value(step.inputs[0])], perm=perm))


KERNEL = Kernel("transpose", ("Transpose",), lower, run, qdq, transpose_layer, layout="row", int16=True)
