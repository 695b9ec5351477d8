"""DepthToSpace: blocks of channels become blocks of an image (ONNX DepthToSpace-13).

Normal form: inputs (x (channels, height, width)); attributes blocksize and mode ("DCR": the block's place counts
first in a channel's number, "CRD": last).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.graph import Array, Node, Shape
from trine.compilers.movement import text
from trine.compilers.operators import Case, Form, Operator, SourceNode, Unsupported


def block_of(source: SourceNode) -> tuple[int, str]:
    """blocksize and mode of an image operator, checked."""
    source.first_is_batch()
    block, mode = source.integer("blocksize", 0), text(source, "mode", "DCR")
    if len(source.shape()) != 3 or block < 1 or mode not in ("DCR", "CRD"):
        raise Unsupported(f"blocksize {block}, mode {mode} on shape {source.shape()}")
    return block, mode


def read(source: SourceNode) -> Node:
    block, mode = block_of(source)
    if source.shape()[0] % block**2:
        raise Unsupported(f"{source.shape()[0]} channels are no multiple of {block}²")
    attributes = {"blocksize": block, "mode": mode}
    return Node("DepthToSpace", source.name, source.inputs[:1], source.outputs, attributes)


def shapes(node: Node, inputs: Sequence[Shape]) -> list[Shape]:
    block, (c, h, w) = node.attributes["blocksize"], inputs[0]
    return [(c // block**2, h * block, w * block)]


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    x, block = arguments[0], node.attributes["blocksize"]
    n, c, h, w = x.shape
    if node.attributes["mode"] == "DCR":
        apart = x.reshape(n, block, block, -1, h, w).transpose(0, 3, 4, 1, 5, 2)
    else:
        apart = x.reshape(n, -1, block, block, h, w).transpose(0, 1, 4, 2, 5, 3)
    return [np.ascontiguousarray(apart.reshape(n, c // block**2, h * block, w * block))]


OPERATOR = Operator(
    "DepthToSpace", read, shapes, run,
    (
        Case("depth_first", ((8, 3, 2),), {"blocksize": 2, "mode": "DCR"}),
        Case("columns_first", ((8, 2, 3),), {"blocksize": 2, "mode": "CRD"}),
        Case("three", ((9, 1, 2),), {"blocksize": 3, "mode": "DCR"}),
    ),
    forms=(Form("default_mode", ((8, 3, 2),), {"blocksize": 2}),),
)  # fmt: skip
