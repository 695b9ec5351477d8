"""What kernels on several operands share: activations and constants that broadcast, by position.

A step's `slots` say for each operand which of its inputs it is, or CONSTANT: then `constants["i<position>"]` holds it,
without batch axis and with as many axes as the output.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from trine.compilers.graph import Array, Node
from trine.compilers.onnx_writer import spelled
from trine.edge.c.loops import broadcast_loops
from trine.edge.program import Step

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter
    from trine.edge.lower import Lowering
    from trine.edge.qdq import QdqWriter

CONSTANT = -1


def activations(lowering: Lowering, node: Node) -> tuple[str, ...]:
    """The operands that are no constants, in order."""
    return tuple(name for name in node.inputs if not lowering.is_constant(name))


def slots_of(lowering: Lowering, node: Node) -> dict[str, Any]:
    """The attributes of a step on these operands: its operator, `slots`, the output's rank."""
    slots, count = [], 0
    for name in node.inputs:
        slots.append(CONSTANT if lowering.is_constant(name) else count)
        count += not lowering.is_constant(name)
    rank = len(lowering.graph.tensors[node.outputs[0]].shape)
    return {"op": node.op, "of": dict(node.attributes), "slots": tuple(slots), "rank": rank}


def constant_of(lowering: Lowering, node: Node, position: int) -> Array:
    """A constant operand's value with as many axes as the output."""
    value = lowering.graph.constants[node.inputs[position]]
    rank = len(lowering.graph.tensors[node.outputs[0]].shape)
    return value.reshape((1,) * (rank - value.ndim) + value.shape)


def values_of(step: Step, inputs: Sequence[Array]) -> list[Array]:
    """The operands' stored values, [n or 1, ...] of one rank."""
    rank, values = step.attributes["rank"], []
    for position, slot in enumerate(step.attributes["slots"]):
        if slot == CONSTANT:
            values.append(step.constants[f"i{position}"][None])
            continue
        x = inputs[slot]
        values.append(x.reshape(x.shape[0], *(1,) * (rank + 1 - x.ndim), *x.shape[1:]))
    return values


def stored_constant(layer: LayerWriter, step: Step, value: Array) -> Array:
    """A constant operand as it lies in memory, in the layout of the step's output."""
    last = layer.source.laid_out.last[step.output]
    return np.ascontiguousarray(np.moveaxis(value, 0, -1)) if last and value.ndim > 1 else value


def operand_places(layer: LayerWriter, step: Step) -> tuple[list[str], str]:
    """Open loops over the output; the index of each operand's element, and the indent of the loops' body."""
    shapes = [
        stored_constant(layer, step, step.constants[f"i{i}"]).shape
        if slot == CONSTANT
        else layer.stored_shape(step.inputs[slot])
        for i, slot in enumerate(step.attributes["slots"])
    ]
    return broadcast_loops(layer, layer.stored_shape(step.output), shapes)


def elements(layer: LayerWriter, step: Step) -> tuple[list[str], str]:
    """C of each operand's element inside loops over the output, and the indent of the loops' body."""
    places, indent = operand_places(layer, step)
    texts = []
    for i, (slot, place) in enumerate(zip(step.attributes["slots"], places, strict=True)):
        name = f"i{i}"
        constant = slot == CONSTANT
        pointer = (
            layer.array(name, stored_constant(layer, step, step.constants[name])) if constant else f"x{slot}"
        )
        texts.append(f"{pointer}[{place}]")
    return texts, indent


def spell_real(writer: QdqWriter, step: Step, reals: Mapping[int, Array]) -> str:
    """Append the float ONNX nodes of a step's operator; reals: its constants by position. Returns the result's name."""
    from trine.edge.qdq import OPSET

    slots = step.attributes["slots"]
    names = tuple(f"i{i}" if slot == CONSTANT else step.inputs[slot] for i, slot in enumerate(slots))
    node = Node(step.attributes["op"], step.name, names, (f"{step.name}_real",), step.attributes["of"])
    stripped = replace(step, constants={f"i{i}": value for i, value in reals.items()})
    writer.spell(stripped, spelled(node, OPSET))
    return node.outputs[0]
