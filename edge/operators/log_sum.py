"""LogSoftmax and ReduceLogSumExp in integers: the sum of softmax's exponentials, its logarithm in fixed point.

s = sum of exp(-(max - x) * sx) in fixed point (`softmax.exponentials`); l = log2 s by a table of 257 entries and a
straight line between them (error below 3e-6). ReduceLogSumExp is (max' * a + l) * m, LogSoftmax
-((max - x) * a + l) * m, a = sx / ln 2, m = ln 2 / sy: one product, one rounding shift, plus the zero point, saturated.
onnxruntime computes both in float32: at most one step apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Node
from trine.edge.c.loops import open_loops, split_axes
from trine.edge.lower import Lowering
from trine.edge.operands import slots_of, spell_real
from trine.edge.operators import Kernel
from trine.edge.operators.softmax import exponentials
from trine.edge.program import QMAX, QMIN, Int8, IntegerProgram, Step
from trine.edge.qdq import QdqWriter

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter

BITS = 24  # of a logarithm's fixed point
MULTIPLIER_BITS = 26  # with exponents below 2^36 the product stays in 64 bits
LOGARITHMS = np.rint(np.log2(1 + np.arange(257) / 256) * 2.0**BITS).astype(np.int32)


def logarithm(s: NDArray[np.int64]) -> NDArray[np.int64]:
    """log2 of whole numbers from 1 to 2^32 - 1, in 2^-24."""
    place = np.floor(np.log2(s.astype(np.float64))).astype(np.int64)
    mantissa = s << (31 - place)
    index, rest = (mantissa >> 23) & 255, mantissa & (2**23 - 1)
    table = LOGARITHMS.astype(np.int64)
    return np.asarray((place << BITS) + table[index] + ((table[index + 1] - table[index]) * rest >> 23))


def axes_of(node: Node) -> tuple[int, ...]:
    """The axes that are summed over."""
    return (node.attributes["axis"],) if node.op == "LogSoftmax" else tuple(node.attributes["axes"])


def lower(lowering: Lowering, node: Node) -> Step:
    x, axes = lowering.tensors[node.inputs[0]], axes_of(node)
    table = exponentials(x.scale, int(np.prod([x.shape[axis] for axis in axes])))
    y = lowering.add_ranged(node.outputs[0])
    ratio = np.log(2) / (float(y.scale) * 2.0**BITS)
    shift = int(np.floor(MULTIPLIER_BITS - np.log2(ratio)))
    attributes = {
        **slots_of(lowering, node), "axes": axes, "one": int(table[0]).bit_length() - 1,
        "a": round(float(x.scale) / np.log(2) * 2.0**BITS), "m": round(ratio * 2.0**shift), "shift": shift,
    }  # fmt: skip
    return Step("log_sum", node.name, (x.name,), y.name, {"exponentials": table}, attributes)


def run(program: IntegerProgram, step: Step, inputs: Sequence[Int8]) -> Int8:
    a, axes = step.attributes, tuple(axis + 1 for axis in step.attributes["axes"])
    x, y = inputs[0].astype(np.int64), program.tensors[step.output]
    most = x.max(axis=axes, keepdims=True)
    s = step.constants["exponentials"].astype(np.int64)[most - x].sum(axis=axes, keepdims=True)
    log = logarithm(s) - (a["one"] << BITS)
    if a["op"] == "LogSoftmax":
        real = -((most - x) * a["a"] + log)
    else:
        real = (most - program.tensors[step.inputs[0]].zero_point) * a["a"] + log
    q = ((real * a["m"] + (1 << (a["shift"] - 1))) >> a["shift"]) + y.zero_point
    return np.asarray(np.clip(q, QMIN, QMAX), np.int8).reshape(len(x), *y.shape)


def qdq(writer: QdqWriter, step: Step) -> None:
    writer.output(step, spell_real(writer, step, {}))


def log_sum_layer(layer: LayerWriter, step: Step) -> None:
    layer.need("sums", "log_sum")
    a, x, y = step.attributes, layer.tensor(step.inputs[0]), layer.tensor(step.output)
    table, logs = layer.array("exponentials", step.constants["exponentials"]), layer.array("logs", LOGARITHMS)
    kept, gone = split_axes(x.shape, a["axes"])
    places, indent = open_loops(layer, kept)
    write = layer.line
    write(f"{indent}{{")
    write(f"{indent}    int32_t most = -128;")
    write(f"{indent}    uint32_t sum = 0;")
    write(f"{indent}    int64_t log;")
    inside, inner = open_loops(layer, gone, "j", indent + "    ")
    at = " + ".join([*places, *inside]) or "0"
    write(f"{inner}most = x0[{at}] > most ? x0[{at}] : most;")
    open_loops(layer, gone, "j", indent + "    ")
    write(f"{inner}sum += {table}[most - x0[{at}]];")
    write(f"{indent}    log = trine_log2(sum, {logs}) - ((int64_t){a['one']} << {BITS});")
    rounded = f"* {a['m']} + INT64_C({1 << (a['shift'] - 1)})) >> {a['shift']}) + ({y.zero_point})"
    if a["op"] == "LogSoftmax":
        open_loops(layer, gone, "j", indent + "    ")
        real = f"-((most - x0[{at}]) * INT64_C({a['a']}) + log)"
        write(f"{inner}y[{at}] = trine_clamp_wide((({real} {rounded});")
    else:
        real = f"((most - ({x.zero_point})) * INT64_C({a['a']}) + log)"
        write(f"{indent}    *y++ = trine_clamp_wide((({real} {rounded});")
    write(f"{indent}}}")


KERNEL = Kernel(
    "log_sum", ("LogSoftmax", "ReduceLogSumExp"), lower, run, qdq, log_sum_layer, layout="row", apart=1
)
