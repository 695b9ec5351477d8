"""ConvTranspose 1-D and 2-D in integers: dense and grouped, per-channel weights.

sum[o] = bias[o] + sum_k (x[j] - zero_point) * w[o, k] over the taps k that meet an input j; then the requantiser, as
for Conv. In C the outputs at equal distance modulo the stride are a plain convolution of their own (`phases`), so
nothing is scattered and no product with a zero is made. onnxruntime has no integer kernel for it: it sums in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from trine.compilers.graph import Node
from trine.compilers.operators.convtranspose import as_conv_weight, gather_sums
from trine.edge.c.transposed import conv_transpose_layer, conv_transpose_scratch
from trine.edge.lower import Lowering
from trine.edge.operators import Kernel
from trine.edge.operators.conv import exact_float, lower_linear
from trine.edge.program import Int8, IntegerProgram, Step
from trine.edge.qdq import QdqWriter


def lower(lowering: Lowering, node: Node) -> Step:
    weight = as_conv_weight(lowering.graph.constants[node.inputs[1]], node.attributes["group"])
    # The weight is another than the graph's, whose axes lie differently: it has no name that others could mean.
    unnamed = replace(node, inputs=(node.inputs[0], "", *node.inputs[2:]))
    return lower_linear(lowering, unnamed, "conv_transpose", weight, dict(node.attributes))


def run(program: IntegerProgram, step: Step, inputs: Sequence[Int8]) -> Int8:
    x, weight, bias = inputs[0], step.constants["weight"], step.constants["bias"]
    float_type = exact_float(step.attributes["largest_sum"])
    centred = x.astype(float_type) - float_type(program.tensors[step.inputs[0]].zero_point)
    node = Node("ConvTranspose", step.name, step.inputs, (step.output,), step.attributes)
    sums = gather_sums(centred, weight.astype(float_type), node).astype(np.int64)
    sums = sums + bias.astype(np.int64).reshape(-1, *([1] * (weight.ndim - 2)))
    return np.asarray(step.requantizer.apply(sums))


def qdq(writer: QdqWriter, step: Step) -> None:
    """The weight is stored as Conv has it, one scale an output channel, and turned before it is used."""
    x, w, b = writer.linear_inputs(step, axis=0)
    a, weight = step.attributes, step.constants["weight"]
    group, (outputs, inputs), kernel = a["group"], weight.shape[:2], weight.shape[2:]
    rank = len(kernel)
    apart = writer.node("Reshape", [w, writer.shape([group, outputs // group, inputs, *kernel])])
    turned = writer.node("Transpose", [apart], perm=[0, 2, 1, *range(3, 3 + rank)])
    together = writer.node("Reshape", [turned, writer.shape([group * inputs, outputs // group, *kernel])])
    lists = {name: list(a[name]) for name in ("strides", "dilations", "pads", "output_padding")}
    writer.output(step, writer.node("ConvTranspose", [x, together, b], **lists, group=group))


KERNEL = Kernel(
    "conv_transpose", ("ConvTranspose",), lower, run, qdq, conv_transpose_layer, layout="last",
    scratch=conv_transpose_scratch, int16=True,
)  # fmt: skip
