"""Gemm, and MatMul with a constant right side, in integers: every row of x times the same weights.

sum[o] = bias[o] + sum_k (x[k] - zero_point) * w[o, k]; then the requantiser, per output channel.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.graph import Node
from trine.edge.c.linear import dense_layer, dense_scratch
from trine.edge.lower import Lowering
from trine.edge.operators import Kernel
from trine.edge.operators.conv import exact_float, lower_linear
from trine.edge.operators.matmul import lower_general
from trine.edge.program import Int8, IntegerProgram, Step
from trine.edge.qdq import QdqWriter


def lower(lowering: Lowering, node: Node) -> Step:
    weight = lowering.graph.constants.get(node.inputs[1])
    if weight is None or weight.ndim != 2:
        return lower_general(lowering, node)
    if node.op == "MatMul":
        weight = weight.T
    return lower_linear(lowering, node, "dense", np.ascontiguousarray(weight), {})


def run(program: IntegerProgram, step: Step, inputs: Sequence[Int8]) -> Int8:
    x, weight = inputs[0], step.constants["weight"]
    float_type = exact_float(step.attributes["largest_sum"])
    centred = x.astype(float_type) - float_type(program.tensors[step.inputs[0]].zero_point)
    sums = np.matmul(centred, weight.T.astype(float_type)).astype(np.int64) + step.constants["bias"]
    return np.asarray(step.requantizer.apply(sums, axis=sums.ndim - 1))


def qdq(writer: QdqWriter, step: Step) -> None:
    rank = len(writer.program.tensors[step.inputs[0]].shape)
    if rank == 1:
        x, w, b = writer.linear_inputs(step, axis=0)
        writer.output(step, writer.node("Gemm", [x, w, b], transB=1))
        return
    x, w, b = writer.linear_inputs(step, axis=1, transpose=True)
    writer.output(step, writer.node("Add", [writer.node("MatMul", [x, w]), b]))


KERNEL = Kernel(
    "dense",
    ("Gemm", "MatMul"),
    lower,
    run,
    qdq,
    dense_layer,
    layout="row",
    scratch=dense_scratch,
    int16=True,
)
