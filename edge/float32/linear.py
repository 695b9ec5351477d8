"""C of convolutions, matrix products and pools in float32 (pools in any type)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    """MaxPool or AveragePool over any axes: cells inside; a mean counts those of the padding too where asked."""
    layer.need("float_linear")
    of, x = step.attributes["of"], layer.tensor(step.inputs[0])
    mean, kind, write = step.attributes["op"] == "AveragePool", C_TYPES[x.dtype], layer.line
    inside, outside = x.shape[1:], layer.tensor(step.output).shape[1:]
    rank, strides = len(inside), strides_of(inside)
    write(f"for (int32_t c = 0; c < {x.shape[0]}; c++, x0 += {int(np.prod(inside))})")
    indent = "    "
    for k, size in enumerate(outside):
        write(f"{indent}for (int32_t o{k} = 0; o{k} < {size}; o{k}++)")
        indent += "    "
    write(f"{indent}{{")
    write(f"{indent}    {kind} best = {'0.0f' if mean else ends(x.dtype)[0]};")
    body, at = indent + "    ", []
    for k in range(rank):
        write(f"{body}int32_t i{k} = o{k} * {of['strides'][k]} - {of['pads'][k]}, first{k}, last{k};")
        at.append(f"(i{k} + k{k} * {of['dilations'][k]}) * {strides[k]}")
    write_spans(layer, step, body, [f"i{k}" for k in range(rank)], inside)
    for k in range(rank):
        write(f"{body}for (int32_t k{k} = first{k}; k{k} < last{k}; k{k}++)")
        body += "    "
    value = f"x0[{' + '.join(at)}]"
    write(f"{body}best {f'+= {value}' if mean else f'= {value} > best ? {value} : best'};")
    if mean and of["count_include_pad"]:
        # Cells count from the first of the begin pads to the last of the end pads that the file states.
        sizes = [
            size + of["pads"][k] + of["pads"][rank + k] - of["uncounted"][k] for k, size in enumerate(inside)
        ]
        write_spans(layer, step, indent + "    ", [f"i{k} + {of['pads'][k]}" for k in range(rank)], sizes)
    count = " * ".join(f"(last{k} - first{k})" for k in range(rank))
    write(f"{indent}    *y++ = best{f' / (float)({count})' if mean else ''};")
    write(f"{indent}}}")


def write_spans(
    layer: LayerWriter, step: Step, indent: str, starts: Sequence[str], sizes: Sequence[int]
) -> None:
    """The taps of a window that lie inside each axis, as first and last."""
    of = step.attributes["of"]
    for k, (start, size) in enumerate(zip(starts, sizes, strict=True)):
        layer.line(
            f"{indent}trine_span({start}, {of['dilations'][k]}, {of['kernel_shape'][k]}, {size}, &first{k}, &last{k});"
        )


FLOAT32: Mapping[str, Write] = {
    "AveragePool": pool_layer,
    "Conv": conv_layer,
    "Gemm": gemm_layer,
    "MatMul": matmul_layer,
    "MaxPool": pool_layer,
}
