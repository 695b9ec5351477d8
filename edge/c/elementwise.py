"""C of the kernels that work element by element, and of softmax."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trine.compilers.graph import Shape
from trine.edge.c.literals import c_literal
from trine.edge.program import Step
from trine.edge.requantize import Requantizer

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter

IN_FLOAT = 2  # attribute `wide` of an Add of stated scales that no integer rule fits


def table_layer(layer: LayerWriter, step: Step) -> None:
    table = layer.array("table", step.constants["table"])
    if step.constants["table"].dtype == np.int16:
        layer.need("int16")
        rest = 17 - step.constants["table"].size.bit_length()
        layer.line(f"trine_table16(x0, y, {table}, {rest}, {layer.tensor(step.output).size});")
        return
    layer.need("elementwise")
    layer.line(f"trine_table(x0, y, {table}, {layer.tensor(step.output).size});")


def rescale_layer(layer: LayerWriter, step: Step) -> None:
    """Another scale or type, value by value."""
    layer.need("int16")
    a, x, y = step.attributes, layer.tensor(step.inputs[0]), layer.tensor(step.output)
    start = (1 << (a["shift"] - 1)) + (y.zero_point << a["shift"]) + a["offset"]
    values = (start - x.zero_point * a["multiplier"], a["multiplier"], 0, a["shift"], a["low"], a["high"])
    sums = layer.structure("trine_sum16", "sum", sum16_text(*values))
    layer.line(f"for (int32_t i = 0; i < {y.size}; i++)")
    layer.line(f"    y[i] = ({layer.kind(step.output)})trine_rescale16(x0[i], &{sums});")


def sum16_text(start: int, *values: int) -> str:
    """A `trine_sum16` initialiser."""
    return f"{{INT64_C({start}), {', '.join(str(int(v)) for v in values)}}}"


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
    if layer.tensor(step.output).dtype == "int16":
        return expression_16(layer, step, a, b)
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


def expression_16(layer: LayerWriter, step: Step, a: str, b: str) -> str:
    """The C value of one element of int16."""
    p, r = step.attributes, step.requantizer
    layer.need("int16")
    if step.kernel == "add":
        values = (1 << (p["shift"] - 1), p["ma"], p["mb"], p["shift"], p["low"], p["high"])
        return (
            f"(int16_t)trine_add16({a}, {b}, &{layer.structure('trine_sum16', 'sum', sum16_text(*values))})"
        )
    return (
        f"trine_requantize16((int32_t){a} * {b}{scaled_16(r)}, {layer.channels(r, [0])}, {r.low}, {r.high})"
    )


def scaled_16(requantizer: Requantizer) -> str:
    """What a sum is multiplied by, or shifted, before it is rounded."""
    return f" * {2**requantizer.left}" if requantizer.left >= 0 else f" >> {-requantizer.left}"


def softmax_layer(layer: LayerWriter, step: Step) -> None:
    if "powers" in step.constants:
        layer.need("softmax16")
        a = step.attributes
        table = f"{layer.array('powers', step.constants['powers'])}, {a['multiplier']}, {a['shift']}"
        function = "trine_softmax16"
    else:
        layer.need("softmax")
        table = layer.array("exponentials", step.constants["exponentials"])
        function = "trine_softmax"
    softmax_lines(layer, step, function, table, "")


def stated_softmax_layer(layer: LayerWriter, step: Step) -> None:
    layer.need("softmax_stated")
    table = layer.array("exponentials", step.constants["exponentials"])
    whole, y = c_literal(np.float32(step.attributes["whole"])), layer.tensor(step.output)
    softmax_lines(layer, step, "trine_softmax_stated", table, f", {whole}, {y.zero_point}")


def softmax_lines(layer: LayerWriter, step: Step, function: str, table: str, more: str) -> None:
    """One call for each line of values along the axis."""
    shape, axis = layer.stored_shape(step.output), step.attributes["axis"]
    inner = int(np.prod(shape[axis + 1 :]))
    outer = int(np.prod(shape[:axis]))
    layer.line(f"for (int32_t o = 0; o < {outer}; o++)")
    layer.line(f"    for (int32_t i = 0; i < {inner}; i++) {{")
    layer.line(f"        int32_t at = o * {shape[axis] * inner} + i;")
    layer.line(f"        {function}(x0 + at, y + at, {table}, {shape[axis]}, {inner}{more});")
    layer.line("    }")
