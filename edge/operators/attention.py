"""Attention in integers: int8 rows in, int8 rows out, and between them weights that are never rounded to int8.

For each row: s[j] = sum_k (a[k] - za) (b[k, j] - zb); d[j] = the greatest s less s[j]; the weight is e^(-x) for
x = d * sa * sb * scale, from two tables: with i = (d * multiplier + half) >> shift, in steps of 1/256 of x,
e[j] = (high[i >> 8] * low[i & 255]) >> 16, 15 bits, 0 beyond x = 16. Then y = sum_j e[j] (v[j] - zv) / sum_j e[j], one
rounding to the output's scale. One row of scores is held at a time (4 bytes a key): memory grows with the length, not
with its square. onnxruntime computes it in float32: one step apart at most in what was measured (tests).
Of int16: s, of 64 bits, is cut to 31 (s >> narrow); e[j] = 2^-u in units of 2^-23 as `softmax` has it; sums of e and of
e v are cut alike until the first has 24 bits, then as above.
A mask takes keys out: they are no candidates for the greatest score and weigh nothing; a row without any key is 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.graph import Array, Node
from trine.compilers.onnx_writer import spelled
from trine.edge.c.attention import attention_layer, attention_scratch
from trine.edge.lower import Lowering
from trine.edge.operators import Kernel
from trine.edge.operators.softmax import POWERS, powers_of, slope
from trine.edge.program import IntegerProgram, QuantizedTensor, Step
from trine.edge.qdq import OPSET, QdqWriter
from trine.edge.weights import LARGEST_SUM

FAR = 16 << 8  # steps of 1/256 beyond which a weight counts as 0: e^-16 is below half of 2^-15
RATIO_BITS, RATIO_BITS_16 = 22, 18
TOTAL_BITS = 24  # of the sum of an int16 row's weights, where it is divided by
MOST_KEYS_16 = 1 << 13


def tables() -> dict[str, Array]:
    """e^-i in 16 bits for whole i below 16, and e^(-j / 256) in 15 bits for 256 fractions."""
    high = np.rint(np.exp(-np.arange(16.0)) * 65535).astype(np.uint16)
    low = np.rint(np.exp(-np.arange(256.0) / 256) * 32767).astype(np.uint16)
    return {"high": high, "low": low}


def step_of_index(step: float, greatest: int) -> tuple[int, int]:
    """(multiplier, shift) that turn a distance of up to `greatest` units of `step` into 256ths, in 63 bits."""
    shift = 40
    while shift > 1 and (
        round(step * 256 * 2.0**shift) * greatest >= 2**62 or round(step * 256 * 2.0**shift) >= 2**31
    ):
        shift -= 1
    return round(step * 256 * 2.0**shift), shift


def lower(lowering: Lowering, node: Node) -> Step:
    a, b, v = (lowering.tensors[name] for name in node.inputs[:3])
    constants, given = tables(), node.inputs
    if len(given) > 3 and lowering.is_constant(given[3]):
        constants["mask"], given = lowering.graph.constants[given[3]], given[:3]
    y = lowering.add_ranged(node.outputs[0])
    depth, keys = b.shape[-2], b.shape[-1]
    if a.dtype == "int16":
        constants = {"powers": POWERS} | {n: v for n, v in constants.items() if n == "mask"}
        attributes = attributes_16(node, (a, b, v, y), depth, keys)
        return Step("attention", node.name, given, y.name, constants, attributes)
    greatest = 2 * depth * 255 * 255
    if greatest > LARGEST_SUM or keys * 32767 > LARGEST_SUM:
        raise ValueError(f"{node.name}: scores of {depth} products over {keys} keys leave int32")
    multiplier, shift = step_of_index(float(a.scale) * float(b.scale) * node.attributes["scale"], greatest)
    attributes = {
        "multiplier": multiplier, "shift": shift, "scale": node.attributes["scale"], **ratio_of(v, y, RATIO_BITS),
    }  # fmt: skip
    return Step("attention", node.name, given, y.name, constants, attributes)


def ratio_of(v: QuantizedTensor, y: QuantizedTensor, most: int) -> dict[str, int]:
    """ratio and bits: what a step of v is in steps of y."""
    ratio = float(v.scale) / float(y.scale)
    bits = most - max(int(np.ceil(np.log2(ratio))), 0)
    return {"ratio": round(ratio * 2.0**bits), "bits": bits}


def attributes_16(
    node: Node, tensors: tuple[QuantizedTensor, ...], depth: int, keys: int
) -> dict[str, float | int]:
    """The numbers of int16. Raises ValueError where sums would leave 64 bits."""
    a, b, v, y = tensors
    if keys > MOST_KEYS_16:
        raise ValueError(f"{node.name}: {keys} keys; int16 has up to {MOST_KEYS_16}")
    narrow = max((depth << 30).bit_length() - 30, 0)
    unit = float(a.scale) * float(b.scale) * node.attributes["scale"] * 2.0**narrow
    return {
        **slope(np.float64(unit)), "narrow": narrow, "scale": node.attributes["scale"],
        **ratio_of(v, y, RATIO_BITS_16),
    }  # fmt: skip


def weights_of(step: Step, distance: Array) -> Array:
    """e[j] of distances from the greatest score."""
    p = step.attributes
    index = np.minimum((distance * p["multiplier"] + (1 << (p["shift"] - 1))) >> p["shift"], FAR)
    high, low = (step.constants[name].astype(np.int64) for name in ("high", "low"))
    near = np.minimum(index, FAR - 1)
    return np.where(index < FAR, (high[near >> 8] * low[near & 255]) >> 16, 0)


def run(program: IntegerProgram, step: Step, inputs: Sequence[Array]) -> Array:
    a, b, v = (
        x.astype(np.int64) - program.tensors[name].zero_point
        for x, name in zip(inputs[:3], step.inputs[:3], strict=True)
    )
    scores, wide = np.matmul(a, b), "powers" in step.constants
    scores = scores >> step.attributes["narrow"] if wide else scores
    mask = step.constants.get("mask", inputs[3] if len(inputs) > 3 else np.True_)
    shown = np.where(mask, scores, np.iinfo(np.int32).min)
    distance = np.where(mask, shown.max(axis=-1, keepdims=True) - scores, 0)
    e = np.where(mask, powers_of(step, distance) if wide else weights_of(step, distance), 0)
    total, sums, y = e.sum(axis=-1, keepdims=True), np.matmul(e, v), program.tensors[step.output]
    if wide:
        cut = np.maximum(np.frexp(total.astype(np.float64))[1].astype(np.int64) - TOTAL_BITS, 0)
        total, sums = total >> cut, sums >> cut
    numerator, unit = sums * step.attributes["ratio"], np.maximum(total, 1) << step.attributes["bits"]
    q = (2 * numerator + unit) // (2 * unit) + y.zero_point
    return np.asarray(np.clip(q, *y.limits), y.dtype)


def qdq(writer: QdqWriter, step: Step) -> None:
    names = (*step.inputs, "mask") if "mask" in step.constants else step.inputs
    node = Node("RowAttention", step.name, names, (f"{step.name}_real",), {"scale": step.attributes["scale"]})
    writer.spell(step, spelled(node, OPSET))
    writer.output(step, f"{step.name}_real")


KERNEL = Kernel(
    "attention",
    ("RowAttention",),
    lower,
    run,
    qdq,
    attention_layer,
    layout="row",
    scratch=attention_scratch,
    apart=1,
    int16=True,
)
