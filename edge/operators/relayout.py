"""The same values, channels last or in ONNX order: bytes move in the C print only; in every other print a
no-op."""

from __future__ import annotations

from collections.abc import Sequence

from trine.compilers.graph import Node
from trine.edge.c.movement import relayout_layer
from trine.edge.lower import Lowering
from trine.edge.operators import Kernel
from trine.edge.program import Int8, IntegerProgram, Step
from trine.edge.qdq import QdqWriter


def lower(lowering: Lowering, node: Node) -> Step:
    raise ValueError(f"{node.name}: relayout steps are made by the C print, not lowered")


def run(program: IntegerProgram, step: Step, inputs: Sequence[Int8]) -> Int8:
    return inputs[0]


def qdq(writer: QdqWriter, step: Step) -> None:
    writer.output(step, writer.node("Identity", [writer.value(step.inputs[0])]))


KERNEL = Kernel("relayout", (), lower, run, qdq, relayout_layer, int16=True)
