"""Conv 1-D and 2-D in integers: dense, grouped, depthwise; per-channel weights.

sum[o] = bias[o] + sum_k (x[k] - zero_point) * w[o, k], padding counts as the zero point; then the
requantiser.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trine.compilers.graph import Array, Node
from trine.compilers.operators.conv import convolve, pad_spatial
from trine.edge.c.linear import conv_layer, conv_scratch
from trine.edge.lower import Lowering, linear_sum_bounds, quantize_linear
from trine.edge.operators import Kernel
from trine.edge.program import Int8, IntegerProgram, Step
from trine.edge.qdq import QdqWriter


def exact_float(largest: int) -> type[np.floating[Any]]:
    """The cheapest float type in which sums up to `largest` are exact, so that BLAS can do the integer
    sums."""
    return np.float32 if largest < 2**24 else np.float64


def lower_linear(
    lowering: Lowering, node: Node, kernel: str, weight: Array, attributes: dict[str, Any]
) -> Step:
    """A layer with constant weights [channels, ...] and an optional constant bias, the third input."""
    graph = lowering.graph
    x = lowering.tensors[node.inputs[0]]
    y = lowering.add_ranged(lowering.output_name(node))
    bias = graph.constants[node.inputs[2]] if len(node.inputs) > 2 else None
    q, sums, scale = quantize_linear(weight, bias, x.scale, lowering.weight_clip.get(node.inputs[1]))
    bounds = linear_sum_bounds(q, sums, x.zero_point)
    requantizer, scale = lowering.requantizer(node, x.scale, scale, y, bounds)
    largest = int(
        max(
            abs(bounds[0]).max(),
            abs(bounds[1]).max(),
            (255 * np.abs(q.astype(int))).reshape(len(q), -1).sum(1).max(),
        )
    )
    return Step(
        kernel, node.name, (x.name,), y.name,
        {"weight": q, "bias": sums.astype(np.int32), "weight_scale": scale},
        {**attributes, "largest_sum": largest},
        requantizer,
    )  # fmt: skip


def lower(lowering: Lowering, node: Node) -> Step:
    return lower_linear(
        lowering, node, "conv", lowering.graph.constants[node.inputs[1]], dict(node.attributes)
    )


def geometry(step: Step) -> Node:
    """The step's geometry as the `Graph` operator it came from, whose window arithmetic is shared."""
    return Node("Conv", step.name, step.inputs, (step.output,), step.attributes)


def run(program: IntegerProgram, step: Step, inputs: Sequence[Int8]) -> Int8:
    x, weight, bias = inputs[0], step.constants["weight"], step.constants["bias"]
    float_type = exact_float(step.attributes["largest_sum"])
    zero_point = program.tensors[step.inputs[0]].zero_point
    centred = pad_spatial(x.astype(float_type) - float_type(zero_point), step.attributes["pads"], 0.0)
    sums = convolve(centred, weight.astype(float_type), geometry(step))
    sums = sums.astype(np.int64) + bias.astype(np.int64).reshape(-1, *([1] * (weight.ndim - 2)))
    return np.asarray(step.requantizer.apply(sums))


def qdq(writer: QdqWriter, step: Step) -> None:
    x, w, b = writer.linear_inputs(step, axis=0)
    attributes = {k: list(step.attributes[k]) for k in ("strides", "dilations", "pads")}
    y = writer.node("Conv", [x, w, b], **attributes, group=step.attributes["group"])
    writer.output(step, y)


KERNEL = Kernel("conv", ("Conv",), lower, run, qdq, conv_layer, layout="last", scratch=conv_scratch)
