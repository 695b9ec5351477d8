"""AveragePool, GlobalAveragePool, ReduceMean in integers: the sum of a window, times the ratio for its count.

sum = sum_window (x - zero_point); q = requantise(sum, ratio[count]), ratio[count] = sx / (sy * count).
Windows at the border may count fewer cells; `requantizer` holds one entry a count from attribute `least` on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Node, Shape
from trine.compilers.onnx_writer import spell
from trine.compilers.operators.averagepool import divisors
from trine.compilers.operators.maxpool import pool_windows
from trine.devices.errors import InputError
from trine.edge.c.pool import mean_layer
from trine.edge.lower import IN_FLOAT, Lowering, clear_of_ties
from trine.edge.operators import Kernel
from trine.edge.operators.mean_stated import WINDOW, is_stated_mean, lower_stated_mean
from trine.edge.program import Int8, IntegerProgram, QuantizedTensor, Step
from trine.edge.qdq import OPSET, QdqWriter
from trine.edge.requantize import Requantizer, equal_on_range, make_requantizer

MOST_INT16 = 2**16 - 1  # values of a mean of int16, whose sum has 32 bits
MOST_SUMS = 2**20  # sums of one window that are looked at one by one for ties


def window_of(node: Node, shape: Shape) -> dict[str, Any]:
    """Geometry of the window over the spatial axes (all but the first) of one example, as AveragePool's."""
    if node.op == "AveragePool":
        return {name: node.attributes[name] for name in WINDOW}
    rank = len(shape) - 1
    ones, zeros = (1,) * rank, (0,) * rank
    return {
        "kernel_shape": tuple(shape[1:]), "strides": ones, "dilations": ones, "pads": zeros * 2,
        "count_include_pad": 0, "uncounted": zeros,
    }  # fmt: skip


def lower(lowering: Lowering, node: Node) -> Step:
    x = lowering.tensors[node.inputs[0]]
    spatial = set(range(1, len(x.shape)))
    if node.op == "ReduceMean" and (set(node.attributes["axes"]) != spatial or len(spatial) not in (1, 2)):
        return lower_other_axes(lowering, node)
    if node.op == "AveragePool" and len(spatial) > 2:
        raise InputError(
            f"node {node.name} (AveragePool): 3-D pools have no int8 kernel; --precision float32 has them"
        )
    if len(spatial) not in (1, 2):
        return lower_other_axes(lowering, whole_mean(node, x.shape))
    if is_stated_mean(lowering, node):
        return lower_stated_mean(lowering, node)
    window = window_of(node, x.shape)
    counts = divisors(Node("AveragePool", node.name, node.inputs, node.outputs, window), x.shape[1:]).astype(
        np.int64
    )
    requantizer, y = certified_mean(lowering, node, x, counts)
    attributes = {**window, "op": node.op, "least": int(counts.min())}
    if node.op == "ReduceMean":
        attributes |= {"axes": node.attributes["axes"], "keepdims": node.attributes["keepdims"]}
    return Step("mean", node.name, (x.name,), y.name, {}, attributes, requantizer)


def whole_mean(node: Node, shape: Shape) -> Node:
    """A GlobalAveragePool as the ReduceMean it is."""
    axes = tuple(range(1, len(shape)))
    return Node("ReduceMean", node.name, node.inputs, node.outputs, {"axes": axes, "keepdims": 1})


def lower_other_axes(lowering: Lowering, node: Node) -> Step:
    """ReduceMean over axes that are not just all the spatial ones: the same sum, taken over those axes."""
    x = lowering.tensors[node.inputs[0]]
    axes = tuple(node.attributes["axes"])
    most = int(np.prod([x.shape[a] for a in axes]))
    requantizer, y = certified_mean(lowering, node, x, np.array([most], np.int64))
    attributes = {"op": "ReduceMean", "axes": axes, "keepdims": node.attributes["keepdims"], "most": most}
    return Step("mean_axes", node.name, (x.name,), y.name, {}, attributes, requantizer)


