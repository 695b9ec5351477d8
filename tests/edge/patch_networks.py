"""Random first layers for the tests of patch-wise execution: windows of every kind, residual branches, a head."""

from __future__ import annotations

from hypothesis import strategies as st
from program_samples import chain
from random_networks import Growing

from trine.compilers.graph import Graph, Shape

Draw = st.DrawFn


def _window(draw: Draw, shape: Shape) -> dict[str, tuple[int, ...]] | None:
    """A window that fits: taps, strides, dilations, pads of either end."""
    taps = tuple(draw(st.integers(1, 4)) for _ in shape[1:])
    dilations = tuple(draw(st.sampled_from([1, 1, 2])) for _ in shape[1:])
    reach = [(t - 1) * d for t, d in zip(taps, dilations, strict=True)]
    begins, ends = (tuple(draw(st.integers(0, r)) for r in reach) for _ in range(2))
    if any(s + b + e <= r for s, b, e, r in zip(shape[1:], begins, ends, reach, strict=True)):
        return None
    strides = tuple(draw(st.integers(1, 3)) for _ in taps)
    return {"kernel_shape": taps, "strides": strides, "dilations": dilations, "pads": begins + ends}


def _conv(draw: Draw, net: Growing, source: str, same: bool = False) -> None:
    shape = net.shapes[source]
    rank = len(shape) - 1
    window = None if same else _window(draw, shape)
    if window is None:
        ones = (1,) * rank
        window = {"kernel_shape": (3,) * rank, "strides": ones, "dilations": ones, "pads": ones * 2}
    depthwise = shape[0] > 1 and draw(st.booleans())
    out = shape[0] if same or depthwise else draw(st.integers(1, 6))
    weight = net.constant(out, 1 if depthwise else shape[0], *window.pop("kernel_shape"))
    net.add("Conv", (source, weight, net.constant(out)), **window, group=shape[0] if depthwise else 1)


def _pool(draw: Draw, net: Growing) -> None:
    shape = net.shapes[net.last]
    window = _window(draw, shape)
    if window is None:
        return
    if draw(st.booleans()):
        net.add("MaxPool", (net.last,), **window)
        return
    counted, rank = draw(st.integers(0, 1)), len(shape) - 1
    # Cells of the end's padding that a rounded-up window covers without counting them.
    uncounted = tuple(
        draw(st.integers(0, end)) if dilation == 1 else 0
        for end, dilation in zip(window["pads"][rank:], window["dilations"], strict=True)
    )
    net.add("AveragePool", (net.last,), **window, count_include_pad=counted, uncounted=uncounted)


def _residual(draw: Draw, net: Growing) -> None:
    """A branch of one or two convolutions, added, multiplied or joined channel by channel to what it began with."""
    start = net.last
    for _ in range(draw(st.integers(1, 2))):
        _conv(draw, net, net.last, same=True)
    op = draw(st.sampled_from(["Add", "Mul", "Concat"]))
    net.add(op, (start, net.last), **({"axis": 0} if op == "Concat" else {}))


@st.composite
def early_layers(draw: Draw) -> Graph:
    """Two to five such layers on a signal or an image; behind them a mean and a dense layer, or nothing."""
    rank = draw(st.integers(1, 2))
    shape = (draw(st.integers(1, 5)), *(draw(st.integers(5, 16)) for _ in range(rank)))
    net = Growing(shape, draw(st.integers(0, 2**16)))
    for _ in range(draw(st.integers(2, 5))):
        kind = draw(st.sampled_from(["conv", "conv", "pool", "residual", "activation"]))
        if kind == "conv":
            _conv(draw, net, net.last)
        elif kind == "pool":
            _pool(draw, net)
        elif kind == "residual":
            _residual(draw, net)
        else:
            net.add(draw(st.sampled_from(["Relu", "Sigmoid", "HardSwish"])), (net.last,))
        if net.shapes[net.last][1] < 3:
            break
    if not net.nodes:
        _conv(draw, net, net.last, same=True)
    if draw(st.booleans()):
        net.add("GlobalAveragePool", (net.last,))
        size = net.shapes[net.last][0]
        net.add("Reshape", (net.last,), shape=(size,))
        net.add("Gemm", (net.last, net.constant(3, size), net.constant(3)))
    return chain("early", [("x", shape)], net.nodes, net.constants)
