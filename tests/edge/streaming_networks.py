"""Random networks along time, drawn by hypothesis: causal and padded sequences, and windows with a head."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from program_samples import chain
from random_networks import Growing

from trine.compilers.graph import Graph

Draw = st.DrawFn


def _conv(draw: Draw, net: Growing, causal: bool) -> None:
    channels, length = net.shapes[net.last]
    stride = draw(st.sampled_from([1, 1, 1, 2, 3])) if length > 30 else 1
    kernel, dilation = draw(st.integers(1, 4)), draw(st.sampled_from([1, 1, 2, 3]))
    reach = (kernel - 1) * dilation
    kind = draw(st.sampled_from(["dense", "dense", "depthwise", "grouped"]))
    group = 1 if kind == "dense" else channels
    out = draw(st.integers(1, 5)) if kind == "dense" else channels * (1 if kind == "depthwise" else 2)
    before = max(reach - draw(st.integers(0, stride - 1)), 0) if causal else draw(st.integers(0, reach))
    after = 0 if causal else draw(st.integers(0, reach))
    if reach >= length + before + after:
        return
    weight, bias = net.constant(out, channels // group, kernel), net.constant(out)
    net.add(
        "Conv", (net.last, weight, bias),
        strides=(stride,), dilations=(dilation,), pads=(before, after), group=group,
    )  # fmt: skip


def _pool(draw: Draw, net: Growing, causal: bool) -> None:
    _, length = net.shapes[net.last]
    kernel = draw(st.integers(1, 3))
    stride = draw(st.integers(1, 2)) if length > 30 else 1
    pads = (kernel - 1, 0) if causal else (draw(st.integers(0, kernel - 1)), draw(st.integers(0, kernel - 1)))
    window = {"kernel_shape": (kernel,), "strides": (stride,), "dilations": (1,)}
    if draw(st.booleans()):
        net.add("MaxPool", (net.last,), **window, pads=pads)
    else:
        net.add("AveragePool", (net.last,), **window, pads=pads, count_include_pad=1, uncounted=(0,))


def _join(draw: Draw, net: Growing, causal: bool) -> None:
    """A branch beside the last layer, joined again: residual, product or concat over channels."""
    start = net.last
    channels = net.shapes[start][0]
    kernel = draw(st.integers(1, 3))
    pads = (kernel - 1, 0) if causal else ((kernel - 1) // 2, kernel // 2)
    weight, bias = net.constant(channels, channels, kernel), net.constant(channels)
    net.add("Conv", (start, weight, bias), strides=(1,), dilations=(1,), pads=pads, group=1)
    op = draw(st.sampled_from(["Add", "Mul", "Concat"]))
    net.add(op, (start, net.last), **({"axis": 0} if op == "Concat" else {}))


def _pointwise(draw: Draw, net: Growing, causal: bool) -> None:
    channels = net.shapes[net.last][0]
    choice = draw(st.sampled_from(["Relu", "Sigmoid", "Tanh", "scale", "softmax", "rows"]))
    if choice == "scale":
        net.add("Add", (net.last, net.constant(channels, 1)))
    elif choice == "softmax":
        net.add("Softmax", (net.last,), axis=0)
    elif choice == "rows":
        out = draw(st.integers(1, 5))
        net.add("Transpose", (net.last,), perm=(1, 0))
        net.add("MatMul", (net.last, net.constant(channels, out)))
        net.add("Transpose", (net.last,), perm=(1, 0))
    else:
        net.add(choice, (net.last,))


LAYERS = st.sampled_from([_conv, _conv, _conv, _pool, _join, _pointwise])


@st.composite
def sequences(draw: Draw, causal: bool | None = None) -> Graph:
    """A network whose output has a time axis."""
    causal = draw(st.booleans()) if causal is None else causal
    net = Growing((draw(st.integers(1, 4)), 120), draw(st.integers(0, 2**16)))
    for _ in range(draw(st.integers(1, 5))):
        draw(LAYERS)(draw, net, causal)
    if not net.nodes:
        net.add("Relu", (net.last,))
    return chain("sequence", [("x", net.shapes["x"])], net.nodes, net.constants, (net.last,))


@st.composite
def windows(draw: Draw) -> Graph:
    """A network that sees a window and gives scores: layers along time, then a mean or a flattening, then dense layers;
    now and then a second input that has no time axis."""
    net = Growing((draw(st.integers(1, 4)), draw(st.integers(40, 90))), draw(st.integers(0, 2**16)))
    net.add("Conv", ("x", net.constant(3, net.shapes["x"][0], 3), net.constant(3)),
            strides=(1,), dilations=(1,), pads=(0, 0), group=1)  # fmt: skip
    for _ in range(draw(st.integers(0, 4))):
        draw(LAYERS)(draw, net, False)
    head = draw(st.sampled_from(["mean", "rows", "flatten", "attention"]))
    if head == "mean":
        net.add("GlobalAveragePool", (net.last,))
    elif head == "rows":
        net.add("Transpose", (net.last,), perm=(1, 0))
        net.add("ReduceMean", (net.last,), axes=(0,), keepdims=0)
    elif head == "attention":
        net.add("Softmax", (net.last,), axis=1)
    size = int(np.prod(net.shapes[net.last]))
    if len(net.shapes[net.last]) > 1:
        net.add("Reshape", (net.last,), shape=(size,))
    inputs = [("x", net.shapes["x"])]
    if draw(st.booleans()):
        net.shapes["extra"] = (3,)
        net.add("Concat", (net.last, "extra"), axis=0)
        inputs.append(("extra", (3,)))
        size += 3
    net.add("Gemm", (net.last, net.constant(4, size), net.constant(4)))
    return chain("window", inputs, net.nodes, net.constants, (net.last,))
