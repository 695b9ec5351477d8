"""Softmax along one axis in integers; output scale 1/256, zero point -128 (as TensorFlow Lite fixes them).

e[d] = round(exp(-d * scale) * 2^bits) for d = max - x in 0..255; q = (e[x] * 256 + sum / 2) / sum - 128,
saturated.
bits leaves room for the sum in 32 bits; up to 256 values the result is the correctly rounded softmax but
for ties within 2e-5 of an output step. onnxruntime computes it in float32: at most one step apart (its
quantised form has a table of its own; networks that arrive quantised have that, see `softmax_stated`).

Of int16 (output scale 2^-15, zero point 0): u = d scale log2(e) counts in 2^-20; e[d] = 2^-u in units of 2^-23, from a
table of 257 values with straight lines in between; one division a softmax, v = 2^61 / sum with the sum shifted to 31
bits; q = (e v + half) >> shift, saturated. Within one step of the rounded softmax.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array, Node
from trine.edge.c.elementwise import softmax_layer
from trine.edge.lower import Lowering
from trine.edge.operators import Kernel
from trine.edge.operators.softmax_stated import lower_stated, qdq
from trine.edge.program import IntegerProgram, Step


def exponentials(scale: np.float32, length: int) -> NDArray[np.uint32]:
    """exp(-d * scale) for d in 0..255 in fixed point: the sum of `length` of them stays in 32 bits, times
    256 too."""
    bits = min(23, 31 - int(np.ceil(np.log2(max(length, 2)))))
    return np.asarray(np.rint(np.exp(-np.arange(256) * float(scale)) * 2.0**bits), np.uint32)


def lower(lowering: Lowering, node: Node) -> Step:
    if node.outputs[0] in lowering.stated:
        return lower_stated(lowering, node)
    x, y = lowering.tensors[node.inputs[0]], lowering.add_forced(node)
    axis = node.attributes["axis"]
    if x.dtype == "int16":
        return Step(
            "softmax", node.name, (x.name,), y.name, {"powers": POWERS}, {"axis": axis, **slope(x.scale)}
        )
    table = exponentials(x.scale, x.shape[axis])
    return Step("softmax", node.name, (x.name,), y.name, {"exponentials": table}, {"axis": axis})


POWERS = np.rint(2.0 ** (23 - np.arange(257) / 256)).astype(np.int32)
FRACTION = 20  # bits of u


def slope(scale: np.floating[Any]) -> dict[str, int]:
    """multiplier, shift of u = d * multiplier >> shift."""
    real = float(scale) * np.log2(np.e) * 2.0**FRACTION
    shift = int(np.clip(30 - np.floor(np.log2(real)), 0, 46))
    return {"multiplier": min(round(real * 2.0**shift), 2**31 - 1), "shift": shift}


def powers_of(step: Step, distance: NDArray[np.int64]) -> NDArray[np.int64]:
    """2^-u in units of 2^-23 for distances from the greatest, 0..65535."""
    u = np.minimum((distance * step.attributes["multiplier"]) >> step.attributes["shift"], 31 << FRACTION)
    table, at, rest = step.constants["powers"].astype(np.int64), (u >> 12) & 255, u & 4095
    fine = table[at] - (((table[at] - table[at + 1]) * rest + 2048) >> 12)
    whole = u >> FRACTION
    return np.asarray((fine + ((1 << whole) >> 1)) >> whole)


def run_16(step: Step, x: NDArray[np.int64], axis: int) -> NDArray[np.int16]:
    """The definition for int16."""
    e = powers_of(step, x.max(axis=axis, keepdims=True) - x)
    total = e.sum(axis=axis, keepdims=True)
    up = 31 - np.frexp(total.astype(np.float64))[1].astype(np.int64)  # total << up has 31 bits
    level = np.where(up >= 0, total << np.maximum(up, 0), total >> np.maximum(-up, 0))
    shift = 46 - up
    q = (e * ((1 << 61) // level) + (np.int64(1) << (shift - 1))) >> shift
    return np.asarray(np.minimum(q, 32767), np.int16)


def run(program: IntegerProgram, step: Step, inputs: Sequence[Array]) -> Array:
    axis = step.attributes["axis"] + 1
    if "powers" in step.constants:
        return run_16(step, inputs[0].astype(np.int64), axis)
    x = inputs[0].astype(np.int64)
    e = step.constants["exponentials"].astype(np.int64)[x.max(axis=axis, keepdims=True) - x]
    total = e.sum(axis=axis, keepdims=True)
    return np.asarray(np.minimum((e * 256 + total // 2) // total - 128, 127), np.int8)


KERNEL = Kernel(
    "softmax", ("Softmax",), lower, run, qdq, softmax_layer, layout="row", in_place=True, apart=1, int16=True
)
