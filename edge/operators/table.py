"""Functions of one value as tables: an int8 input has 256 values, so 256 int8 answers are the whole function.

Relu, Clip, Sigmoid, Tanh, Identity; also Add and Mul with a scalar constant, and plain rescaling.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Node
from trine.edge.c.elementwise import table_layer
from trine.edge.lower import FORCED, Lowering, activation_bounds
from trine.edge.operators import Kernel
from trine.edge.program import QMAX, QMIN, Int8, IntegerProgram, QuantizedTensor, Step
from trine.edge.qdq import QdqWriter

Function = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def function_of(node: Node) -> Function:
    """The real function of a node with one activation input, float32 -> float32."""
    if node.op in ("Relu", "Clip"):
        low, high = activation_bounds(node)
        return lambda x: np.clip(x, np.float32(low), np.float32(high))
    if node.op == "Sigmoid":
        return lambda x: (1.0 / (1.0 + np.exp(-x.astype(np.float64)))).astype(np.float32)
    return lambda x: np.tanh(x.astype(np.float64)).astype(np.float32)


def table_of(function: Function, x: QuantizedTensor, y: QuantizedTensor) -> NDArray[np.int8]:
    """table[q + 128] = quantise(function(dequantise(q)))."""
    every = np.arange(QMIN, QMAX + 1).astype(np.int8)
    return y.quantize(function(x.dequantize(every)))


def lower(lowering: Lowering, node: Node) -> Step:
    x = lowering.tensors[node.inputs[0]]
    name = node.outputs[0]
    if node.op in FORCED:
        y = lowering.add_tensor(name, lowering.graph.tensors[name].shape, *FORCED[node.op])
    else:
        y = lowering.add_ranged(name)
    low, high = activation_bounds(node) if node.op in ("Relu", "Clip") else (-np.inf, np.inf)
    return Step(
        "table", node.name, (x.name,), y.name, {"table": table_of(function_of(node), x, y)},
        {"op": node.op, "min": low, "max": high},
    )  # fmt: skip


def run(program: IntegerProgram, step: Step, inputs: Sequence[Int8]) -> Int8:
    return np.asarray(step.constants["table"][inputs[0].astype(np.int16) - QMIN])


def qdq(writer: QdqWriter, step: Step) -> None:
    x, op = writer.value(step.inputs[0]), step.attributes["op"]
    if op == "Clip":
        x = writer.clip(x, step.attributes["min"], step.attributes["max"])
    elif op in ("Add", "Mul"):
        x = writer.node(op, [x, writer.constant(step.attributes["scalar"])])
    else:
        x = writer.node(op, [x])
    writer.output(step, x)


KERNEL = Kernel("table", ("Relu", "Clip", "Sigmoid", "Tanh"), lower, run, qdq, table_layer, in_place=True)
