"""C of what joins and moves whole values of any type: Concat, Reshape, Transpose, Identity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from trine.edge.c.loops import around, merged, open_loops, strides_of
from trine.edge.float32 import Write, operands
from trine.edge.program import Step

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter


def copy_layer(layer: LayerWriter, step: Step) -> None:
    layer.line(f"for (int32_t i = 0; i < {layer.tensor(step.output).size}; i++)")
    layer.line("    y[i] = x0[i];")


def concat_layer(layer: LayerWriter, step: Step) -> None:
    axis, y = step.attributes["of"]["axis"], layer.tensor(step.output)
    rows, length, apart = around(y.shape, axis)
    start = 0
    for part in operands(layer, step):
        if part is None:
            continue
        width = part.shape[axis] * apart
        layer.line(f"for (int32_t row = 0; row < {rows}; row++)")
        layer.line(f"    for (int32_t i = 0; i < {width}; i++)")
        layer.line(f"        y[row * {length * apart} + {start} + i] = {part.pointer}[row * {width} + i];")
        start += width


def transpose_layer(layer: LayerWriter, step: Step) -> None:
    shape, perm = layer.tensor(step.inputs[0]).shape, step.attributes["of"]["perm"]
    strides = strides_of(shape)
    places, indent = open_loops(layer, merged([(shape[axis], (strides[axis],)) for axis in perm]))
    layer.line(f"{indent}*y++ = x0[{(places or ['0'])[0]}];")


FLOAT32: Mapping[str, Write] = {
    "Concat": concat_layer,
    "Identity": copy_layer,
    "Reshape": copy_layer,
    "Transpose": transpose_layer,
}
