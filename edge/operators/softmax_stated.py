"""Softmax of a network that arrives quantised: onnxruntime's QLinearSoftmax, bit for bit.

Its rule is in float32: e[d] = float32(exp(b - d scale)) for d = max - x in 0..255, their sum from left to right, then
q = nearest(e F / sum) + zero point, half to even, saturated. F is floor(1 / output scale): with a scale of 1/255, which
float32 holds as a little more, that is 254, so onnxruntime's quantised Softmax lies up to one step below ONNX's own
definition (Dequantize, Softmax, Quantize), which it computes where it does not fuse. b = log(greatest float32 / length)
- 5, at least 0 (onnxruntime, contrib_ops/cpu/quantization/qlinear_softmax.cc; equal on 8 million values of version
1.31). Of a single value, where onnxruntime leaves float32, b is that of two.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Node
from trine.edge.c.elementwise import stated_softmax_layer
from trine.edge.lower import Lowering
from trine.edge.operators import Kernel
from trine.edge.program import QMAX, QMIN, Int8, IntegerProgram, Step
from trine.edge.qdq import QdqWriter

RESERVED = 5.0  # in natural logarithms, between the greatest sum and the end of float32
SATURATED = np.float32(1000)


def exponentials(scale: np.float32, length: int) -> NDArray[np.float32]:
    """e[d] for distances 0..255."""
    room = np.log(np.float32(np.finfo(np.float32).max / np.float32(max(length, 2))))
    exact = np.exp(max(0.0, float(room) - RESERVED) - np.arange(256) * float(scale))
    return np.asarray(exact, np.float32)


def lower_stated(lowering: Lowering, node: Node) -> Step:
    x, y = lowering.tensors[node.inputs[0]], lowering.add_ranged(node.outputs[0])
    axis = node.attributes["axis"]
    table = exponentials(x.scale, x.shape[axis])
    whole = int(np.floor(np.float32(1) / y.scale))
    return Step(
        "softmax_stated",
        node.name,
        (x.name,),
        y.name,
        {"exponentials": table},
        {"axis": axis, "whole": whole},
    )


def run(program: IntegerProgram, step: Step, inputs: Sequence[Int8]) -> Int8:
    axis = step.attributes["axis"] + 1
    x = inputs[0].astype(np.int64)
    e = np.moveaxis(step.constants["exponentials"][x.max(axis=axis, keepdims=True) - x], axis, -1)
    total = np.add.accumulate(e, axis=-1, dtype=np.float32)[..., -1:]  # one after the other, as C has it
    with np.errstate(over="ignore"):
        real = np.minimum(e * np.float32(step.attributes["whole"]) / total, SATURATED)
    q = np.rint(real).astype(np.int64) + program.tensors[step.output].zero_point
    return np.ascontiguousarray(np.moveaxis(np.clip(q, QMIN, QMAX).astype(np.int8), -1, axis))


def qdq(writer: QdqWriter, step: Step) -> None:
    """The same nodes for every Softmax: onnxruntime chooses its form of them."""
    x, axis = writer.value(step.inputs[0]), step.attributes["axis"]
    if writer.program.tensors[step.output].shape[axis] == 1:
        # Always 1. onnxruntime 1.31 makes 0 of it once it has fused a uint8 Softmax of one value.
        writer.output(step, writer.clip(x, 1.0, 1.0))
        return
    writer.output(step, writer.node("Softmax", [x], axis=axis + 1))


KERNEL = Kernel(
    "softmax_stated", (), lower_stated, run, qdq, stated_softmax_layer, layout="row", in_place=True, apart=1
)
