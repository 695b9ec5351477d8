"""ExpertGemm in integers: the dense kernel on the weights of the chosen experts, and on no others.

sum[c, o] = bias[index[c], o] + sum_k (x[c, k] - zero_point) * w[index[c], o, k]; then the requantiser of that expert's
channel. Every expert has scales of its own; constants are stored with experts and channels on one axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from trine.compilers.graph import Array, Node
from trine.compilers.movement import clipped
from trine.compilers.operators.expertgemm import spell
from trine.edge.c.linear import expert_layer, expert_scratch
from trine.edge.lower import Lowering
from trine.edge.operators import Kernel
from trine.edge.operators.conv import lower_channels
from trine.edge.program import IntegerProgram, Step
from trine.edge.qdq import FLOAT_OPSET, QdqWriter


def lower(lowering: Lowering, node: Node) -> Step:
    weight = lowering.graph.constants[node.inputs[2]]
    bias = lowering.graph.constants[node.inputs[3]].reshape(-1) if len(node.inputs) > 3 else None
    experts, _, inputs = weight.shape
    attributes = {"group": experts, "shared": node.attributes["shared"]}
    real = (weight.reshape(-1, inputs), bias)
    step = lower_channels(lowering, node, "experts", real, node.inputs[2:4], attributes)
    return replace(step, inputs=node.inputs[:2])


def run(program: IntegerProgram, step: Step, inputs: Sequence[Array]) -> Array:
    x, experts = (
        inputs[0].astype(np.int64) - program.tensors[step.inputs[0]].zero_point,
        step.attributes["group"],
    )
    index = clipped(inputs[1], experts)
    weight = step.constants["weight"].astype(np.int64).reshape(experts, -1, x.shape[-1])
    outputs = weight.shape[1]
    x = x[:, None, :] if step.attributes["shared"] else x
    sums = np.matmul(weight[index], np.broadcast_to(x, (*index.shape, x.shape[-1]))[..., None])[..., 0]
    sums += step.constants["bias"].astype(np.int64).reshape(experts, outputs)[index]
    channels = (index[..., None] * outputs + np.arange(outputs)).ravel()
    return np.asarray(step.requantizer.part(channels).apply(sums.reshape(1, -1), axis=1)).reshape(sums.shape)


def qdq(writer: QdqWriter, step: Step) -> None:
    experts, a = step.attributes["group"], step.constants
    shape = (experts, -1, a["weight"].shape[1])
    real = a["weight"].astype(np.float32) * a["weight_scale"][:, None]
    units = (writer.program.tensors[step.inputs[0]].scale * a["weight_scale"]).astype(np.float32)
    bias = (a["bias"].astype(np.float32) * units).reshape(experts, -1)
    names = [writer.constant(real.reshape(shape)), writer.constant(bias)]
    node = Node(
        "ExpertGemm",
        step.name,
        (*step.inputs, *names),
        (f"{step.name}_real",),
        {"shared": step.attributes["shared"]},
    )
    writer.spell(step, spell(node, FLOAT_OPSET))
    writer.output(step, f"{step.name}_real")


KERNEL = Kernel(
    "experts", ("ExpertGemm",), lower, run, qdq, expert_layer, layout="row", scratch=expert_scratch
)
