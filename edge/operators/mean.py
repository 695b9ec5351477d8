"""AveragePool, GlobalAveragePool, ReduceMean in integers: the sum of a window, times the ratio for its count.

sum = sum_window (x - zero_point); q = requantise(sum, ratio[count]), ratio[count] = sx / (sy * count).
A window at the border that leaves out padding has a smaller count; `requantizer` holds one entry a count 1..window.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Node, Shape
from trine.compilers.operators.conv import pad_spatial, windows
from trine.edge.c.pool import mean_layer
from trine.edge.lower import Lowering, clear_of_ties
from trine.edge.operators import Kernel
from trine.edge.program import Int8, IntegerProgram, QuantizedTensor, Step
from trine.edge.qdq import QdqWriter
from trine.edge.requantize import Requantizer, equal_on_range, make_requantizer


def window_of(node: Node, shape: Shape) -> dict[str, object]:
    """Geometry of the window over the spatial axes (all but the first) of one example."""
    rank = len(shape) - 1
    if node.op == "AveragePool":
        names = ("kernel_shape", "strides", "pads", "count_include_pad", "ceil_mode")
        return {name: node.attributes.get(name, 0) for name in names}
    whole = tuple(shape[1:])
    return {
        "kernel_shape": whole, "strides": (1,) * rank, "pads": (0,) * (2 * rank),
        "count_include_pad": 0, "ceil_mode": 0,
    }  # fmt: skip


def lower(lowering: Lowering, node: Node) -> Step:
    x = lowering.tensors[node.inputs[0]]
    if node.op == "ReduceMean" and set(node.attributes["axes"]) != set(range(1, len(x.shape))):
        return lower_other_axes(lowering, node)
    window = window_of(node, x.shape)
    most = int(np.prod(window["kernel_shape"]))
    fixed = window["count_include_pad"] or not (any(window["pads"]) or window["ceil_mode"])
    requantizer, y = certified_mean(lowering, node, x, [most] if fixed else list(range(1, most + 1)))
    keep = {"op": node.op, **({"axes": node.attributes["axes"], "keepdims": node.attributes["keepdims"]} if node.op == "ReduceMean" else {})}
    return Step("mean", node.name, (x.name,), y.name, {}, {**window, **keep, "most": most}, requantizer)


def lower_other_axes(lowering: Lowering, node: Node) -> Step:
    """ReduceMean over axes that are not just all the spatial ones: the same sum, taken over those axes."""
    x = lowering.tensors[node.inputs[0]]
    axes = tuple(node.attributes["axes"])
    most = int(np.prod([x.shape[a] for a in axes]))
    requantizer, y = certified_mean(lowering, node, x, [most])
    attributes = {"op": "ReduceMean", "axes": axes, "keepdims": node.attributes["keepdims"], "most": most}
    return Step("mean_axes", node.name, (x.name,), y.name, {}, attributes, requantizer)


def certified_mean(
    lowering: Lowering, node: Node, x: QuantizedTensor, counts: list[int]
) -> tuple[Requantizer, QuantizedTensor]:
    """A requantiser with one entry a count, exact on every sum such windows can have."""
    n = np.array(counts, np.int64)
    low, high = n * (-128 - x.zero_point), n * (127 - x.zero_point)

    def make(output: QuantizedTensor, margin: float) -> Requantizer | None:
        ratio = (x.scale / (output.scale * n.astype(np.float32))).astype(np.float32)
        made = make_requantizer(ratio, low, high, output.zero_point, lowering.bounds(node, output))
        for count, least, greatest in zip(counts, low, high, strict=True):
            sums = np.arange(least, greatest + 1) if greatest - least < 2**20 else np.empty(0)
            if not clear_of_ties(sums * (float(x.scale) / float(output.scale) / count), margin):
                return None
        return made if equal_on_range(made, low, high).all() else None

    return lowering.nudge_output(node, make)


def window_counts(step: Step, spatial: Shape) -> NDArray[np.int64]:
    """How many values each output position averages, less 1 (index into the requantiser); 0 if all have the same."""
    ones = np.ones((1, 1, *spatial), np.int64)
    if len(step.requantizer.ratio) == 1:
        return np.zeros(1, np.int64)
    return sum_windows(ones, step)[0, 0] - 1


def sum_windows(x: NDArray[np.int64], step: Step) -> NDArray[np.int64]:
    """Sums of windows of x [n, channels, *spatial], zero outside."""
    kernel, strides = step.attributes["kernel_shape"], step.attributes["strides"]
    pads = list(step.attributes["pads"])
    if step.attributes["ceil_mode"]:
        rank = len(kernel)
        for i, size in enumerate(x.shape[2:]):
            room = size + pads[i] + pads[rank + i] - kernel[i]
            pads[rank + i] += -room % strides[i]
    view = windows(pad_spatial(x, pads, 0), kernel, strides, (1,) * len(kernel))
    return np.asarray(view.sum(axis=tuple(range(-len(kernel), 0))))


def run(program: IntegerProgram, step: Step, inputs: Sequence[Int8]) -> Int8:
    x, y = inputs[0].astype(np.int64), program.tensors[step.output]
    sums = sum_windows(x - program.tensors[step.inputs[0]].zero_point, step)
    r, counts = step.requantizer, window_counts(step, x.shape[2:])
    per_position = Requantizer(r.ratio[counts], r.multiplier[counts], r.shift[counts], r.left, r.zero_point, r.low, r.high)
    flat = sums.reshape(*sums.shape[:2], -1)
    q = per_position_apply(per_position, flat)
    return q.reshape(len(x), *y.shape)


def per_position_apply(r: Requantizer, sums: NDArray[np.int64]) -> Int8:
    """Apply a requantiser with one entry a position (or one for all) to sums [n, channels, positions]."""
    flat = Requantizer(r.ratio.ravel(), r.multiplier.ravel(), r.shift.ravel(), r.left, r.zero_point, r.low, r.high)
    return flat.apply(sums, axis=2)


def qdq(writer: QdqWriter, step: Step) -> None:
    x = writer.value(step.inputs[0])
    op = step.attributes["op"]
    if op == "GlobalAveragePool":
        y = writer.node(op, [x])
    elif op == "ReduceMean":
        y = writer.reduce_mean(x, [a + 1 for a in step.attributes["axes"]], step.attributes["keepdims"])
    else:
        names = ("kernel_shape", "strides", "pads")
        y = writer.node(
            op, [x], **{name: list(step.attributes[name]) for name in names},
            count_include_pad=step.attributes["count_include_pad"], ceil_mode=step.attributes["ceil_mode"],
        )  # fmt: skip
    writer.output(step, y)


KERNEL = Kernel("mean", ("AveragePool", "GlobalAveragePool", "ReduceMean"), lower, run, qdq, mean_layer, layout="last")
