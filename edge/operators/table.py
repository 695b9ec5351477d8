"""Functions of one value as tables: an int8 input has 256 values, so 256 int8 answers are the whole function.

All unary operators; also Add, Sub, Mul, Div, Pow, Min, Max with a scalar constant, PRelu with one slope, and plain
rescaling. An answer that is no number counts as 0; infinities saturate.

An int16 input has 65,536 values: its table holds 2^k + 1 of them, with straight lines in between. k is the least of 5
to 9 with which these lie within one output step of the rounded function for every input that calibration saw, or the
least of 10 to 12 with which they lie within 8 (2^-12 of the range); and within 64 for every other input, where a
function may leave the output's range at a corner. Attribute `off` is the greatest distance over all inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array, Node
from trine.compilers.onnx_writer import spelled
from trine.compilers.operators import operators
from trine.edge.c.elementwise import table_layer
from trine.edge.fusing import FORCED, activation_bounds
from trine.edge.int16 import FINEST, HEADROOM, rescaled
from trine.edge.lower import Lowering, clear_of_ties
from trine.edge.operators import Kernel
from trine.edge.program import QMAX, QMIN, IntegerProgram, QuantizedTensor, Step
from trine.edge.qdq import OPSET, QdqWriter

Function = Callable[[NDArray[np.float32]], NDArray[np.float32]]
EVERY = np.arange(QMIN, QMAX + 1).astype(np.int8)
FEWEST, USUAL, MOST = 5, 9, 12  # k of a table of int16
CLOSE, NEAR, FAR = 1, 8, 64  # steps: of tables up to USUAL, of larger ones, outside what calibration saw
UNARY = (
    "Abs", "Ceil", "Celu", "Cos", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Log",
    "Mish", "Neg", "Reciprocal", "Round", "Selu", "Sign", "Sin", "Softplus", "Softsign", "Sqrt", "Swish",
    "ThresholdedRelu",
)  # fmt: skip


def function_of(node: Node) -> Function:
    """The real function of a node with one activation input, float32 -> float32; computed in float64."""
    if node.op in ("Relu", "Clip"):
        low, high = activation_bounds(node)
        return lambda x: np.clip(x, np.float32(low), np.float32(high))
    if node.op == "Sigmoid":
        return lambda x: (1.0 / (1.0 + np.exp(-x.astype(np.float64)))).astype(np.float32)
    if node.op == "Tanh":
        return lambda x: np.tanh(x.astype(np.float64)).astype(np.float32)
    return lambda x: np.asarray(operators()[node.op].run(node, [x.astype(np.float64)])[0], np.float32)


def table_of(function: Function, x: QuantizedTensor, y: QuantizedTensor) -> NDArray[np.int8]:
    """table[q + 128] = quantise(function(dequantise(q)))."""
    real = function(x.dequantize(EVERY))
    return np.asarray(y.quantize(np.where(np.isnan(real), np.float32(0), real)), np.int8)


def nudged_table(lowering: Lowering, node: Node, x: QuantizedTensor, function: Function) -> Step:
    """A table whose entries lie clear of ties, so that onnxruntime's float32 functions round alike.

    Its output's scale moves for it a little; where no move helps it stays.
    """
    real = function(x.dequantize(EVERY)).astype(np.float64)

    def make(output: QuantizedTensor, margin: float) -> NDArray[np.int8] | None:
        low, high = lowering.bounds(node, output)
        found = np.clip(table_of(function, x, output), low, high).astype(np.int8)
        clear = clear_of_ties(real[np.isfinite(real)] / float(output.scale), margin)
        return found if clear else None

    table, y = lowering.nudge_output(node, make)
    attributes = {"op": node.op, "of": dict(node.attributes), "nan": bool(np.isnan(real).any())}
    return Step("table", node.name, (x.name,), y.name, {"table": table}, attributes)


def lower(lowering: Lowering, node: Node) -> Step:
    x = lowering.tensors[node.inputs[0]]
    name = node.outputs[0]
    if x.dtype == "int16":
        return lower_16(lowering, node, x)
    if node.op in UNARY:
        return nudged_table(lowering, node, x, function_of(node))
    forced = node.op in FORCED and name not in lowering.stated
    y = lowering.add_forced(node) if forced else lowering.add_ranged(name)
    low, high = activation_bounds(node) if node.op in ("Relu", "Clip") else (-np.inf, np.inf)
    return Step(
        "table", node.name, (x.name,), y.name, {"table": table_of(function_of(node), x, y)},
        {"op": node.op, "min": low, "max": high},
    )  # fmt: skip


def lower_16(lowering: Lowering, node: Node, x: QuantizedTensor) -> Step:
    """A function of int16: lines between the values of a table; what is a line with bounds, as a rescaling."""
    if node.op in FORCED:
        return lines_between(lowering, node, x, lowering.add_forced(node), function_of(node))
    if node.op in ("Relu", "Clip"):
        y = lowering.add_ranged(node.outputs[0], float(x.scale) * FINEST)
        ends = zip(activation_bounds(node), y.limits, strict=True)
        low, high = (
            int(y.quantize(np.array(b, np.float32))) if np.isfinite(b) else limit for b, limit in ends
        )
        step = rescaled(node.name, x, y, bounds=(low, high))
        return replace(step, attributes={**step.attributes, "op": "Identity"})
    if node.op == "Neg":
        y = lowering.add_ranged(node.outputs[0], float(x.scale) * FINEST)
        step = rescaled(node.name, x, y, -1.0)
        return replace(step, attributes={**step.attributes, "op": "Neg"})
    y = lowering.add_ranged(lowering.output_name(node))
    return lines_between(lowering, node, x, y, function_of(node))


def lines_between(
    lowering: Lowering, node: Node, x: QuantizedTensor, y: QuantizedTensor, function: Function
) -> Step:
    """The step of a function of int16 by the shortest table that is close enough on all inputs."""
    every = np.arange(-32768, 32768)
    low, high = lowering.bounds(node, y)
    wanted = np.clip(rounded_at(function, x, y, every), low, high)
    seen = np.abs(every) <= 32768 / HEADROOM
    off = 0
    for bits in range(FEWEST, MOST + 1):
        nodes = np.arange(-32768, 32769, 2 ** (16 - bits))
        table = np.clip(rounded_at(function, x, y, nodes), low, high).astype(np.int16)
        distance = np.abs(read_between(table, every) - wanted)
        off = int(distance.max())
        if distance[seen].max() <= (CLOSE if bits <= USUAL else NEAR) and off <= FAR:
            break
    with np.errstate(all="ignore"):
        nan = bool(np.isnan(function((every * float(x.scale)).astype(np.float32))).any())
    attributes = {"op": node.op, "of": dict(node.attributes), "off": off, "nan": nan}
    return Step("table", node.name, (x.name,), y.name, {"table": table}, attributes)


def rounded_at(function: Function, x: QuantizedTensor, y: QuantizedTensor, codes: Array) -> NDArray[np.int64]:
    """The function at codes of x, in codes of y; no number counts as 0."""
    with np.errstate(all="ignore"):
        real = np.asarray(function((codes * float(x.scale)).astype(np.float32)), np.float64)
    scaled = np.nan_to_num(real / float(y.scale), nan=0.0, posinf=1e9, neginf=-1e9)
    return np.clip(np.rint(scaled), -32768, 32767).astype(np.int64)


def read_between(table: Array, x: Array) -> NDArray[np.int64]:
    """The definition: lines between the 2^k + 1 values of a table, for codes of int16."""
    rest = 17 - len(table).bit_length()
    place = x.astype(np.int64) + 32768
    at, fraction, values = place >> rest, place & ((1 << rest) - 1), table.astype(np.int64)
    start = values[at]
    return np.asarray(start + (((values[at + 1] - start) * fraction + ((1 << rest) >> 1)) >> rest))


def scalar_of(lowering: Lowering, node: Node) -> tuple[int, Array] | None:
    """Which of two operands is a constant of a single number, and that number; None where there is none."""
    for place, name in enumerate(node.inputs[:2]):
        if lowering.is_constant(name) and lowering.graph.constants[name].size == 1:
            return place, lowering.graph.constants[name].reshape(())
    return None


def lower_scalar(lowering: Lowering, node: Node, place: int, scalar: Array) -> Step:
    """An operator on one activation and one number: a table."""
    x = lowering.tensors[node.inputs[1 - place]]
    run, plain = operators()[node.op].run, replace(node, attributes={})

    def function(v: NDArray[np.float32]) -> NDArray[np.float32]:
        both = [v.astype(np.float64), scalar.astype(np.float64)]
        return np.asarray(run(plain, both[::-1] if place == 0 else both)[0], np.float32)

    step = nudged_table(lowering, node, x, function)
    nan = step.attributes["nan"]
    return replace(step, attributes={"op": node.op, "scalar": scalar[()], "place": place, "nan": nan})


def zero_for_nan(writer: QdqWriter, real: str) -> str:
    """A float value with 0 where it is no number."""
    broken = writer.node("IsNaN", [real])
    return writer.node("Where", [broken, writer.constant(np.array(0, np.float32)), real])


def run(program: IntegerProgram, step: Step, inputs: Sequence[Array]) -> Array:
    table = step.constants["table"]
    if table.dtype == np.int16:
        return np.asarray(read_between(table, inputs[0]), np.int16)
    return np.asarray(table[inputs[0].astype(np.int16) - QMIN])


def qdq(writer: QdqWriter, step: Step) -> None:
    x, a = writer.value(step.inputs[0]), step.attributes
    if "scalar" in a:
        both = [x, writer.constant(np.asarray(a["scalar"]))]
        real = writer.node(a["op"], both[::-1] if a.get("place") == 0 else both)
    elif a["op"] == "Clip":
        real = writer.clip(x, a["min"], a["max"])
    elif "of" in a:
        real = f"{step.name}_real"
        node = Node(a["op"], step.name, step.inputs, (real,), a["of"])
        writer.spell(replace(step, constants={}), spelled(node, OPSET))
    else:
        real = writer.node(a["op"], [x])
    writer.output(step, zero_for_nan(writer, real) if a.get("nan") else real)


KERNEL = Kernel(
    "table", ("Relu", "Clip", "Sigmoid", "Tanh", *UNARY), lower, run, qdq, table_layer, in_place=True,
    apart=1, int16=True,
)  # fmt: skip
