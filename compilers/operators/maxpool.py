"""MaxPool, 1-D to 3-D; padding never wins (ONNX MaxPool-12).

Normal form: inputs (x (channels, *spatial)); attributes kernel_shape, strides, dilations (one a spatial axis)
and pads (begin..., end...), in which auto_pad and ceil_mode are folded.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.graph import Array, Node, Shape
from trine.compilers.operators import Case, Form, Operator, SourceNode, Unsupported
from trine.compilers.operators.conv import (
    bounded,
    pad_spatial,
    resolve_pads,
    spatial_ints,
    window_count,
    windows,
)


def read_pool(source: SourceNode) -> tuple[dict[str, tuple[int, ...]], tuple[int, ...]]:
    """The attributes of a pool's normal form, and how much ceil_mode added to each end pad."""
    spatial = source.shape()[1:]
    kernel = tuple(int(k) for k in source.attributes["kernel_shape"])
    rank = len(kernel)
    if rank not in (1, 2, 3) or len(spatial) != rank or min(kernel) < 1:
        raise Unsupported(f"kernel {kernel} on shape {source.shape()}; 1-D to 3-D are supported")
    strides, dilations = (spatial_ints(source, name, rank) for name in ("strides", "dilations"))
    pads = resolve_pads(source, spatial, kernel, strides, dilations)
    if any(pad >= k for pad, k in zip(pads, kernel * 2, strict=True)):
        raise Unsupported(f"pads {pads} reach the kernel {kernel}: a window would see padding only")
    ends, extra = list(pads[rank:]), [0] * rank
    for i in range(rank if source.integer("ceil_mode", 0) else 0):
        reach = (kernel[i] - 1) * dilations[i] + 1
        count = -(-(spatial[i] + pads[i] + ends[i] - reach) // strides[i]) + 1
        if (count - 1) * strides[i] >= spatial[i] + pads[i]:
            count -= 1  # a window may not start in the end padding
        needed = (count - 1) * strides[i] + reach - spatial[i] - pads[i]
        extra[i] = max(needed - ends[i], 0)
        ends[i] = max(needed, 0)
    full = bounded(source.shape(), (*pads[:rank], *ends))
    return {"kernel_shape": kernel, "strides": strides, "dilations": dilations, "pads": full}, tuple(extra)


def checked(node: Node, source: SourceNode) -> Node:
    """The node, or Unsupported when no window fits."""
    if min(pool_shapes(node, [source.shape()])[0]) < 1:
        raise Unsupported(f"the kernel {node.attributes['kernel_shape']} is larger than the padded input")
    return node


def read(source: SourceNode) -> Node:
    if any(source.outputs[1:]):
        raise Unsupported("the output Indices is used")
    attributes, _ = read_pool(source)
    return checked(Node("MaxPool", source.name, source.inputs, source.outputs[:1], attributes), source)


def pool_shapes(node: Node, inputs: Sequence[Shape]) -> list[Shape]:
    """(channels, *positions)."""
    a, rank = node.attributes, len(inputs[0]) - 1
    positions = tuple(
        window_count(
            inputs[0][1 + i], a["kernel_shape"][i], a["strides"][i], a["dilations"][i],
            a["pads"][i] + a["pads"][rank + i],
        )
        for i in range(rank)
    )  # fmt: skip
    return [(inputs[0][0], *positions)]


def pool_windows(node: Node, x: Array, padding: float) -> Array:
    """x [n, channels, *spatial] as [n, channels, *positions, cells of a window]."""
    a = node.attributes
    view = windows(pad_spatial(x, a["pads"], padding), a["kernel_shape"], a["strides"], a["dilations"])
    return view.reshape(*view.shape[: x.ndim], -1)


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    x = arguments[0]
    least = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    return [pool_windows(node, x, least).max(axis=-1)]


def pool_case(name: str, shape: Shape, kernel: Shape, **attributes: object) -> Case:
    """A case of a pool with its defaults filled in."""
    rank = len(kernel)
    full = {"strides": (1,) * rank, "dilations": (1,) * rank, "pads": (0,) * (2 * rank), **attributes}
    return Case(name, (shape,), {"kernel_shape": kernel, **full})


FORMS = (
    Form("no_attributes_1d", ((3, 10),), {"kernel_shape": (3,)}),
    Form("ceil", ((3, 10),), {"kernel_shape": (3,), "strides": (2,), "ceil_mode": 1}),
    Form("ceil_window_in_end_pad", ((2, 6),), {"kernel_shape": (2,), "strides": (3,), "pads": (1, 1),
                                               "ceil_mode": 1}),
    Form("ceil_unused", ((3, 9),), {"kernel_shape": (3,), "strides": (2,), "pads": (1, 1), "ceil_mode": 1}),
    Form("ceil_2d", ((2, 7, 8),), {"kernel_shape": (3, 2), "strides": (2, 3), "pads": (1, 0, 0, 1),
                                   "ceil_mode": 1}),
    Form("same_upper", ((2, 7, 8),), {"kernel_shape": (3, 2), "strides": (2, 3), "auto_pad": "SAME_UPPER"}),
    Form("same_lower", ((2, 10),), {"kernel_shape": (4,), "strides": (3,), "auto_pad": "SAME_LOWER"}),
    Form("3d", ((2, 5, 4, 6),), {"kernel_shape": (2, 2, 3), "strides": (2, 1, 2), "pads": (1, 0, 0, 0, 1, 1),
                                 "ceil_mode": 1}),
    Form("valid", ((2, 10),), {"kernel_shape": (4,), "strides": (3,), "auto_pad": "VALID"}),
)  # fmt: skip

OPERATOR = Operator(
    "MaxPool", read, pool_shapes, run,
    (
        pool_case("1d", (4, 20), (2,), strides=(2,)),
        pool_case("1d_overlapping_padded", (4, 19), (3,), strides=(2,), pads=(1, 1)),
        pool_case("1d_dilated", (3, 20), (3,), dilations=(2,)),
        pool_case("2d", (3, 8, 8), (2, 2), strides=(2, 2)),
        pool_case("2d_asymmetric", (3, 9, 7), (3, 2), strides=(2, 1), pads=(1, 0, 2, 1)),
    ),
    forms=FORMS,
)  # fmt: skip
