"""C of the kernels that work element by element, and of softmax."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trine.compilers.graph import Shape
from trine.edge.c.literals import c_literal
from trine.edge.program import Step

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter

IN_FLOAT = 2  # attribute `wide` of an Add of stated scales that no integer rule fits


def table_layer(layer: LayerWriter, step: Step) -> None:
    layer.need("elementwise")
    table = layer.array("table", step.constants["table"])
    layer.line(f"trine_table(x0, y, {table}, {layer.tensor(step.output).size});")


def broadcast_strides(shape: Shape, target: Shape) -> list[int]:
    """Element strides of a stored shape read as `target`; 0 along axes it is repeated on."""
    full = (1,) * (len(target) - len(shape)) + tuple(shape)
    strides = [int(np.prod(full[i + 1 :])) for i in range(len(full))]
    return [stride if size > 1 else 0 for stride, size in zip(strides, full, strict=True)]


def binary_layer(layer: LayerWriter, step: Step) -> None:
    """Add or Mul over the stored shapes, whichever axes are repeated."""
    target = layer.stored_shape(step.output)
    operands = [f"x{i}" for i in range(len(step.inputs))]
    strides = [broadcast_strides(layer.stored_shape(name), target) for name in step.inputs]
    place = step.attributes["constant"]
    if place is not None:
        constant = step.constants["constant"]
        if layer.source.laid_out.last[step.output] and constant.ndim > 1:
            constant = np.ascontiguousarray(np.moveaxis(constant, 0, -1))
        operands.insert(place, layer.array("constant", constant))
        strides.insert(place, broadcast_strides(target, target))
    indices = merged_axes(layer, target, strides)
    at = [
        " + ".join(f"{i} * {s[k]}" for k, i in enumerate(indices) if s[k]) or "0"
        for s in layer_strides(target, strides)
    ]
    value = expression(layer, step, f"{operands[0]}[{at[0]}]", f"{operands[1]}[{at[1]}]")
    layer.line(f"{'    ' * len(indices)}*y++ = {value};")


def layer_strides(target: Shape, strides: list[list[int]]) -> list[list[int]]:
    """Strides of the loops `merged_axes` wrote."""
    if all(s == broadcast_strides(target, target) for s in strides):
        return [[1] for _ in strides]
    return strides


def merged_axes(layer: LayerWriter, target: Shape, strides: list[list[int]]) -> list[str]:
    """Open one loop where nothing is repeated, else one an axis; returns the index names."""
    if all(s == broadcast_strides(target, target) for s in strides):
        layer.line(f"for (int32_t i = 0; i < {int(np.prod(target))}; i++)")
        return ["i"]
    for k, size in enumerate(target):
        layer.line(f"{'    ' * k}for (int32_t i{k} = 0; i{k} < {size}; i{k}++)")
    return [f"i{k}" for k in range(len(target))]


def expression(layer: LayerWriter, step: Step, a: str, b: str) -> str:
    """The C value of one element."""
    p, zero_y = step.attributes, layer.tensor(step.output).zero_point
    if step.kernel == "add" and p["wide"] == IN_FLOAT:
        scales = [c_literal(np.float32(s)) for s in (p["a"][0], p["b"][0], layer.tensor(step.output).scale)]
        real = f"(float)({a} - ({p['a'][1]})) * {scales[0]} + (float)({b} - ({p['b'][1]})) * {scales[1]}"
        return f"(int8_t)trine_clamp(trine_nearest(({real}) / {scales[2]}) + ({zero_y}), {p['low']}, {p['high']})"
    if step.kernel == "add":
        layer.need("elementwise")
        start = (1 << (p["shift"] - 1)) + (zero_y << p["shift"]) - p["a"][1] * p["ma"] - p["b"][1] * p["mb"]
        kind, text = ("wide_sum", f"INT64_C({start})") if p["wide"] else ("sum", f"{start % 2**32}u")
        values = ", ".join(str(int(v)) for v in (p["ma"], p["mb"], p["shift"], p["low"], p["high"]))
        sums = layer.structure(f"trine_{kind}", "sum", f"{{{text}, {values}}}")
        return f"trine_{'add_wide' if p['wide'] else 'add'}({a}, {b}, &{sums})"
    r = step.requantizer
    channel = layer.channels(r, [0])
    product = f"(int32_t)({a} - ({p['a'][1]})) * ({b} - ({p['b'][1]}))"
    return f"trine_requantize({product} * {2**r.left}, {channel}, {r.low}, {r.high})"


def softmax_layer(layer: LayerWriter, step: Step) -> None:
    layer.need("softmax")
    shape, axis = layer.stored_shape(step.output), step.attributes["axis"]
    table = layer.array("exponentials", step.constants["exponentials"])
    inner = int(np.prod(shape[axis + 1 :]))
    outer = int(np.prod(shape[:axis]))
    layer.line(f"for (int32_t o = 0; o < {outer}; o++)")
    layer.line(f"    for (int32_t i = 0; i < {inner}; i++) {{")
    layer.line(f"        int32_t at = o * {shape[axis] * inner} + i;")
    layer.line(f"        trine_softmax(x0 + at, y + at, {table}, {shape[axis]}, {inner});")
    layer.line("    }")
