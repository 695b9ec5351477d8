"""An operator of `Graph` as it is, in float32 or in its own integers: precision float32 has no other step, and int8 has
it for whole numbers and truth values.

The meaning is the operator's own in NumPy. The C may differ from it in the last bits of a float: sums run in another
order there, and functions are our own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trine.compilers.graph import Array, Node
from trine.compilers.onnx_writer import spelled
from trine.compilers.operators import operators
from trine.edge.float32 import ABSENT, CONSTANT, all_outputs, in_place, node_of, step_of, writers
from trine.edge.lower import Lowering
from trine.edge.operators import Kernel
from trine.edge.program import IntegerProgram, QuantizedTensor, Step
from trine.edge.qdq import FLOAT_OPSET, QdqWriter


def lower(lowering: Lowering, node: Node) -> Step:
    step = step_of(lowering.graph, node)
    for name, (shape, scale, zero_point, kind) in zip(
        step.outputs, all_outputs(lowering.graph, node), strict=True
    ):
        lowering.tensors[name] = QuantizedTensor(name, shape, scale, zero_point, kind)
    return step


def run(program: IntegerProgram, step: Step, inputs: Sequence[Array]) -> Any:
    slots = list(step.attributes["slots"])
    while slots and slots[-1] == ABSENT:
        slots.pop()
    arguments = [
        None if slot == ABSENT else step.constants[f"i{i}"] if slot == CONSTANT else inputs[slot]
        for i, slot in enumerate(slots)
    ]
    results = operators()[step.attributes["op"]].run(node_of(step), arguments)  # type: ignore[arg-type]  # None: absent
    return results if step.also else results[0]


def qdq(writer: QdqWriter, step: Step) -> None:
    writer.spell(step, spelled(node_of(step), FLOAT_OPSET))


def write_c(layer: Any, step: Step) -> None:
    writers()[step.attributes["op"]](layer, step)


KERNEL = Kernel(
    "float32", (), lower, run, qdq, write_c, layout="row",
    in_place=lambda step: step.attributes["op"] in in_place(),
)  # fmt: skip
