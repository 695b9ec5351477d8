"""Softmax along one axis in integers; output scale 1/256, zero point -128 (as TensorFlow Lite fixes them).

e[d] = round(exp(-d * scale) * 2^bits) for d = max - x in 0..255; q = (e[x] * 256 + sum / 2) / sum - 128,
saturated.
bits leaves room for the sum in 32 bits; up to 256 values the result is the correctly rounded softmax but
for ties within 2e-5 of an output step. onnxruntime computes it in float32: at most one step apart (its
quantised form has a table of its own).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Node
from trine.edge.c.elementwise import softmax_layer
from trine.edge.fusing import FORCED
from trine.edge.lower import Lowering
from trine.edge.operators import Kernel
from trine.edge.program import Int8, IntegerProgram, Step
from trine.edge.qdq import QdqWriter


def exponentials(scale: np.float32, length: int) -> NDArray[np.uint32]:
    """exp(-d * scale) for d in 0..255 in fixed point: the sum of `length` of them stays in 32 bits, times
    256 too."""
    bits = min(23, 31 - int(np.ceil(np.log2(max(length, 2)))))
    return np.asarray(np.rint(np.exp(-np.arange(256) * float(scale)) * 2.0**bits), np.uint32)


def lower(lowering: Lowering, node: Node) -> Step:
    x, name = lowering.tensors[node.inputs[0]], node.outputs[0]
    y = lowering.add_tensor(name, lowering.graph.tensors[name].shape, *FORCED["Softmax"])
    axis = node.attributes["axis"]
    table = exponentials(x.scale, x.shape[axis])
    return Step("softmax", node.name, (x.name,), y.name, {"exponentials": table}, {"axis": axis})


def run(program: IntegerProgram, step: Step, inputs: Sequence[Int8]) -> Int8:
    axis = step.attributes["axis"] + 1
    x = inputs[0].astype(np.int64)
    e = step.constants["exponentials"].astype(np.int64)[x.max(axis=axis, keepdims=True) - x]
    total = e.sum(axis=axis, keepdims=True)
    return np.asarray(np.minimum((e * 256 + total // 2) // total - 128, 127), np.int8)


def qdq(writer: QdqWriter, step: Step) -> None:
    x, axis = writer.value(step.inputs[0]), step.attributes["axis"]
    if writer.program.tensors[step.output].shape[axis] == 1:
        # Always 1. onnxruntime 1.31 makes 0 of it once it has fused a uint8 Softmax of one value.
        writer.output(step, writer.clip(x, 1.0, 1.0))
        return
    writer.output(step, writer.node("Softmax", [x], axis=axis + 1))


KERNEL = Kernel("softmax", ("Softmax",), lower, run, qdq, softmax_layer, layout="row", in_place=True, apart=1)
