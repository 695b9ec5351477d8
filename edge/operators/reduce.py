"""Reductions of int8 over any axes of one example: sums in int32, then a requantiser or thresholds; extremes as codes.

ReduceSum adds x', ReduceL1 |x'|, ReduceSumSquare x'^2 (x' = x - zero point), and one requantiser finishes. ReduceL2 and
ReduceLogSum are a root and a logarithm of such a sum: a function that never falls, so the least sum that reaches each
output code, 255 thresholds, is the whole function; they are found by bisection. Sums too large for any requantiser to
equal the float32 rule (beyond 2^24) get thresholds too. Sums of int16 have 64 bits; roots and logarithms of them have
no kernel. ReduceMax and ReduceMin keep scale and zero point.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Node
from trine.edge.c.loops import open_loops, split_axes
from trine.edge.lower import IN_FLOAT, Lowering, clear_of_ties
from trine.edge.operands import slots_of, spell_real
from trine.edge.operators import Kernel
from trine.edge.program import QMAX, QMIN, Int8, IntegerProgram, QuantizedTensor, Step
from trine.edge.qdq import QdqWriter
from trine.edge.requantize import Requantizer, equal_on_range, make_requantizer, thresholds
from trine.edge.weights import LARGEST_SUM

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter

Int64 = NDArray[np.int64]
MOST_SUMS = 2**20  # sums that are looked at one by one for ties
# By operator: what one centred value adds, in NumPy and in C; how its scale enters the sum's.
TERMS: dict[str, tuple[Callable[[Int64], Int64], str, int]] = {
    "ReduceSum": (lambda v: v, "v", 1),
    "ReduceL1": (np.abs, "v < 0 ? -v : v", 1),
    "ReduceSumSquare": (np.square, "v * v", 2),
    "ReduceL2": (np.square, "v * v", 2),
    "ReduceLogSum": (lambda v: v, "v", 1),
}
# By operator: the function of the sum's real value, which is not negative.
FUNCTIONS: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "ReduceL2": np.sqrt,
    "ReduceLogSum": np.log,
}
EXTREMES = ("ReduceMax", "ReduceMin")


def lower(lowering: Lowering, node: Node) -> Step:
    x = lowering.tensors[node.inputs[0]]
    attributes = {**slots_of(lowering, node), "axes": tuple(node.attributes["axes"])}
    if node.op in EXTREMES:
        return Step("reduce", node.name, (x.name,), lowering.like_input(node).name, {}, attributes)
    count = int(np.prod([x.shape[axis] for axis in node.attributes["axes"]]))
    if x.dtype == "int16":
        power = TERMS[node.op][2]
        wide, y = lowering.requantizer_16(node, float(x.scale) ** power, count * 32768**power)
        return Step("reduce", node.name, (x.name,), y.name, {}, attributes, wide)
    low, high = sum_bounds(node.op, x, count)
    scale = np.float32(x.scale ** np.float32(TERMS[node.op][2]))
    constants, requantizer, y = sum_finish(lowering, node, scale, low, high)
    return Step("reduce", node.name, (x.name,), y.name, constants, attributes, requantizer)


def sum_bounds(op: str, x: QuantizedTensor, count: int) -> tuple[int, int]:
    """Least and greatest sum of `count` values. Raises ValueError beyond int32."""
    term = TERMS[op][0]
    every = term(np.arange(QMIN - x.zero_point, QMAX - x.zero_point + 1))
    low, high = count * int(every.min()), count * int(every.max())
    if max(abs(low), abs(high)) > LARGEST_SUM:
        raise ValueError(
            f"sums of {count} values ({op}) could reach {max(abs(low), abs(high))}, beyond int32"
        )
    return low, high


def sum_finish(
    lowering: Lowering, node: Node, scale: np.float32, low: int, high: int
) -> tuple[dict[str, NDArray[np.int32]], Requantizer | None, QuantizedTensor]:
    """How a sum from low to high in units of `scale` becomes int8: thresholds "steps" or a requantiser; the output."""
    if node.op not in FUNCTIONS:
        try:
            requantizer, y = certified_sum(lowering, node, scale, low, high)
            return {}, requantizer, y
        except ValueError:
            pass
    steps, y = thresholds_of(lowering, node, float(scale), low, high)
    return {"steps": steps}, None, y


def certified_sum(
    lowering: Lowering, node: Node, scale: np.float32, low: int, high: int
) -> tuple[Requantizer, QuantizedTensor]:
    """A requantiser that is exact on every sum from low to high, which count in units of `scale`."""
    ends = np.array([low], np.int64), np.array([high], np.int64)
    sums = np.arange(low, high + 1) if high - low < MOST_SUMS else np.empty(0, np.int64)

    def make(output: QuantizedTensor, margin: float) -> Requantizer | None:
        ratio = np.array([scale / output.scale], np.float32)
        made = make_requantizer(ratio, *ends, output.zero_point, lowering.bounds(node, output))
        equal = equal_on_range(made, *ends)
        if margin == IN_FLOAT:
            return made.in_float(~equal)
        clear = clear_of_ties(sums.astype(np.float64) * (float(scale) / float(output.scale)), margin)
        return made if equal.all() and clear else None

    return lowering.nudge_output(node, make)


def thresholds_of(
    lowering: Lowering, node: Node, scale: float, low: int, high: int
) -> tuple[NDArray[np.int32], QuantizedTensor]:
    """The least sum that reaches each code from -127 to 127, and the output; a code no sum reaches has high + 1."""
    function = FUNCTIONS.get(node.op)
    y = lowering.add_ranged(lowering.output_name(node))

    def codes(sums: Int64) -> Int64:
        with np.errstate(divide="ignore"):
            real = sums * scale if function is None else function(np.maximum(sums, 0) * scale)
        return np.asarray(y.quantize(real.astype(np.float32)), np.int64)

    levels = np.arange(QMIN + 1, QMAX + 1, dtype=np.int64)[None]
    ends = np.array([[low]], np.int64), np.array([[high]], np.int64)
    return thresholds(codes, *ends, levels, np.zeros_like(levels))[0].astype(np.int32), y


def run(program: IntegerProgram, step: Step, inputs: Sequence[Int8]) -> Int8:
    op, axes = step.attributes["op"], tuple(axis + 1 for axis in step.attributes["axes"])
    shape = (len(inputs[0]), *program.tensors[step.output].shape)
    if op in EXTREMES:
        best = inputs[0].min(axis=axes) if op == "ReduceMin" else inputs[0].max(axis=axes)
        return np.asarray(best.reshape(shape))
    centred = inputs[0].astype(np.int64) - program.tensors[step.inputs[0]].zero_point
    sums = TERMS[op][0](centred).sum(axis=axes).reshape(shape)
    return finished(step, sums)


def finished(step: Step, sums: Int64) -> Int8:
    """The int8 of sums."""
    if "steps" in step.constants:
        return (np.searchsorted(step.constants["steps"], sums, "right") + QMIN).astype(np.int8)
    return np.asarray(step.requantizer.apply(sums, axis=0))


def qdq(writer: QdqWriter, step: Step) -> None:
    writer.output(step, spell_real(writer, step, {}))


def reduce_layer(layer: LayerWriter, step: Step) -> None:
    op, x = step.attributes["op"], layer.tensor(step.inputs[0])
    kept, gone = split_axes(x.shape, step.attributes["axes"])
    places, indent = open_loops(layer, kept)
    layer.line(f"{indent}{{")
    start = dict(zip(EXTREMES, x.limits, strict=True)).get(op, 0)
    kind = "int64_t" if x.dtype == "int16" and op not in EXTREMES else "int32_t"
    layer.line(f"{indent}    {kind} sum = {start};")
    inside, inner = open_loops(layer, gone, "j", indent + "    ")
    at = " + ".join([*places, *inside]) or "0"
    layer.line(f"{inner}{{")
    if op in EXTREMES:
        layer.line(f"{inner}    int32_t v = x0[{at}];")
        layer.line(f"{inner}    sum = v {'<' if op == 'ReduceMin' else '>'} sum ? v : sum;")
    else:
        layer.line(f"{inner}    int32_t v = x0[{at}] - ({x.zero_point});")
        layer.line(f"{inner}    sum += {TERMS[op][1]};")
    layer.line(f"{inner}}}")
    layer.line(
        f"{indent}    *y++ = {f'({layer.kind(x.name)})sum' if op in EXTREMES else finish(layer, step)};"
    )
    layer.line(f"{indent}}}")


def finish(layer: LayerWriter, step: Step) -> str:
    """C of the int8 of an int32 `sum`."""
    if "steps" in step.constants:
        layer.need("sums")
        return f"trine_steps(sum, {layer.array('steps', step.constants['steps'])})"
    r = step.requantizer
    if r.rule == "int16":
        layer.need("int16")
        whole = f"sum * {2**r.left}" if r.left >= 0 else f"sum >> {-r.left}"
        return f"trine_requantize16((int32_t)({whole}), {layer.channels(r, [0])}, {r.low}, {r.high})"
    return f"trine_requantize(sum * {2**r.left}, {layer.channels(r, [0])}, {r.low}, {r.high})"


KERNEL = Kernel(
    "reduce",
    (*TERMS, *EXTREMES),
    lower,
    run,
    qdq,
    reduce_layer,
    layout="row",
    apart=1,
    int16=(*EXTREMES, "ReduceSum", "ReduceL1", "ReduceSumSquare"),
)
