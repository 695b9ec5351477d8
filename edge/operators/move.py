"""Whatever moves values without computing any, in integers: Slice, Split, Expand, Tile, Pad, blocks, triangles.

The output's code at each place is the input's code at its origin, or the code of what is filled in. Scale and zero
point are the input's, but for a Pad by a value that is not zero: its output has a range of its own, and codes go
through a table (int16 through a rescaling before). One step an output: a Split is several. Gather by constant indices
and nearest Resize lower to it too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array, Node
from trine.compilers.movement import origins
from trine.compilers.onnx_writer import spelled
from trine.compilers.operators import operators
from trine.edge.c.moving import Move, move_values, stored_origins
from trine.edge.c.writer import LayerWriter
from trine.edge.int16 import rescaled
from trine.edge.lower import Lowering
from trine.edge.operators import Kernel
from trine.edge.operators.table import table_of
from trine.edge.program import QMIN, IntegerProgram, QuantizedTensor, Step
from trine.edge.qdq import OPSET, QdqWriter

MOVES = ("Slice", "Split", "Expand", "Tile", "Pad", "Trilu", "DepthToSpace", "SpaceToDepth")


def lower(lowering: Lowering, node: Node) -> Step | tuple[Step, ...]:
    if node.op == "Split":
        return tuple(lower_move(lowering, part) for part in parts_of(lowering, node))
    if node.op == "Pad" and node.attributes["value"] != 0:
        return lower_filled(lowering, node)
    return lower_move(lowering, node)


def parts_of(lowering: Lowering, node: Node) -> list[Node]:
    """The Slices that a Split is, one an output that is read."""
    shape, a = lowering.graph.shape(node.inputs[0]), node.attributes
    parts, start = [], 0
    for i, (name, size) in enumerate(zip(node.outputs, a["sizes"], strict=True)):
        kept = {
            "starts": tuple(start if axis == a["axis"] else 0 for axis in range(len(shape))),
            "steps": (1,) * len(shape),
            "counts": tuple(size if axis == a["axis"] else s for axis, s in enumerate(shape)),
        }
        if name:
            parts.append(Node("Slice", f"{node.name}_{i}", node.inputs, (name,), kept))
        start += size
    return parts


def lower_move(lowering: Lowering, node: Node) -> Step:
    """A step of any operator that moves values; its further inputs must be constants."""
    x = lowering.tensors[node.inputs[0]]
    y = lowering.like_input(node)
    constants = {f"i{i}": lowering.graph.constants[n] for i, n in enumerate(node.inputs[1:], 1)}
    attributes = {"op": node.op, "of": dict(node.attributes), "fill": x.zero_point}
    return Step("move", node.name, (x.name,), y.name, constants, attributes)


def lower_filled(lowering: Lowering, node: Node) -> Step | tuple[Step, ...]:
    """A Pad by a value: the output's own scale."""
    x, y = lowering.tensors[node.inputs[0]], lowering.add_ranged(node.outputs[0])
    fill = int(y.quantize(np.array(node.attributes["value"], np.float32)))
    attributes = {"op": node.op, "of": dict(node.attributes), "fill": fill}
    if y.dtype == "int16":
        inner = lowering.add_tensor(f"{node.name}_{x.name}", x.shape, y.scale, 0, "int16")
        filled = Step("move", node.name, (inner.name,), y.name, {}, attributes)
        return rescaled(inner.name, x, inner), filled
    table = (
        {} if (x.scale, x.zero_point) == (y.scale, y.zero_point) else {"table": table_of(lambda v: v, x, y)}
    )
    return Step("move", node.name, (x.name,), y.name, table, attributes)


def node_of(step: Step) -> Node:
    """The operator that a step stands for; its constants are named i1, i2, ... by position."""
    names = sorted(name for name in step.constants if name != "table")
    return Node(
        step.attributes["op"], step.name, (step.inputs[0], *names), (step.output,), step.attributes["of"]
    )


def origins_of(x: QuantizedTensor, step: Step) -> NDArray[np.int64]:
    """Where each code of one example's output comes from; -1 where it is filled in."""
    node = node_of(step)
    if node.op == "Pad":
        node = replace(node, attributes={**node.attributes, "value": 0.0})
    return origins(operators()[node.op].run, node, [x.shape, *(step.constants[n] for n in node.inputs[1:])])


def run(program: IntegerProgram, step: Step, inputs: Sequence[Array]) -> Array:
    places = origins_of(program.tensors[step.inputs[0]], step)
    x = inputs[0].reshape(len(inputs[0]), -1)
    if "table" in step.constants:
        x = step.constants["table"][x.astype(np.int16) - QMIN]
    moved = np.where(places < 0, np.asarray(step.attributes["fill"]).astype(x.dtype), x[:, places])
    return np.asarray(moved, x.dtype)


def qdq(writer: QdqWriter, step: Step) -> None:
    if step.attributes["of"].get("mode") == "wrap":
        writer.output(step, by_places(writer, step))  # a Pad that ONNX has from opset 19 on only
        return
    real = f"{step.output}_real"
    constants = {name: value for name, value in step.constants.items() if name != "table"}
    node = replace(node_of(step), outputs=(real,))
    writer.spell(replace(step, output=real, constants=constants), spelled(node, OPSET))
    writer.output(step, writer.value(real))


def by_places(writer: QdqWriter, step: Step) -> str:
    """A move that fills nothing in, as a Gather of places."""
    x, y = (writer.program.tensors[name] for name in (step.inputs[0], step.output))
    row = writer.node("Reshape", [writer.value(x.name), writer.shape([-1, x.size])])
    picked = writer.node("Gather", [row, writer.constant(origins_of(x, step).ravel())], axis=1)
    return writer.node("Reshape", [picked, writer.shape([-1, *y.shape])])


def write_c(layer: LayerWriter, step: Step) -> None:
    x = layer.tensor(step.inputs[0])
    places = stored_origins(origins_of(x, step), x.shape, layer.source.laid_out.last[step.output])
    layer.skipped = int(places[places >= 0].min(initial=max(places.max(initial=0), 0)))
    places = np.where(places < 0, places, places - layer.skipped)
    if not (places >= 0).any():
        layer.line("(void)x0;")
    table = layer.array("table", step.constants["table"]) if "table" in step.constants else ""
    size = np.dtype(x.dtype).itemsize
    move_values(layer, places, Move("x0", "y", layer.kind(x.name), size, str(step.attributes["fill"]), table))


KERNEL = Kernel("move", MOVES, lower, run, qdq, write_c, int16=True)
