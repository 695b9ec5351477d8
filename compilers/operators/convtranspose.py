"""ConvTranspose, 1-D and 2-D: dense and grouped; strides, dilations, all paddings (ONNX ConvTranspose-11).

Normal form: inputs (x, weight[, bias]); weight (in, out/group, *kernel) and bias (out,) are constants; attributes
strides, dilations, output_padding (one a spatial axis), pads (begin..., end...; negative ones add), group. Output i
along an axis is the sum over taps k and inputs j with i + begin = j * stride + k * dilation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trine.compilers.graph import Array, Node, Shape
from trine.compilers.movement import text
from trine.compilers.operators import Case, Form, Operator, SourceNode, Unsupported
from trine.compilers.operators.conv import convolve, spatial_ints


def read(source: SourceNode) -> Node:
    source.first_is_batch()
    x, weight = source.shape(), source.constant(1, "the weight")
    rank, group = weight.ndim - 2, source.integer("group", 1)
    if rank not in (1, 2) or len(x) != rank + 1:
        raise Unsupported(
            f"weight {weight.shape} on an input of shape {x} an example; 1-D and 2-D are supported"
        )
    outputs = weight.shape[1] * group
    if source.has(2) and source.constant(2, "the bias").shape != (outputs,):
        raise Unsupported(f"bias {source.shape(2)} for {outputs} outputs")
    kernel = tuple(source.attributes.get("kernel_shape", weight.shape[2:]))
    if kernel != weight.shape[2:] or x[0] != weight.shape[0] or weight.shape[0] % group:
        raise Unsupported(
            f"kernel_shape {kernel}, weight {weight.shape} and group {group} on {x[0]} channels"
        )
    strides, dilations = (spatial_ints(source, name, rank) for name in ("strides", "dilations"))
    extra = tuple(int(v) for v in source.attributes.get("output_padding", (0,) * rank))
    if len(extra) != rank or min(extra) < 0:
        raise Unsupported(f"output_padding {extra} for {rank} spatial axes")
    attributes = {
        "strides": strides, "dilations": dilations, "output_padding": extra, "group": group,
        "pads": _pads(source, x[1:], strides, dilations, extra, kernel),
    }  # fmt: skip
    node = Node(
        "ConvTranspose", source.name, tuple(n for n in source.inputs if n), source.outputs, attributes
    )
    if min(shapes(node, [x, weight.shape])[0]) < 1:
        raise Unsupported(f"pads {attributes['pads']} leave nothing of the output")
    return node


def _pads(
    source: SourceNode, spatial: Shape, strides: Shape, dilations: Shape, extra: Shape, kernel: Shape
) -> tuple[int, ...]:
    """Explicit pads (begin..., end...) from pads, auto_pad or output_shape (ONNX's formulas)."""
    rank, mode = len(kernel), text(source, "auto_pad", "NOTSET") or "NOTSET"
    wanted = source.attributes.get("output_shape")
    if not wanted and mode not in ("SAME_UPPER", "SAME_LOWER"):
        pads = (
            (0,) * (2 * rank) if mode == "VALID" else tuple(source.attributes.get("pads", (0,) * (2 * rank)))
        )
        if len(pads) != 2 * rank:
            raise Unsupported(f"pads {pads} for {rank} spatial axes")
        return tuple(int(p) for p in pads)
    sizes = [int(s) for s in wanted] if wanted else [i * s for i, s in zip(spatial, strides, strict=True)]
    begins, ends = [], []
    for size, i, s, d, k, more in zip(sizes[-rank:], spatial, strides, dilations, kernel, extra, strict=True):
        total = s * (i - 1) + more + (k - 1) * d + 1 - size
        small, large = abs(total) // 2 * (1 if total > 0 else -1), 0
        large = total - small
        # Where the output is larger than all windows together, the zeros stand at its end.
        first = (small if mode == "SAME_UPPER" else large) if total > 0 else 0
        begins.append(first)
        ends.append(total - first)
    return (*begins, *ends)


def shapes(node: Node, inputs: Sequence[Shape]) -> list[Shape]:
    a, x, weight = node.attributes, inputs[0], inputs[1]
    rank = len(weight) - 2
    sizes = tuple(
        a["strides"][i] * (x[1 + i] - 1) + a["output_padding"][i] + (weight[2 + i] - 1) * a["dilations"][i] + 1
        - a["pads"][i] - a["pads"][rank + i]
        for i in range(rank)
    )  # fmt: skip
    return [(weight[1] * a["group"], *sizes)]


def as_conv_weight(weight: Array, group: int) -> Array:
    """(in, out/group, *kernel) as Conv has it, (out, in/group, *kernel); the taps in their order. Its own inverse."""
    apart = weight.reshape(group, weight.shape[0] // group, *weight.shape[1:])
    return np.ascontiguousarray(
        np.swapaxes(apart, 1, 2).reshape(-1, weight.shape[0] // group, *weight.shape[2:])
    )


def spread(x: Array, node: Node, kernel: Shape) -> Array:
    """x with zeros between and around its values, so that a plain Conv with the taps reversed gives the output."""
    a, rank = node.attributes, len(kernel)
    sizes = [(size - 1) * s + 1 for size, s in zip(x.shape[2:], a["strides"], strict=True)]
    full = np.zeros((*x.shape[:2], *sizes), x.dtype)
    places: tuple[Any, ...] = (..., *(slice(None, None, s) for s in a["strides"]))
    full[places] = x
    for i in range(rank):
        reach = (kernel[i] - 1) * a["dilations"][i]
        begin = reach - a["pads"][i]
        end = reach - a["pads"][rank + i] + a["output_padding"][i]
        widths = [(0, 0)] * full.ndim
        widths[2 + i] = (max(begin, 0), max(end, 0))
        full = np.pad(full, widths)
        full = full[(slice(None),) * (2 + i) + (slice(max(-begin, 0), min(end, 0) or None),)]
    return full


def gather_sums(x: Array, conv_weight: Array, node: Node) -> Array:
    """The sums of products, in the arrays' own type; conv_weight (out, in/group, *kernel), taps in their order."""
    kernel = conv_weight.shape[2:]
    reversed_taps = np.flip(conv_weight, tuple(range(2, conv_weight.ndim)))
    plain = {
        "strides": (1,) * len(kernel),
        "dilations": node.attributes["dilations"],
        "group": node.attributes["group"],
    }
    conv = Node("Conv", node.name, node.inputs, node.outputs, plain)
    return convolve(spread(x, node, kernel), reversed_taps, conv)


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    x, weight = arguments[0], arguments[1]
    y = gather_sums(x, as_conv_weight(weight, node.attributes["group"]), node)
    if len(arguments) > 2:
        y = y + arguments[2].reshape(-1, *([1] * (weight.ndim - 2)))
    return [y.astype(x.dtype, copy=False)]


def macs(node: Node, inputs: Sequence[Shape], output: Shape) -> int:
    return int(np.prod(inputs[0])) * int(np.prod(inputs[1][1:]))


def _case(name: str, x: Shape, weight: Shape, bias: bool = True, **attributes: object) -> Case:
    rng = np.random.default_rng(sum(map(ord, name)))
    rank = len(weight) - 2
    ones, zeros = (1,) * rank, (0,) * rank
    full = {
        "strides": ones,
        "dilations": ones,
        "output_padding": zeros,
        "pads": zeros * 2,
        "group": 1,
        **attributes,
    }
    group = full["group"]
    assert isinstance(group, int)
    w = rng.normal(0, 0.3, weight).astype(np.float32)
    b = rng.normal(0, 0.3, weight[1] * group).astype(np.float32)
    return Case(name, (x,), full, (w, b) if bias else (w,))


def _weight(*shape: int) -> dict[int, Array | None]:
    return {1: np.random.default_rng(len(shape)).normal(0, 0.3, shape).astype(np.float32)}


OPERATOR = Operator(
    "ConvTranspose", read, shapes, run,
    (
        _case("1d", (4, 9), (4, 6, 3)),
        _case("1d_strided", (5, 7), (5, 3, 5), strides=(5,)),
        _case("1d_strided_padded", (3, 8), (3, 4, 4), strides=(2,), pads=(1, 2), output_padding=(1,)),
        _case("1d_gaps", (2, 6), (2, 3, 2), strides=(3,), bias=False),
        _case("1d_dilated", (3, 7), (3, 4, 3), strides=(2,), dilations=(3,), pads=(2, 1)),
        _case("1d_dilated_common_factor", (2, 7), (2, 3, 3), strides=(4,), dilations=(2,)),
        _case("1d_depthwise", (6, 8), (6, 1, 4), group=6, strides=(2,), pads=(1, 1)),
        _case("2d", (3, 4, 5), (3, 2, 3, 3), pads=(1, 1, 1, 1)),
        _case("2d_strided", (3, 4, 3), (3, 5, 3, 2), strides=(2, 3), pads=(1, 0, 0, 1), output_padding=(1, 0)),
        _case("2d_grouped", (4, 3, 4), (4, 3, 2, 2), group=2, strides=(2, 2)),
    ),
    macs,
    forms=(
        Form("no_attributes", ((3, 6),), {}, _weight(3, 2, 4)),
        Form("same_upper", ((3, 6),), {"auto_pad": "SAME_UPPER", "strides": (2,)}, _weight(3, 2, 5)),
        Form("same_lower", ((3, 4, 5),), {"auto_pad": "SAME_LOWER", "strides": (2, 3)}, _weight(3, 2, 3, 4)),
        Form("valid", ((3, 6),), {"auto_pad": "VALID", "strides": (2,)}, _weight(3, 2, 3)),
        Form("output_shape", ((3, 6),), {"output_shape": (12,), "strides": (2,)}, _weight(3, 2, 4)),
        Form("kernel_shape_and_bias", ((3, 6),), {"kernel_shape": (2,), "dilations": (2,)},
             {**_weight(3, 2, 2), 2: np.array([0.5, -1], np.float32)}),
    ),
)  # fmt: skip
