"""Conv 1-D and 2-D in integers: dense, grouped, depthwise; per-channel weights.

sum[o] = bias[o] + sum_k (x[k] - zero_point) * w[o, k], padding counts as the zero point; then the
requantiser. Of int16 inputs the sums have 32 bits where the weights prove that they stay inside, else 64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trine.compilers.graph import Array, Node
from trine.compilers.operators.conv import convolve, pad_spatial
from trine.edge.c.linear import conv_layer, conv_scratch
from trine.edge.lowbit import RAISED
from trine.edge.lower import Lowering
from trine.edge.operators import Kernel
from trine.edge.program import Int8, IntegerProgram, Step
from trine.edge.qdq import QdqWriter
from trine.edge.weights import LARGEST_SUM, linear_sum_bounds, quantize_linear, stored_linear, wide_sum_bound

PACKABLE = frozenset({"conv", "dense"})  # kernels whose weights may have 4 or 2 bits


def exact_float(largest: int) -> type[np.floating[Any]]:
    """The cheapest float type in which sums up to `largest` are exact, so that BLAS can do the integer
    sums."""
    return np.float32 if largest < 2**24 else np.float64


def lower_linear(
    lowering: Lowering, node: Node, kernel: str, weight: Array, attributes: dict[str, Any]
) -> Step:
    """A layer with constant weights [channels, ...] and an optional constant bias, the third input."""
    bias = lowering.graph.constants[node.inputs[2]] if len(node.inputs) > 2 else None
    return lower_channels(lowering, node, kernel, (weight, bias), node.inputs[1:3], attributes)


def lower_channels(
    lowering: Lowering,
    node: Node,
    kernel: str,
    real: tuple[Array, Array | None],
    names: Sequence[str],
    attributes: dict[str, Any],
) -> Step:
    """A layer with weights [channels, ...] and a bias [channels] or None; names: of both constants."""
    x = lowering.tensors[node.inputs[0]]
    if x.dtype == "int16":
        return lower_channels_16(lowering, node, kernel, real, names, attributes)
    y = lowering.add_ranged(lowering.output_name(node))
    stored = [lowering.graph.stored.get(name) for name in names]
    asked = kernel in PACKABLE and stored[0] is None
    bits = lowering.weight_bits.get(names[0], 8) if asked else 8
    if stored[0] is not None:
        q, sums, scale = stored_linear(stored[0], stored[1] if len(stored) > 1 else None, *real, x.scale)
    else:
        q, sums, scale = quantize_linear(*real, x.scale, lowering.weight_clip.get(names[0]), bits)
        refuse_raised(node, q, bits)
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
        {**attributes, "largest_sum": largest, **({} if bits == 8 else {"weight_bits": bits})},
        requantizer,
    )  # fmt: skip


def lower_channels_16(
    lowering: Lowering,
    node: Node,
    kernel: str,
    real: tuple[Array, Array | None],
    names: Sequence[str],
    attributes: dict[str, Any],
) -> Step:
    """As `lower_channels`, of int16 activations."""
    x, bits = lowering.tensors[node.inputs[0]], lowering.weight_bits.get(names[0], 8)
    q, bias, scale = quantize_linear(*real, x.scale, lowering.weight_clip.get(names[0]), bits)
    largest = wide_sum_bound(q, bias)
    units = float(x.scale) * scale.astype(np.float64)
    rule = lowering.requantize if kernel in PACKABLE else "exact"
    requantizer, y = lowering.requantizer_16(node, units, largest, rule)
    return Step(
        kernel, node.name, (x.name,), y.name,
        {"weight": q, "bias": bias.astype(np.int32), "weight_scale": scale},
        {**attributes, "largest_sum": largest, **({} if bits == 8 else {"weight_bits": bits})},
        requantizer,
    )  # fmt: skip


def refuse_raised(node: Node, codes: Array, bits: int) -> None:
    """Raise ValueError where the sums of low-bit weights, raised as the DSP kernels have them, could leave int32."""
    rows = np.abs(codes.astype(np.int64)).reshape(len(codes), -1)
    if bits != 8 and 128 * RAISED[bits] * int(rows.sum(1).max(initial=0)) > LARGEST_SUM:
        raise ValueError(f"{node.name}: too many weights a channel for {bits} bits; leave it at 8")


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


KERNEL = Kernel(
    "conv", ("Conv",), lower, run, qdq, conv_layer, layout="last", scratch=conv_scratch, int16=True
)
