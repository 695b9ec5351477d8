"""Resize in integers: nearest moves codes; linear and cubic are weighted sums of codes with whole-number weights.

Scale and zero point are the input's. The weights of an axis are multiples of 2^-bits, `bits` the least that makes them
exact, 15 where none does (each weight then is within 2^-16). sum = product over the axes of weights, times the centred
codes; q = the sum rounded half to even, plus the zero point, saturated. The print in ONNX works on centred codes too,
so that it rounds the same numbers; it may differ by one where weights are not exact and the value lies next to a tie.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array, Node
from trine.compilers.onnx_writer import spelled
from trine.compilers.resizing import Axis, axis_of
from trine.edge.c.resize import resize_layer
from trine.edge.lower import Lowering
from trine.edge.operators import Kernel
from trine.edge.operators.move import lower_move
from trine.edge.program import IntegerProgram, Step
from trine.edge.qdq import OPSET, QdqWriter

MOST_BITS = 15


def lower(lowering: Lowering, node: Node) -> Step:
    x = lowering.tensors[node.inputs[0]]
    axes = [axis_of(node, i, size) for i, size in enumerate(x.shape)]
    if node.attributes["extrapolation_value"] and any(axis.outside.any() for axis in axes):
        raise ValueError(
            f"{node.name}: an extrapolation_value other than 0 has no int8 form; float32 has one"
        )
    if all(axis.plain and not axis.outside.any() for axis in axes):
        return lower_move(lowering, node)
    y = lowering.like_input(node)
    constants: dict[str, Array] = {}
    bits = []
    for i, (axis, size) in enumerate(zip(axes, x.shape, strict=True)):
        if axis.plain and np.array_equal(axis.indices[:, 0], np.arange(size)):
            bits.append(0)
            continue
        weights, fraction = whole_weights(axis)
        bits.append(fraction)
        constants[f"indices{i}"] = axis.indices.astype(np.int32)
        constants[f"weights{i}"] = weights
    attributes = {"op": "Resize", "of": dict(node.attributes), "bits": sum(bits)}
    return Step("resize", node.name, (x.name,), y.name, constants, attributes)


def whole_weights(axis: Axis) -> tuple[NDArray[np.int32], int]:
    """(weights times 2^bits, bits) of an axis: each output's add up to 2^bits, or to 0 where it lies outside."""
    real = np.where(axis.outside[:, None], 0.0, axis.weights)
    for bits in range(MOST_BITS + 1):
        whole = np.rint(real * 2**bits)
        if np.allclose(whole, real * 2**bits, rtol=0, atol=1e-4 * 2**bits / 2**MOST_BITS):
            break
    wanted = np.where(axis.outside, 0, 2**bits)
    rows = np.arange(len(whole))
    whole[rows, np.abs(whole).argmax(axis=1)] += wanted - whole.sum(axis=1)
    return whole.astype(np.int32), bits


def run(program: IntegerProgram, step: Step, inputs: Sequence[Array]) -> Array:
    zero_point = program.tensors[step.inputs[0]].zero_point
    sums = inputs[0].astype(np.int64) - zero_point
    for i in range(sums.ndim - 1):
        if f"weights{i}" in step.constants:
            indices, weights = step.constants[f"indices{i}"], step.constants[f"weights{i}"].astype(np.int64)
            taken = np.moveaxis(sums, i + 1, -1)[..., indices]
            sums = np.moveaxis((taken * weights).sum(axis=-1), -1, i + 1)
    bits = step.attributes["bits"]
    half = (1 << bits) // 2
    even = (sums >> bits) & 1 if bits else 0
    rounded = (sums + half - (1 if bits else 0) + even) >> bits
    y = program.tensors[step.output]
    return np.asarray(np.clip(rounded + zero_point, *y.limits), y.dtype)


def qdq(writer: QdqWriter, step: Step) -> None:
    """Dequantise by 1, resize, quantise by 1: codes are resized, not what they stand for."""
    from onnx import helper

    x, y = (writer.program.tensors[name] for name in (step.inputs[0], step.output))
    one = writer.constant(np.array(1, np.float32), "one")
    zero_point = writer._stored(x)[1]
    codes, resized = f"{step.output}_codes", f"{step.output}_real"
    writer.nodes.append(
        helper.make_node("DequantizeLinear", [f"{x.name}_quantized", one, zero_point], [writer.value(codes)])
    )
    node = Node("Resize", step.name, (codes,), (resized,), step.attributes["of"])
    part = replace(step, inputs=(codes,), output=resized, constants={})
    writer.spell(part, spelled(node, OPSET))
    scale, zero_point = writer._stored(y)
    stored = f"{y.name}_quantized"
    writer.nodes.append(
        helper.make_node("QuantizeLinear", [writer.value(resized), one, zero_point], [stored])
    )
    writer.nodes.append(
        helper.make_node("DequantizeLinear", [stored, scale, zero_point], [writer.value(y.name)])
    )


KERNEL = Kernel("resize", ("Resize",), lower, run, qdq, resize_layer, layout="any", int16=True)
