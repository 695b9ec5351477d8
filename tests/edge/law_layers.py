"""Random layers with weights, windows or heads, and for every kernel the networks of its law."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st
from law_networks import (
    SHAPES,
    Draw,
    along_axis,
    gathers,
    network,
    normal,
    on_axes,
    on_one,
    on_operands,
    perhaps_followed,
    scatters,
    sizes,
)  # fmt: skip
from program_samples import extend

from trine.compilers.graph import Graph, Node, Shape
from trine.compilers.operators import operators
from trine.edge.operators.table import UNARY


@st.composite
def windows(draw: Draw, most_pad: int = 2) -> tuple[Shape, dict[str, Any]]:
    """(channels, *spatial) of one or two axes and a window on them: taps, strides, dilations, pads."""
    rank = draw(st.integers(1, 2))
    kernel, dilations, strides = sizes(draw, rank, 4), sizes(draw, rank, 2), sizes(draw, rank, 3)
    pads = tuple(draw(st.integers(0, min(most_pad, k - 1))) for k in (*kernel, *kernel))
    spatial = tuple((k - 1) * d + 1 + draw(st.integers(0, 4)) for k, d in zip(kernel, dilations, strict=True))
    window = {"kernel_shape": kernel, "strides": strides, "dilations": dilations, "pads": pads}
    return (draw(st.integers(1, 6)), *spatial), window


@st.composite
def convs(draw: Draw) -> Graph:
    """Conv of one or two axes: dense, grouped or depthwise, with a bias or without, some channels without weights."""
    (channels, *spatial), window = draw(windows())
    kind = draw(st.sampled_from(("dense", "depthwise", "grouped")))
    group = {"dense": 1, "depthwise": channels, "grouped": 2}[kind]
    channels = channels * 2 if kind == "grouped" else channels
    out = group * (1 if kind == "depthwise" else draw(st.integers(1, 4)))
    weight = normal(draw, out, channels // group, *window.pop("kernel_shape"))
    if draw(st.booleans()):
        weight[0] = 0
    constants = {1: weight, **({2: normal(draw, out)} if draw(st.booleans()) else {})}
    return perhaps_followed(
        draw, network("Conv", [((channels, *spatial), "float32")], {**window, "group": group}, constants)
    )


@st.composite
def denses(draw: Draw) -> Graph:
    """Gemm, or rows times a constant matrix."""
    inner, out = draw(st.integers(1, 40)), draw(st.integers(1, 9))
    if draw(st.booleans()):
        constants = {1: normal(draw, out, inner), **({2: normal(draw, out)} if draw(st.booleans()) else {})}
        return perhaps_followed(draw, network("Gemm", [((inner,), "float32")], {}, constants))
    lead = draw(st.lists(st.integers(1, 4), min_size=1, max_size=2).map(tuple))
    return perhaps_followed(
        draw, network("MatMul", [((*lead, inner), "float32")], {}, {1: normal(draw, inner, out)})
    )


@st.composite
def products(draw: Draw) -> Graph:
    """MatMul of two activations whose leading axes broadcast, or of one and a constant stack on either side."""
    m, k, n = sizes(draw, 3, 6)
    lead = draw(st.lists(st.integers(1, 3), max_size=2).map(tuple))
    repeats = [tuple(size if draw(st.booleans()) else 1 for size in lead) for _ in range(2)]
    a, b = (*repeats[0], m, k), (*repeats[1], k, n)
    place = draw(st.sampled_from((None, 0, 1) if len(lead) else (None, 0)))
    if place is None:
        return perhaps_followed(draw, network("MatMul", [(a, "float32"), (b, "float32")]))
    given_, constant = ((b, a), (a, b))[place]
    return perhaps_followed(
        draw, network("MatMul", [(given_, "float32")], {}, {place: normal(draw, *constant)})
    )


@st.composite
def greatest_of_windows(draw: Draw) -> Graph:
    shape, window = draw(windows())
    return network("MaxPool", [(shape, "float32")], window)


@st.composite
def means(draw: Draw) -> Graph:
    """AveragePool with and without counted padding, GlobalAveragePool, ReduceMean over all spatial axes."""
    shape, window = draw(windows())
    op = draw(st.sampled_from(("AveragePool", "AveragePool", "GlobalAveragePool", "ReduceMean")))
    attributes: dict[str, Any] = {}
    if op == "AveragePool":
        counted = draw(st.integers(0, 1))
        attributes = {**window, "count_include_pad": counted, "uncounted": (0,) * (len(shape) - 1)}
    if op == "ReduceMean":
        attributes = {"axes": tuple(range(1, len(shape))), "keepdims": draw(st.integers(0, 1))}
    return perhaps_followed(draw, network(op, [(shape, "float32")], attributes))


@st.composite
def means_over_axes(draw: Draw) -> Graph:
    """ReduceMean over axes that are not just the spatial ones."""
    shape = draw(SHAPES)
    axes = draw(st.sets(st.integers(0, len(shape) - 1), min_size=1))
    axes |= {0} if axes == set(range(1, len(shape))) and len(shape) < 4 else set()
    attributes = {"axes": tuple(sorted(axes)), "keepdims": draw(st.integers(0, 1))}
    return perhaps_followed(draw, network("ReduceMean", [(shape, "float32")], attributes))


@st.composite
def joins(draw: Draw) -> Graph:
    """Concat of one to four values."""
    shape = draw(SHAPES)
    axis = draw(st.integers(0, len(shape) - 1))
    parts = [
        (*shape[:axis], draw(st.integers(1, 4)), *shape[axis + 1 :]) for _ in range(draw(st.integers(1, 4)))
    ]
    return network("Concat", [(part, "float32") for part in parts], {"axis": axis})


@st.composite
def turns(draw: Draw) -> Graph:
    shape = draw(SHAPES)
    perm = tuple(draw(st.permutations(range(len(shape)))))
    return network("Transpose", [(shape, "float32")], {"perm": perm})


@st.composite
def reshapes(draw: Draw) -> Graph:
    """Reshape alone, or of what a Conv wrote channels last."""
    channels, *spatial = draw(windows(0))[0]
    count = int(np.prod((channels, *spatial)))
    divisors = [size for size in range(1, count + 1) if count % size == 0]
    first = draw(st.sampled_from(divisors))
    attributes = {"shape": draw(st.sampled_from(((count,), (first, count // first))))}
    if draw(st.booleans()):
        return network("Reshape", [((channels, *spatial), "float32")], attributes)
    rank = len(spatial)
    plain = {"strides": (1,) * rank, "dilations": (1,) * rank, "pads": (0,) * (2 * rank), "group": 1}
    one_tap = {1: normal(draw, channels, channels, *(1,) * rank)}
    conv = network("Conv", [((channels, *spatial), "float32")], plain, one_tap)
    return extend(conv, Node("Reshape", "after", conv.outputs, ("z",), attributes))


@st.composite
def attentions(draw: Draw) -> Graph:
    """Rows of queries, keys and values of some heads; with or without a mask, known or given, for all rows or each."""
    heads = draw(st.lists(st.integers(1, 3), max_size=2).map(tuple))
    rows, depth, values = sizes(draw, 3, 7)
    keys = draw(st.integers(1, 40))
    shapes = [(*heads, rows, depth), (*heads, depth, keys), (*heads, keys, values)]
    scale = draw(st.sampled_from((1 / float(np.sqrt(depth)), 0.01, 3.0)))
    given_, constants = [(shape, "float32") for shape in shapes], {}
    each, every = draw(st.booleans()), draw(st.booleans())
    mask = (*(heads if each else (1,) * len(heads)), rows if every else 1, keys)
    kind = draw(st.sampled_from(("none", "constant", "given")))
    if kind == "given":
        given_.append((mask, "bool"))
    if kind == "constant":
        constants[3] = np.random.default_rng(keys).random(mask) < draw(st.sampled_from((0.2, 0.8)))
    return network("RowAttention", given_, {"scale": scale}, constants)


@st.composite
def mixtures(draw: Draw) -> Graph:
    """Some of several experts, chosen by indices that may leave their range, on one row for all or one row each."""
    experts, chosen, outputs = sizes(draw, 3, 8)
    inputs = draw(st.integers(1, 20))
    shared = draw(st.integers(0, 1))
    spread = np.exp(normal(draw, experts, 1, 1))  # experts of different size: scales of their own
    constants = {2: normal(draw, experts, outputs, inputs) * spread}
    constants |= {3: normal(draw, experts, outputs)} if draw(st.booleans()) else {}
    x = (inputs,) if shared else (chosen, inputs)
    given_ = [(x, "float32"), ((chosen,), "int64")]
    return perhaps_followed(draw, network("ExpertGemm", given_, {"shared": shared}, constants))


def has_few_factors(graph: Graph) -> bool:
    """Whether a product stays inside float32, which onnxruntime multiplies in."""
    (node,) = graph.nodes
    return int(np.prod([graph.shape("x0")[axis] for axis in node.attributes["axes"]])) <= 12


def with_fmod(graph: Graph) -> Graph:
    """Mod as it is of floats."""
    (node,) = graph.nodes
    return replace(graph, nodes=(replace(node, attributes={**node.attributes, "fmod": 1}),))


def arguments(draw: Draw, shape: Shape, axis: int) -> dict[str, Any]:
    keep, last = draw(st.integers(0, 1)), draw(st.integers(0, 1))
    return {"axis": axis, "keepdims": keep, "select_last_index": last}


def one_axis(draw: Draw, shape: Shape, axis: int) -> dict[str, Any]:
    return {"axis": axis}


def running(draw: Draw, shape: Shape, axis: int) -> dict[str, Any]:
    return {"axis": axis, "exclusive": draw(st.integers(0, 1)), "reverse": draw(st.integers(0, 1))}


def top(draw: Draw, shape: Shape, axis: int) -> dict[str, Any]:
    return {"axis": axis, "k": draw(st.integers(1, shape[axis])), "largest": draw(st.integers(0, 1))}


UNARY_CASES = [(op, "float32", operators()[op].cases[-1].attributes) for op in UNARY]
CASTS = [
    *(("Cast", "float32", {"to": to}) for to in ("int64", "int32", "bool")),
    *(("Cast", dtype, {"to": "float32"}) for dtype in ("bool", "int64", "int32")),
]  # fmt: skip
NETWORKS_OF: Mapping[str, st.SearchStrategy[Graph]] = {
    "add": on_operands(("Add", "Sub")),
    "argument": along_axis(("ArgMax", "ArgMin"), arguments),
    "attention": attentions(),
    "cast": on_one(CASTS),
    "compare": on_operands(("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")),
    "concat": joins(),
    "conv": convs(),
    "cumsum": along_axis(("CumSum",), running),
    "dense": denses(),
    "div": on_operands(("Div",), low=0.5),
    "experts": mixtures(),
    "gather": gathers(),
    "log_sum": st.one_of(along_axis(("LogSoftmax",), one_axis), on_axes(("ReduceLogSumExp",))),
    "matmul": products(),
    "max_pool": greatest_of_windows(),
    "mean": means(),
    "mean_axes": means_over_axes(),
    "minmax": st.integers(2, 3).flatmap(lambda n: on_operands(("Min", "Max"), n, ("float32",) * n)),
    "mod": on_operands(("Mod",), low=0.5).map(with_fmod),
    "mul": on_operands(("Mul",)),
    "power": on_operands(("Pow",), low=0.5),
    "prelu": on_operands(("PRelu",), constant_at=(1,), full=(0,)),
    "product": on_axes(("ReduceProd",)).filter(has_few_factors),
    "reduce": on_axes(
        ("ReduceSum", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceSumSquare", "ReduceMax", "ReduceMin")
    ),
    "reshape": reshapes(),
    "scatter": scatters(),
    "softmax": along_axis(("Softmax",), one_axis),
    "table": on_one(UNARY_CASES),
    "topk": along_axis(("TopK",), top),
    "transpose": turns(),
    "where": on_operands(("Where",), 3, ("bool", "float32", "float32")),
}  # fmt: skip