def certified_mean(
    lowering: Lowering, node: Node, x: QuantizedTensor, counts: NDArray[np.int64]
) -> tuple[Requantizer, QuantizedTensor]:
    """A requantiser with an entry for each count from the least to the greatest of `counts`.

    Those in `counts` are exact on every sum such windows can have.
    """
    n = np.arange(counts.min(), counts.max() + 1, dtype=np.int64)
    if x.dtype == "int16":
        if n.max() >= MOST_INT16:
            raise ValueError(
                f"{node.name}: means of {n.max()} int16 values leave int32; {MOST_INT16 - 1} is the most"
            )
        return lowering.requantizer_16(node, float(x.scale) / n, int(n.max()) * 32768)
    low, high = n * (-128 - x.zero_point), n * (127 - x.zero_point)
    occur = np.isin(n, counts)

    def make(output: QuantizedTensor, margin: float) -> Requantizer | None:
        ratio = (x.scale / (output.scale * n.astype(np.float32))).astype(np.float32)
        made = make_requantizer(ratio, low, high, output.zero_point, lowering.bounds(node, output))
        if margin == IN_FLOAT:
            return made.in_float(~equal_on_range(made, low, high))
        for count, least, greatest in zip(n[occur], low[occur], high[occur], strict=True):
            sums = np.arange(least, greatest + 1) if greatest - least < MOST_SUMS else np.empty(0)
            if not clear_of_ties(sums * (float(x.scale) / float(output.scale) / count), margin):
                return None
        return made if equal_on_range(made.part(occur), low[occur], high[occur]).all() else None

    return lowering.nudge_output(node, make)


def geometry(step: Step) -> Node:
    """The step's window as the AveragePool it is."""
    window = {name: step.attributes[name] for name in WINDOW}
    return Node("AveragePool", step.name, step.inputs, (step.output,), window)


def run(program: IntegerProgram, step: Step, inputs: Sequence[Int8]) -> Int8:
    centred = inputs[0].astype(np.int64) - program.tensors[step.inputs[0]].zero_point
    sums = pool_windows(geometry(step), centred, 0).sum(axis=-1)
    counts = divisors(geometry(step), inputs[0].shape[2:]).astype(np.int64)
    per_position = step.requantizer.part((counts - step.attributes["least"]).ravel())
    q = per_position.apply(sums.reshape(*sums.shape[:2], -1), axis=2)
    return np.asarray(q.reshape(len(q), *program.tensors[step.output].shape))


def qdq(writer: QdqWriter, step: Step) -> None:
    x, op = writer.value(step.inputs[0]), step.attributes["op"]
    if op == "ReduceMean":
        y = writer.reduce_mean(x, [a + 1 for a in step.attributes["axes"]], step.attributes["keepdims"])
    elif op == "GlobalAveragePool":
        y = writer.node(op, [x])
    elif max(step.attributes["dilations"]) > 1 or any(step.attributes["uncounted"]):
        y = sum_and_divide(writer, step, x)
    else:
        y = writer.node(op, [x], **spell(geometry(step), OPSET)[1])
    writer.output(step, y)


def sum_and_divide(writer: QdqWriter, step: Step, x: str) -> str:
    """The mean as a sum and a division, for windows that onnxruntime 1.31 gets wrong once it fuses them.

    A dilated AveragePool becomes an invalid graph; with ceil_mode and counted padding the divisor is wrong.
    """
    shape, a = writer.program.tensors[step.inputs[0]].shape, step.attributes
    ones = writer.constant(np.ones((shape[0], 1, *a["kernel_shape"]), np.float32))
    lists = {name: list(a[name]) for name in ("strides", "dilations", "pads")}
    sums = writer.node("Conv", [x, ones], **lists, group=shape[0])
    return writer.node("Div", [sums, writer.constant(divisors(geometry(step), shape[1:])[None, None])])


KERNEL = Kernel(
    "mean",
    ("AveragePool", "GlobalAveragePool", "ReduceMean"),
    lower,
    run,
    qdq,
    mean_layer,
    layout="last",
    int16=True,
)
