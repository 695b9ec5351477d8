"""C of the operators that move values of any type: slices, repeats, pads, blocks, gathers, scatters; and Resize."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from trine.compilers.graph import Array
from trine.compilers.movement import origins
from trine.compilers.operators import operators
from trine.compilers.resizing import axis_of
from trine.edge.c.indexed import (
    Place,
    gather_elements_lines,
    gather_lines,
    gather_nd_lines,
    scatter_elements_lines,
    scatter_nd_lines,
)
from trine.edge.c.literals import c_literal
from trine.edge.c.loops import open_loops, strides_of
from trine.edge.c.moving import Move, move_values
from trine.edge.float32 import Operand, Write, node_of, operands
from trine.edge.program import Step

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter


def arguments(layer: LayerWriter, step: Step) -> list[Operand]:
    """The step's arguments; none of these operators leaves one out between others."""
    return [operand for operand in operands(layer, step) if operand is not None]


def move_of(layer: LayerWriter, step: Step, fill: Array, target: str = "y") -> Move:
    """A move from the first input to an output."""
    tensor = layer.tensor(step.inputs[0])
    return Move("x0", target, layer.kind(tensor.name), np.dtype(tensor.dtype).itemsize, c_literal(fill))


def move_layer(layer: LayerWriter, step: Step) -> None:
    """An operator whose further inputs are constants and that computes nothing."""
    node, x = node_of(step), layer.tensor(step.inputs[0])
    value = np.asarray(node.attributes.get("value", 0)).astype(x.dtype)
    if node.op == "Pad":
        node = replace(node, attributes={**node.attributes, "value": 0.0})
    places = origins(operators()[node.op].run, node, [x.shape, *step.constants.values()])
    move_values(layer, places, move_of(layer, step, value))


def split_layer(layer: LayerWriter, step: Step) -> None:
    x, of, start = layer.tensor(step.inputs[0]), step.attributes["of"], 0
    places = np.arange(x.size, dtype=np.int64).reshape(x.shape)
    for i, size in enumerate(of["sizes"]):
        part = np.take(places, np.arange(start, start + size), of["axis"])
        move_values(layer, part, move_of(layer, step, np.zeros((), x.dtype), f"y{i or ''}"), f"places{i}_")
        start += size


def places_of(step: Step, values: list[Operand]) -> list[Place]:
    """Pointers and shapes."""
    return [Place(value.pointer, value.shape) for value in values]


def gather_layer(layer: LayerWriter, step: Step) -> None:
    values, of = arguments(layer, step), step.attributes["of"]
    size = np.dtype(values[0].dtype).itemsize
    data, indices = places_of(step, values)
    if step.attributes["op"] == "Gather":
        gather_lines(layer, data, indices, of["axis"], size)
    elif step.attributes["op"] == "GatherElements":
        gather_elements_lines(layer, data, indices, of["axis"])
    else:
        gather_nd_lines(layer, data, indices, of["batch_dims"], size)


def scatter_layer(layer: LayerWriter, step: Step) -> None:
    values, of, y = arguments(layer, step), step.attributes["of"], layer.tensor(step.output)
    data, indices, updates = places_of(step, values)
    layer.need("copy")
    layer.line(f"trine_copy((int8_t *)y, (const int8_t *){data.pointer}, {y.bytes});")
    value = f"{updates.pointer}[j]"
    if step.attributes["op"] == "ScatterElements":
        scatter_elements_lines(layer, y.shape, indices, value, of["axis"], of["reduction"])
    else:
        scatter_nd_lines(layer, y.shape, indices, value, of["reduction"])


def resize_layer(layer: LayerWriter, step: Step) -> None:
    """Nearest: a move. Else loops over the output, and over the taps of every axis that has weights."""
    node, x, y = node_of(step), layer.tensor(step.inputs[0]), layer.tensor(step.output)
    axes = [axis_of(node, i, size) for i, size in enumerate(x.shape)]
    if all(axis.plain and not axis.outside.any() for axis in axes):
        move_layer(layer, step)
        return
    strides = strides_of(x.shape)
    factors, at, taps, outside = [], [], [], []
    for k, axis in enumerate(axes):
        if axis.plain and np.array_equal(axis.indices[:, 0], np.arange(x.shape[k])):
            at.append(f"i{k} * {strides[k]}")
            continue
        count = axis.indices.shape[1]
        places = layer.array(f"places{k}", (axis.indices * strides[k]).astype(np.int32))
        weights = layer.array(f"weights{k}", axis.weights.astype(x.dtype))
        at.append(f"{places}[i{k} * {count} + k{k}]")
        factors.append(f"{weights}[i{k} * {count} + k{k}]")
        taps.append((f"k{k}", count))
        if axis.outside.any():
            outside.append(f"{layer.array(f'outside{k}', axis.outside)}[i{k}]")
    _, indent = open_loops(layer, [(size, (0,)) for size in y.shape])
    layer.line(f"{indent}{{")
    layer.line(f"{indent}    {layer.kind(x.name)} sum = 0;")
    for depth, (name, count) in enumerate(taps):
        layer.line(f"{indent}    {'    ' * depth}for (int32_t {name} = 0; {name} < {count}; {name}++)")
    layer.line(
        f"{indent}    {'    ' * len(taps)}sum += {' * '.join([*factors, 'x0[' + ' + '.join(at) + ']'])};"
    )
    fill = c_literal(np.asarray(node.attributes["extrapolation_value"]).astype(x.dtype))
    value = f"{' || '.join(outside)} ? {fill} : sum" if outside else "sum"
    layer.line(f"{indent}    *y++ = {value};")
    layer.line(f"{indent}}}")


FLOAT32: Mapping[str, Write] = {
    **dict.fromkeys(("Slice", "Expand", "Tile", "Pad", "Trilu", "DepthToSpace", "SpaceToDepth"), move_layer),
    **dict.fromkeys(("Gather", "GatherElements", "GatherND"), gather_layer),
    **dict.fromkeys(("ScatterElements", "ScatterND"), scatter_layer),
    "Resize": resize_layer,
    "Split": split_layer,
}
