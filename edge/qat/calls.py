"""What each operator is in torch: the same function of one example as its `Operator.run`, with a gradient."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import pi, sqrt
from typing import Any

from trine.compilers.graph import Node, Shape
from trine.compilers.normalisation import runs_of

Call = Callable[[Any, Node, Sequence[Any]], Any]  # torch, the node, its arguments -> the output
Function = Callable[[Any, Mapping[str, Any], Any], Any]  # torch, attributes, one value -> the output


def sided(pads: Sequence[int]) -> list[int]:
    """ONNX pads (begin..., end...) as torch takes them: begin and end of the last axis first."""
    rank = len(pads) // 2
    return [p for i in reversed(range(rank)) for p in (pads[i], pads[rank + i])]


def convolution(torch: Any, node: Node, arguments: Sequence[Any]) -> Any:
    """Conv of one or two dimensions, any padding."""
    x, weight, *bias = arguments
    a, rank = node.attributes, weight.dim() - 2
    run = torch.nn.functional.conv1d if rank == 1 else torch.nn.functional.conv2d
    x = torch.nn.functional.pad(x, sided(a["pads"]))
    return run(x, weight, *bias, stride=a["strides"], dilation=a["dilations"], groups=int(a["group"]))


def greatest(torch: Any, node: Node, arguments: Sequence[Any]) -> Any:
    """MaxPool: padding never wins."""
    a = node.attributes
    x = torch.nn.functional.pad(arguments[0], sided(a["pads"]), value=float("-inf"))
    run = getattr(torch.nn.functional, f"max_pool{len(a['kernel_shape'])}d")
    return run(x, tuple(a["kernel_shape"]), tuple(a["strides"]), dilation=tuple(a["dilations"]))


def mean(torch: Any, node: Node, arguments: Sequence[Any]) -> Any:
    """AveragePool without padding or dilation (see `limit`)."""
    a = node.attributes
    run = getattr(torch.nn.functional, f"avg_pool{len(a['kernel_shape'])}d")
    return run(arguments[0], tuple(a["kernel_shape"]), tuple(a["strides"]))


def pads_or_dilates(node: Node) -> str | None:
    """Why an AveragePool cannot be trained."""
    a = node.attributes
    if any(a["pads"]) or any(d != 1 for d in a.get("dilations", (1,))):
        return "with padding or dilation"
    return None


def padded(torch: Any, node: Node, arguments: Sequence[Any]) -> Any:
    """Pad with a constant; negative pads crop."""
    return torch.nn.functional.pad(
        arguments[0], sided(node.attributes["pads"]), value=node.attributes["value"]
    )


def sliced(torch: Any, node: Node, arguments: Sequence[Any]) -> Any:
    """Slice, steps of either sign."""
    x, a = arguments[0], node.attributes
    for axis, (start, step, count) in enumerate(zip(a["starts"], a["steps"], a["counts"], strict=True), 1):
        x = x.index_select(axis, torch.arange(count) * step + start)
    return x


def normalised(torch: Any, node: Node, arguments: Sequence[Any]) -> Any:
    """Layer, RMS, instance and group normalisation."""
    x, gamma, *beta = arguments
    runs = runs_of(node, tuple(x.shape[1:]))
    rows = x.reshape(len(x), runs.count, runs.length)
    rows = rows - rows.mean(2, keepdim=True) if runs.centred else rows
    rows = rows / torch.sqrt((rows**2).mean(2, keepdim=True) + runs.epsilon)
    every = (torch.arange(runs.count * runs.length) // runs.inner) % runs.channels
    rows = rows * gamma.reshape(-1)[every].reshape(runs.count, runs.length)
    if beta:
        rows = rows + beta[0].reshape(-1)[every].reshape(runs.count, runs.length)
    return rows.reshape(x.shape)


def attention(torch: Any, node: Node, arguments: Sequence[Any]) -> Any:
    """softmax(scale * a b) v, over the scores that a mask shows; 0 for a row without any."""
    a, b, v, *mask = arguments
    scores = node.attributes["scale"] * (a @ b)
    if not mask:
        return torch.softmax(scores, -1) @ v
    shown = mask[0].bool()
    return (torch.softmax(torch.where(shown, scores, -1e30), -1) * shown) @ v


def scaled(torch: Any, node: Node, arguments: Sequence[Any]) -> Any:
    """BatchNormalization in normal form: a factor and an offset a channel."""
    x, factor, offset = arguments
    column = (-1, *(1,) * (x.dim() - 2))
    return x * factor.reshape(column) + offset.reshape(column)


def alike(torch: Any, node: Node, arguments: Sequence[Any]) -> list[Any]:
    """Operands of one rank."""
    align = node.attributes.get("align", (0,) * len(arguments))
    return [
        x.reshape(x.shape[0], *(1,) * k, *x.shape[1:]) if k else x
        for x, k in zip(arguments, align, strict=True)
    ]


def several(function: Callable[[Any, Any, Any], Any]) -> Call:
    """An operator on operands that broadcast: function(torch, a, b), from the left."""

    def run(torch: Any, node: Node, arguments: Sequence[Any]) -> Any:
        first, *rest = alike(torch, node, arguments)
        for other in rest:
            first = function(torch, first, other)
        return first

    return run


def unary(function: Function) -> Call:
    """An operator on one value."""
    return lambda torch, node, arguments: function(torch, node.attributes, arguments[0])


def reduced(function: Callable[[Any, Any, tuple[int, ...], bool], Any]) -> Call:
    """A reduction over axes of one example: function(torch, x, axes, keepdims)."""

    def run(torch: Any, node: Node, arguments: Sequence[Any]) -> Any:
        axes = tuple(axis + 1 for axis in node.attributes["axes"])
        return function(torch, arguments[0], axes, bool(node.attributes["keepdims"]))

    return run


def reshaped(torch: Any, node: Node, arguments: Sequence[Any]) -> Any:
    """Reshape of one example."""
    shape: Shape = tuple(node.attributes["shape"])
    return arguments[0].reshape(len(arguments[0]), *shape)


def gelu(torch: Any, a: Mapping[str, Any], x: Any) -> Any:
    """Exact, or its approximation by tanh."""
    if a["approximate"] == "none":
        return 0.5 * x * (1 + torch.erf(x * sqrt(0.5)))
    return 0.5 * x * (1 + torch.tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))


CALLS: Mapping[str, Call] = {
    "Conv": convolution,
    "Gemm": lambda torch, node, a: torch.nn.functional.linear(*a),
    "MatMul": lambda torch, node, a: torch.matmul(*a),
    "RowAttention": attention,
    "MaxPool": greatest,
    "AveragePool": mean,
    "GlobalAveragePool": lambda torch, node, a: a[0].mean(dim=tuple(range(2, a[0].dim())), keepdim=True),
    "BatchNormalization": scaled,
    "LayerNormalization": normalised,
    "RMSNormalization": normalised,
    "InstanceNormalization": normalised,
    "GroupNormalization": normalised,
    "Reshape": reshaped,
    "Transpose": lambda torch, node, a: a[0].permute(0, *(p + 1 for p in node.attributes["perm"])),
    "Concat": lambda torch, node, a: torch.cat(list(a), dim=node.attributes["axis"] + 1),
    "Pad": padded,
    "Slice": sliced,
    "Add": several(lambda torch, x, y: x + y),
    "Sub": several(lambda torch, x, y: x - y),
    "Mul": several(lambda torch, x, y: x * y),
    "Div": several(lambda torch, x, y: x / y),
    "Max": several(lambda torch, x, y: torch.maximum(x, y)),
    "Min": several(lambda torch, x, y: torch.minimum(x, y)),
    "ReduceMean": reduced(lambda torch, x, axes, keep: x.mean(axes, keepdim=keep)),
    "ReduceSum": reduced(lambda torch, x, axes, keep: x.sum(axes, keepdim=keep)),
    "ReduceMax": reduced(lambda torch, x, axes, keep: x.amax(axes, keepdim=keep)),
    "ReduceMin": reduced(lambda torch, x, axes, keep: x.amin(axes, keepdim=keep)),
    "Softmax": lambda torch, node, a: torch.softmax(a[0], dim=node.attributes["axis"] + 1),
    "Identity": unary(lambda torch, a, x: x),
    "Dropout": unary(lambda torch, a, x: x),
    "Relu": unary(lambda torch, a, x: torch.relu(x)),
    "Clip": unary(lambda torch, a, x: torch.clamp(x, a.get("min"), a.get("max"))),
    "LeakyRelu": unary(lambda torch, a, x: torch.where(x < 0, a["alpha"] * x, x)),
    "Elu": unary(lambda torch, a, x: torch.where(x < 0, a["alpha"] * torch.expm1(x.clamp(max=0)), x)),
    "Softplus": unary(lambda torch, a, x: torch.nn.functional.softplus(x, threshold=80)),
    "Sigmoid": unary(lambda torch, a, x: torch.sigmoid(x)),
    "Tanh": unary(lambda torch, a, x: torch.tanh(x)),
    "HardSigmoid": unary(lambda torch, a, x: torch.clamp(a["alpha"] * x + a["beta"], 0, 1)),
    "HardSwish": unary(lambda torch, a, x: x * torch.clamp(x / 6 + 0.5, 0, 1)),
    "Swish": unary(lambda torch, a, x: x * torch.sigmoid(a["alpha"] * x)),
    "Gelu": unary(gelu),
    "Erf": unary(lambda torch, a, x: torch.erf(x)),
    "Exp": unary(lambda torch, a, x: torch.exp(x)),
    "Log": unary(lambda torch, a, x: torch.log(x)),
    "Sqrt": unary(lambda torch, a, x: torch.sqrt(x)),
    "Neg": unary(lambda torch, a, x: -x),
    "Abs": unary(lambda torch, a, x: torch.abs(x)),
}

# What is left out of an operator above: the reason, or None.
LIMITS: Mapping[str, Callable[[Node], str | None]] = {
    "AveragePool": pads_or_dilates,
    "MatMul": lambda node: "operands of different rank" if "ranks" in node.attributes else None,
    "Pad": lambda node: None if node.attributes["mode"] == "constant" else f"mode {node.attributes['mode']}",
    "Conv": lambda node: None if len(node.attributes["strides"]) < 3 else "three dimensions",
}


def why_not(node: Node) -> str | None:
    """Why a node cannot be trained through, or None."""
    if node.op not in CALLS:
        return "no form in torch"
    if len([name for name in node.outputs if name]) > 1:
        return "several outputs"
    if any(not name for name in node.inputs):
        return "an input in the middle left out"
    return LIMITS[node.op](node) if node.op in LIMITS else None
