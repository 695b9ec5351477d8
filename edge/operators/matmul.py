"""MatMul of two activations, or with a constant stack, in integers: one requantiser for all values.

sum = sum_k (a[..., i, k] - za) * (b[..., k, j] - zb). A constant is quantised as a tensor of its own, int8, zero
point 0. Sums of int16 activations have 64 bits.
Reached through the dense kernel's `lower`, which serves a constant matrix on the right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array, Node
from trine.edge.c.linear import matmul_layer
from trine.edge.lowbit import SMALLEST_SCALE
from trine.edge.lower import IN_FLOAT, Lowering
from trine.edge.operators import Kernel
from trine.edge.program import Int8, IntegerProgram, QuantizedTensor, Step
from trine.edge.qdq import QdqWriter
from trine.edge.requantize import Requantizer, equal_on_range, make_requantizer
from trine.edge.weights import LARGEST_SUM


def symmetric(name: str, value: Array) -> tuple[QuantizedTensor, NDArray[np.int8]]:
    """A constant as int8 in [-127, 127], one scale for all."""
    largest = np.float32(np.abs(value).max(initial=0))
    scale = np.float32(max(largest / np.float32(127), SMALLEST_SCALE)) if largest else np.float32(1)
    tensor = QuantizedTensor(name, tuple(value.shape), scale, 0)
    return tensor, np.clip(tensor.quantize(value), -127, 127).astype(np.int8)


def lower_general(lowering: Lowering, node: Node) -> Step:
    """A step for int8 operands [..., m, k] and [..., k, n], at most one of them constant."""
    operands: list[QuantizedTensor] = []
    constants, place = {}, None
    for i, name in enumerate(node.inputs[:2]):
        if not lowering.is_constant(name):
            operands.append(lowering.tensors[name])
            continue
        tensor, constants["constant"] = symmetric(name, lowering.graph.constants[name])
        operands.append(tensor)
        place = i
    a, b = operands
    reach = [
        127 if t.name in lowering.graph.constants else max(127 - t.zero_point, t.zero_point + 128)
        for t in (a, b)
    ]
    inputs = tuple(t.name for t in (a, b) if not lowering.is_constant(t.name))
    attributes: dict[str, Any] = {
        "constant": place,
        "a": (a.scale, a.zero_point),
        "b": (b.scale, b.zero_point),
    }
    if "int16" in (a.dtype, b.dtype):
        most = a.shape[-1] * int(np.prod([127 if t.dtype == "int8" else 32768 for t in (a, b)]))
        wide, y = lowering.requantizer_16(node, float(a.scale) * float(b.scale), most)
        return Step("matmul", node.name, inputs, y.name, constants, attributes, wide)
    limit = np.array([a.shape[-1] * reach[0] * reach[1]], np.int64)
    if limit[0] > LARGEST_SUM:
        raise ValueError(f"{node.name}: sums could reach {limit[0]}, beyond int32")

    def make(output: QuantizedTensor, margin: float) -> Requantizer | None:
        ratio = np.array([np.float32(a.scale * b.scale) / output.scale], np.float32)
        made = make_requantizer(ratio, -limit, limit, output.zero_point, lowering.bounds(node, output))
        if margin == IN_FLOAT:
            return made.in_float(np.ones(1, bool))
        return made if equal_on_range(made, -limit, limit).all() else None

    requantizer, y = lowering.nudge_output(node, make)
    return Step("matmul", node.name, inputs, y.name, constants, attributes, requantizer)


def sides_of(step: Step, inputs: Sequence[Int8]) -> list[NDArray[np.float64]]:
    """Both centred operands; float64 holds every sum exactly, and BLAS does it."""
    values = list(inputs)
    place = step.attributes["constant"]
    if place is not None:
        values.insert(place, step.constants["constant"])
    return [q.astype(np.float64) - step.attributes[side][1] for side, q in zip("ab", values, strict=True)]


def run(program: IntegerProgram, step: Step, inputs: Sequence[Int8]) -> Int8:
    a, b = sides_of(step, inputs)
    return np.asarray(step.requantizer.apply(np.matmul(a, b).astype(np.int64), axis=0))


def qdq(writer: QdqWriter, step: Step) -> None:
    writer.output(step, writer.node("MatMul", writer.binary_inputs(step)))


KERNEL = Kernel("matmul", (), lower_general, run, qdq, matmul_layer, layout="row", int16=True)
