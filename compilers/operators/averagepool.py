"""AveragePool, 1-D to 3-D, with or without padding in the divisor (ONNX AveragePool-19).

Normal form: inputs (x (channels, *spatial)); attributes as MaxPool's, count_include_pad, and uncounted (one a
spatial axis): the cells of the end pads that ceil_mode added, which no divisor counts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.graph import Array, Node, Shape
from trine.compilers.operators import Form, Operator, SourceNode, floats
from trine.compilers.operators.conv import windows
from trine.compilers.operators.maxpool import FORMS, checked, pool_case, pool_shapes, pool_windows, read_pool


def read(source: SourceNode) -> Node:
    attributes, extra = read_pool(source)
    counted = {"count_include_pad": source.integer("count_include_pad", 0), "uncounted": extra}
    node = Node("AveragePool", source.name, source.inputs, source.outputs, {**attributes, **counted})
    return checked(node, source)


def divisors(node: Node, spatial: Shape) -> Array:
    """What each position's sum is divided by: [*positions] float32."""
    a, rank = node.attributes, len(spatial)
    begins, ends, extra = a["pads"][:rank], a["pads"][rank:], a["uncounted"]
    if a["count_include_pad"]:
        inside = np.ones([s + b + e - x for s, b, e, x in zip(spatial, begins, ends, extra, strict=True)])
        inside = np.pad(inside, [(0, x) for x in extra])
    else:
        inside = np.pad(np.ones(spatial), list(zip(begins, ends, strict=True)))
    view = windows(inside, a["kernel_shape"], a["strides"], a["dilations"])
    return floats(view.sum(axis=tuple(range(-rank, 0))))


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    sums = pool_windows(node, arguments[0], 0.0).sum(axis=-1)
    return [floats(sums / divisors(node, arguments[0].shape[2:]))]


_PLAIN = {"count_include_pad": 0, "uncounted": (0,)}
_IMAGE = {"count_include_pad": 0, "uncounted": (0, 0)}

OPERATOR = Operator(
    "AveragePool", read, pool_shapes, run,
    (
        pool_case("1d", (4, 20), (2,), strides=(2,), **_PLAIN),
        pool_case("1d_padding_not_counted", (4, 19), (3,), strides=(2,), pads=(1, 1), **_PLAIN),
        pool_case("1d_padding_counted", (4, 19), (5,), strides=(2,), pads=(2, 1),
                  count_include_pad=1, uncounted=(0,)),
        pool_case("1d_ceil_cells_not_counted", (2, 9), (3,), strides=(4,), pads=(0, 2), count_include_pad=1,
                  uncounted=(1,)),
        pool_case("2d", (3, 8, 8), (4, 4), strides=(4, 4), **_IMAGE),
        pool_case("2d_whole", (3, 25, 5), (25, 5), **_IMAGE),
        pool_case("2d_padding_counted", (3, 9, 7), (3, 2), strides=(2, 1), pads=(1, 0, 2, 1),
                  count_include_pad=1, uncounted=(0, 0)),
    ),
    forms=(
        *FORMS,
        Form("padding_counted", ((3, 10),), {"kernel_shape": (3,), "pads": (1, 2), "count_include_pad": 1}),
        Form("dilated", ((3, 10),), {"kernel_shape": (3,), "dilations": (2,)}, opsets=(19, 999)),
        Form("ceil_counted", ((3, 10),), {"kernel_shape": (3,), "strides": (2,), "pads": (1, 0),
                                          "ceil_mode": 1, "count_include_pad": 1}),
        Form("ceil_cells_not_counted", ((3, 10),), {"kernel_shape": (3,), "strides": (2,), "ceil_mode": 1,
                                                    "count_include_pad": 1}),
    ),
)  # fmt: skip
