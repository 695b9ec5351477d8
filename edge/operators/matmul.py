"""MatMul of two activations in integers: sum = sum_k (a[i, k] - za) * (b[k, j] - zb), one requantiser for all.

Reached through the dense kernel's `lower`, which tells a constant right side from a computed one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.graph import Node
from trine.edge.c.linear import matmul_layer
from trine.edge.lower import Lowering
from trine.edge.operators import Kernel
from trine.edge.program import Int8, IntegerProgram, QuantizedTensor, Step
from trine.edge.qdq import QdqWriter
from trine.edge.requantize import Requantizer, equal_on_range, make_requantizer


def lower_dynamic(lowering: Lowering, node: Node) -> Step:
    """A step for two int8 operands [..., m, k] and [..., k, n]."""
    a, b = (lowering.tensors[name] for name in node.inputs[:2])
    reach = [max(127 - t.zero_point, t.zero_point + 128) for t in (a, b)]
    limit = np.array([a.shape[-1] * reach[0] * reach[1]], np.int64)

    def make(output: QuantizedTensor, margin: float) -> Requantizer | None:
        ratio = np.array([np.float32(a.scale * b.scale) / output.scale], np.float32)
        made = make_requantizer(ratio, -limit, limit, output.zero_point, lowering.bounds(node, output))
        return made if equal_on_range(made, -limit, limit).all() else None

    requantizer, y = lowering.nudge_output(node, make)
    return Step("matmul", node.name, (a.name, b.name), y.name, {}, {}, requantizer)


def run(program: IntegerProgram, step: Step, inputs: Sequence[Int8]) -> Int8:
    a, b = (q.astype(np.float64) - program.tensors[name].zero_point for q, name in zip(inputs, step.inputs, strict=True))
    return step.requantizer.apply(np.matmul(a, b).astype(np.int64), axis=0)


def qdq(writer: QdqWriter, step: Step) -> None:
    a, b = (writer.value(name) for name in step.inputs)
    writer.output(step, writer.node("MatMul", [a, b]))


KERNEL = Kernel("matmul", (), lower_dynamic, run, qdq, matmul_layer, layout="row")
