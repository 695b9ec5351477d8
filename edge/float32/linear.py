"""C of convolutions, matrix products and pools in float32 (pools in any type)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from trine.compilers.graph import Shape
from trine.edge.c.linear import image
from trine.edge.c.loops import merged, open_loops, strides_of
from trine.edge.c.writer import C_TYPES
from trine.edge.float32 import Write, operands
from trine.edge.float32.reduce import ends
from trine.edge.program import Step

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter


def conv_layer(layer: LayerWriter, step: Step) -> None:
    layer.need("float_linear")
    of, y = step.attributes["of"], layer.tensor(step.output)
    x, weight, *bias = (value for value in operands(layer, step) if value is not None)
    rank = len(weight.shape) - 2
    values = (
        *image(x.shape[1:], 1), weight.shape[1], *image(weight.shape[2:], 1), *image(of["strides"], 1),
        *image(of["dilations"], 1), *image(of["pads"][:rank], 0), *image(y.shape[1:], 1), y.shape[0],
        y.shape[0] // of["group"],
    )  # fmt: skip
    shape = layer.structure("trine_float_conv", "shape", "{" + ", ".join(map(str, values)) + "}")
    offsets = bias[0].pointer if bias else "0"
    layer.line(f"trine_conv_float({x.pointer}, y, {weight.pointer}, {offsets}, &{shape});")


def gemm_layer(layer: LayerWriter, step: Step) -> None:
    x, weight, *bias = (value for value in operands(layer, step) if value is not None)
    outputs, length = weight.shape
    layer.line(f"for (int32_t o = 0; o < {outputs}; o++) {{")
    layer.line(f"    float sum = {f'{bias[0].pointer}[o]' if bias else '0.0f'};")
    layer.line(f"    for (int32_t k = 0; k < {length}; k++)")
    layer.line(f"        sum += {weight.pointer}[o * {length} + k] * {x.pointer}[k];")
    layer.line("    y[o] = sum;")
    layer.line("}")


def stack_strides(matrix: Shape, stack: Shape) -> tuple[int, ...]:
    """Elements from one matrix of an operand to the next along each axis of the stack; 0 where it is repeated."""
    full = (1,) * (len(stack) - len(matrix) + 2) + tuple(matrix)
    return tuple(s if size > 1 else 0 for s, size in zip(strides_of(full), full[:-2], strict=False))


def matmul_layer(layer: LayerWriter, step: Step) -> None:
    """Stacks of matrices; a vector is a matrix of one row on the left, of one column on the right."""
    layer.need("float_linear")
    left, right = (value for value in operands(layer, step) if value is not None)
    a = left.shape if len(left.shape) > 1 else (1, *left.shape)
    b = right.shape if len(right.shape) > 1 else (*right.shape, 1)
    (m, k), n = a[-2:], b[-1]
    stack = tuple(np.broadcast_shapes(a[:-2], b[:-2]))
    steps = zip(stack, zip(stack_strides(a, stack), stack_strides(b, stack), strict=True), strict=True)
    axes = merged(list(steps))
    places, indent = open_loops(layer, axes, "g")
    at, by = places or ["0", "0"]
    target = "y"
    if axes:
        layer.line(f"{indent}{{")
        indent += "    "
    layer.line(f"{indent}trine_matmul_float({left.pointer} + {at}, {right.pointer} + {by}, {target}, "
               f"{m}, {n}, {k}, 1, {n});")  # fmt: skip
    if axes:
        layer.line(f"{indent}y += {m * n};")
        layer.line(f"{indent[4:]}}}")


def pool_layer(layer: LayerWriter, step: Step) -> None:
    """MaxPool or AveragePool: cells inside the image; a mean counts cells of the padding too where asked."""
    layer.need("float_linear")
    of, x = step.attributes["of"], layer.tensor(step.inputs[0])
    y, mean = layer.tensor(step.output), step.attributes["op"] == "AveragePool"
    rank = len(of["kernel_shape"])
    (in_h, in_w), (out_h, out_w) = image(x.shape[1:], 1), image(y.shape[1:], 1)
    (taps_h, taps_w), (step_h, step_w) = image(of["kernel_shape"], 1), image(of["strides"], 1)
    (far_h, far_w), (top, left) = image(of["dilations"], 1), image(of["pads"][:rank], 0)
    kind = C_TYPES[x.dtype]
    write = layer.line
    write(f"for (int32_t c = 0; c < {x.shape[0]}; c++, x0 += {in_h * in_w})")
    write(f"    for (int32_t oy = 0; oy < {out_h}; oy++)")
    write(f"        for (int32_t ox = 0; ox < {out_w}; ox++) {{")
    write(
        f"            int32_t iy = oy * {step_h} - {top}, ix = ox * {step_w} - {left}, first, last, begin, end;"
    )
    write(f"            {kind} best = {'0.0f' if mean else ends(x.dtype)[0]};")
    write(f"            trine_span(iy, {far_h}, {taps_h}, {in_h}, &first, &last);")
    write(f"            trine_span(ix, {far_w}, {taps_w}, {in_w}, &begin, &end);")
    write("            for (int32_t ky = first; ky < last; ky++)")
    write("                for (int32_t kx = begin; kx < end; kx++) {")
    write(f"                    {kind} v = x0[(iy + ky * {far_h}) * {in_w} + ix + kx * {far_w}];")
    write(f"                    best = {'best + v' if mean else 'v > best ? v : best'};")
    write("                }")
    if mean:
        write_count(layer, step, (in_h, in_w))
    write(f"            *y++ = best{' / (float)count' if mean else ''};")
    write("        }")


def write_count(layer: LayerWriter, step: Step, inside: tuple[int, int]) -> None:
    """How many cells a mean counts."""
    of, write = step.attributes["of"], layer.line
    if not of["count_include_pad"]:
        write("            int32_t count = (last - first) * (end - begin);")
        return
    rank = len(of["kernel_shape"])
    begins, ends_, extra = image(of["pads"][:rank], 0), image(of["pads"][rank:], 0), image(of["uncounted"], 0)
    sizes = [s + b + e - u for s, b, e, u in zip(inside, begins, ends_, extra, strict=True)]
    write("            int32_t count;")
    for axis, (start, begin, size, first, last) in enumerate(
        (("iy", begins[0], sizes[0], "first", "last"), ("ix", begins[1], sizes[1], "begin", "end"))
    ):
        taps, far = image(of["kernel_shape"], 1)[axis], image(of["dilations"], 1)[axis]
        write(f"            trine_span({start} + {begin}, {far}, {taps}, {size}, &{first}, &{last});")
    write("            count = (last - first) * (end - begin);")


FLOAT32: Mapping[str, Write] = {
    "AveragePool": pool_layer,
    "Conv": conv_layer,
    "Gemm": gemm_layer,
    "MatMul": matmul_layer,
    "MaxPool": pool_layer,
}
