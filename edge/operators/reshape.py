"""Reshape, Flatten, Squeeze, Unsqueeze: the same bytes under another shape, in ONNX order."""

from __future__ import annotations

from collections.abc import Sequence

from trine.compilers.graph import Node
from trine.edge.c.movement import reshape_layer
from trine.edge.lower import Lowering
from trine.edge.operators import Kernel
from trine.edge.program import Int8, IntegerProgram, Step
from trine.edge.qdq import QdqWriter


def lower(lowering: Lowering, node: Node) -> Step:
    y = lowering.like_input(node)
    return Step("reshape", node.name, (node.inputs[0],), y.name)


def run(program: IntegerProgram, step: Step, inputs: Sequence[Int8]) -> Int8:
    return inputs[0].reshape(len(inputs[0]), *program.tensors[step.output].shape)


def qdq(writer: QdqWriter, step: Step) -> None:
    shape = writer.shape([0, *writer.program.tensors[step.output].shape])
    writer.output(step, writer.node("Reshape", [writer.value(step.inputs[0]), shape]))


KERNEL = Kernel(
    "reshape", ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout"),
    lower, run, qdq, reshape_layer, layout="row", int16=True,
)  # fmt: skip
