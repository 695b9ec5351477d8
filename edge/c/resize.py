"""C of the weighted sums of Resize."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trine.edge.program import Step

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter


def resize_layer(layer: LayerWriter, step: Step) -> None:
    """Loops over the output as it lies and over the taps of every axis with weights; sums of 32 bits if they fit."""
    laid_out, x = layer.source.laid_out, layer.tensor(step.inputs[0])
    rank, bits = len(x.shape), step.attributes["bits"]
    order = (*range(1, rank), 0) if laid_out.last[step.output] else tuple(range(rank))
    stored, target = ([layer.tensor(n).shape[axis] for axis in order] for n in (x.name, step.output))
    strides = [int(np.prod(stored[k + 1 :])) for k in range(rank)]
    at, weights, taps = [], [], []
    for k, axis in enumerate(order):
        if f"weights{axis}" not in step.constants:
            at.append(f"i{k} * {strides[k]}")
            continue
        indices, values = step.constants[f"indices{axis}"], step.constants[f"weights{axis}"]
        count = indices.shape[1]
        places = layer.array(f"places{axis}", (indices * strides[k]).astype(np.int32))
        factors = layer.array(f"weights{axis}", values)
        at.append(f"{places}[i{k} * {count} + k{k}]")
        weights.append(f"{factors}[i{k} * {count} + k{k}]")
        taps.append((f"k{k}", count))
    largest = int(
        np.prod([np.abs(v).sum(axis=1).max() for n, v in step.constants.items() if n[0] == "w"])
    ) * (x.limits[1] - x.limits[0])
    kind = "int32_t" if largest + 2**bits < 2**31 else "int64_t"
    for k, size in enumerate(target):
        layer.line(f"{'    ' * k}for (int32_t i{k} = 0; i{k} < {size}; i{k}++)")
    indent = "    " * rank
    layer.line(f"{indent}{{")
    layer.line(f"{indent}    {kind} sum = 0;")
    for depth, (name, count) in enumerate(taps):
        layer.line(f"{indent}    {'    ' * depth}for (int32_t {name} = 0; {name} < {count}; {name}++)")
    product = " * ".join(
        [f"({kind}){weights[0]}", *weights[1:], f"(x0[{' + '.join(at)}] - ({x.zero_point}))"]
    )
    layer.line(f"{indent}    {'    ' * len(taps)}sum += {product};")
    if bits:
        layer.line(f"{indent}    sum = (sum + {(1 << bits) // 2 - 1} + ((sum >> {bits}) & 1)) >> {bits};")
    low, high = x.limits
    place = f"(int32_t)sum + ({x.zero_point})"
    layer.line(f"{indent}    *y++ = ({layer.kind(step.output)})trine_clamp({place}, {low}, {high});")
    layer.line(f"{indent}}}")
