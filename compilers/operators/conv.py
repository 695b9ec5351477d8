"""Conv, 1-D and 2-D: dense, grouped, depthwise; strides, dilations, all paddings (ONNX Conv-22).

Normal form: inputs (x, weight[, bias]); weight (out, in/group, *kernel) and bias (out,) are constants;
attributes strides, dilations (one a spatial axis), pads (begin..., end...), group.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from trine.compilers.graph import Array, Node, Shape
from trine.compilers.operators import Case, Operator, SourceNode, Unsupported

LARGEST_PADDED = 1 << 25  # values of one example: a few bytes of a file could ask for more


def bounded(shape: Shape, pads: tuple[int, ...]) -> tuple[int, ...]:
    """The pads (begin..., end...) of an input [channels, *spatial]. Raises Unsupported where it would be too large."""
    rank = len(pads) // 2
    padded = [size + pads[i] + pads[rank + i] for i, size in enumerate(shape[1:])]
    if shape[0] * prod(padded) > LARGEST_PADDED:
        raise Unsupported(
            f"pads {pads} make {shape[0] * prod(padded)} values of its input; {LARGEST_PADDED} are supported"
        )
    return pads


def resolve_pads(
    source: SourceNode, spatial: Shape, kernel: Shape, strides: Shape, dilations: Shape
) -> tuple[int, ...]:
    """Explicit pads (begin..., end...) from `pads` or `auto_pad` (SAME: ceil(in/stride) outputs)."""
    rank = len(kernel)
    mode = str(source.attributes.get("auto_pad", "NOTSET") or "NOTSET")
    if mode == "VALID":
        return (0,) * (2 * rank)
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        begin, end = [], []
        for size, k, stride, dilation in zip(spatial, kernel, strides, dilations, strict=True):
            total = max((-(-size // stride) - 1) * stride + (k - 1) * dilation + 1 - size, 0)
            small, large = total // 2, total - total // 2
            begin.append(small if mode == "SAME_UPPER" else large)
            end.append(large if mode == "SAME_UPPER" else small)
        return (*begin, *end)
    pads = tuple(int(p) for p in source.attributes.get("pads", (0,) * (2 * rank)))
    if min(pads, default=0) < 0 or len(pads) != 2 * rank:
        raise Unsupported(f"pads {pads} for {rank} spatial axes")
    return pads


def spatial_ints(source: SourceNode, name: str, rank: int) -> tuple[int, ...]:
    """strides or dilations, one a spatial axis, 1 by default."""
    values = tuple(int(v) for v in source.attributes.get(name, (1,) * rank))
    if len(values) != rank or min(values) < 1:
        raise Unsupported(f"{name} {values} for {rank} spatial axes")
    return values


def window_count(size: int, kernel: int, stride: int, dilation: int, pad: int) -> int:
    """Positions a window takes along one axis (ONNX, ceil_mode 0); pad is begin + end."""
    return (size + pad - dilation * (kernel - 1) - 1) // stride + 1


def windows(x: Array, kernel: Shape, strides: Shape, dilations: Shape) -> Array:
    """Views of a padded array: [..., *spatial] -> [..., *positions, *kernel]."""
    rank = len(kernel)
    reach = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True))
    view = np.lib.stride_tricks.sliding_window_view(x, reach, axis=tuple(range(-rank, 0)))
    steps = [slice(None, None, s) for s in strides] + [slice(None, None, d) for d in dilations]
    selection: tuple[Any, ...] = (Ellipsis, *steps)
    strided: Array = view[selection]
    return strided


def read(source: SourceNode) -> Node:
    source.first_is_batch()
    x = source.shapes[source.inputs[0]]
    weight = source.constant(1, "the weight")
    rank = weight.ndim - 2
    if rank not in (1, 2):
        raise Unsupported(f"{rank} spatial axes; 1-D and 2-D are supported")
    if len(x) != rank + 1:
        raise Unsupported(f"weight {weight.shape} on an input of shape {x} an example")
    if source.has(2) and source.constant(2, "the bias").shape != weight.shape[:1]:
        raise Unsupported(f"bias {source.shape(2)} for {weight.shape[0]} outputs")
    kernel = tuple(source.attributes.get("kernel_shape", weight.shape[2:]))
    if kernel != weight.shape[2:]:
        raise Unsupported(f"kernel_shape {kernel} on weight {weight.shape}")
    group = source.integer("group", 1)
    if x[0] != weight.shape[1] * group or weight.shape[0] % group:
        raise Unsupported(f"{x[0]} channels do not fit weight {weight.shape} with group {group}")
    strides, dilations = (spatial_ints(source, name, rank) for name in ("strides", "dilations"))
    pads = bounded(x, resolve_pads(source, x[1:], weight.shape[2:], strides, dilations))
    node = Node(
        "Conv", source.name, tuple(name for name in source.inputs if name), source.outputs,
        {"strides": strides, "dilations": dilations, "pads": pads, "group": group},
    )  # fmt: skip
    if min(shapes(node, [x, weight.shape])[0]) < 1:
        raise Unsupported(f"the kernel {weight.shape[2:]} is larger than the padded input {x[1:]}")
    return node


def shapes(node: Node, inputs: Sequence[Shape]) -> list[Shape]:
    x, weight = inputs[0], inputs[1]
    rank = len(weight) - 2
    pads = node.attributes["pads"]
    positions = tuple(
        window_count(
            x[1 + i], weight[2 + i], node.attributes["strides"][i], node.attributes["dilations"][i],
            pads[i] + pads[rank + i],
        )
        for i in range(rank)
    )  # fmt: skip
    return [(weight[0], *positions)]


def pad_spatial(x: Array, pads: Sequence[int], value: float) -> Array:
    """x [n, channels, *spatial] padded on its spatial axes with one value."""
    rank = len(pads) // 2
    widths = [(0, 0), (0, 0)] + [(pads[i], pads[rank + i]) for i in range(rank)]
    return np.pad(x, widths, constant_values=value)


def convolve(x: Array, weight: Array, node: Node) -> Array:
    """Sums of products in the arrays' own type, by BLAS; x [n, channels, *spatial] is padded already."""
    group = node.attributes["group"]
    view = windows(x, weight.shape[2:], node.attributes["strides"], node.attributes["dilations"])
    rank = weight.ndim - 2
    n, positions = x.shape[0], view.shape[2 : 2 + rank]
    view = view.reshape(n, group, -1, *positions, *weight.shape[2:])
    columns = np.moveaxis(view, 2, 2 + rank)  # [n, group, *positions, in/group, *kernel]
    columns = columns.reshape(n, group, int(np.prod(positions)), -1)
    rows = weight.reshape(group, weight.shape[0] // group, -1)
    sums: Array = np.matmul(rows[None], np.swapaxes(columns, 2, 3))
    return sums.reshape(n, weight.shape[0], *positions)


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    x, weight = arguments[0], arguments[1]
    y = convolve(pad_spatial(x, node.attributes["pads"], 0.0), weight, node)
    if len(arguments) > 2:
        y = y + arguments[2].reshape(-1, *([1] * (weight.ndim - 2)))
    return [y.astype(np.float32, copy=False)]


def macs(node: Node, inputs: Sequence[Shape], output: Shape) -> int:
    return int(np.prod(output)) * int(np.prod(inputs[1][1:]))


def _case(name: str, x: Shape, weight: Shape, bias: bool = True, **attributes: object) -> Case:
    rng = np.random.default_rng(sum(map(ord, name)))
    rank = len(weight) - 2
    full = {
        "strides": (1,) * rank,
        "dilations": (1,) * rank,
        "pads": (0,) * (2 * rank),
        "group": 1,
        **attributes,
    }
    w = rng.normal(0, 0.3, weight).astype(np.float32)
    b = rng.normal(0, 0.3, weight[0]).astype(np.float32)
    return Case(name, (x,), full, (w, b) if bias else (w,))


OPERATOR = Operator(
    "Conv", read, shapes, run,
    (
        _case("1d", (4, 19), (6, 4, 5)),
        _case("1d_one_channel_strided_padded", (1, 32), (8, 1, 7), strides=(2,), pads=(3, 3)),
        _case("1d_no_bias_asymmetric_pads", (3, 17), (5, 3, 4), bias=False, pads=(3, 0)),
        _case("1d_dilated_causal", (8, 24), (8, 8, 3), dilations=(4,), pads=(8, 0)),
        _case("1d_depthwise", (8, 20), (8, 1, 5), group=8, pads=(2, 2)),
        _case("1d_depthwise_multiplier_two", (4, 12), (8, 1, 3), group=4),
        _case("1d_grouped", (8, 14), (12, 2, 3), group=4, pads=(1, 1)),
        _case("1d_pointwise_wide", (32, 9), (33, 32, 1)),
        _case("2d", (3, 9, 8), (4, 3, 3, 3), pads=(1, 1, 1, 1)),
        _case("2d_strided_asymmetric_pads", (3, 11, 10), (5, 3, 3, 2), strides=(2, 3), pads=(0, 1, 2, 0)),
        _case("2d_depthwise", (6, 8, 7), (6, 1, 3, 3), group=6, pads=(1, 1, 1, 1)),
        _case("2d_dilated_grouped", (4, 12, 11), (6, 2, 3, 3), group=2, dilations=(2, 3)),
        _case("2d_pointwise", (16, 5, 4), (8, 16, 1, 1)),
        _case("2d_one_column_kernel", (1, 20, 10), (8, 1, 10, 4), strides=(2, 2), pads=(4, 1, 5, 1)),
    ),
    macs,
)  # fmt: skip
