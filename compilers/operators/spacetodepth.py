"""SpaceToDepth: blocks of an image become channels (ONNX SpaceToDepth-13).

Normal form: inputs (x (channels, height, width)); attributes blocksize and mode, as DepthToSpace's. ONNX before
opset 28 knows "DCR" only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.graph import Array, Node, Shape
from trine.compilers.operators import Case, Form, Operator, SourceNode, Spelled, Unsupported
from trine.compilers.operators.depthtospace import block_of


def read(source: SourceNode) -> Node:
    block, mode = block_of(source)
    if source.shape()[1] % block or source.shape()[2] % block:
        raise Unsupported(f"an image of {source.shape()[1:]} is no multiple of blocks of {block}")
    attributes = {"blocksize": block, "mode": mode}
    return Node("SpaceToDepth", source.name, source.inputs[:1], source.outputs, attributes)


def shapes(node: Node, inputs: Sequence[Shape]) -> list[Shape]:
    block, (c, h, w) = node.attributes["blocksize"], inputs[0]
    return [(c * block**2, h // block, w // block)]


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    x, block = arguments[0], node.attributes["blocksize"]
    n, c, h, w = x.shape
    apart = x.reshape(n, c, h // block, block, w // block, block)
    order = (0, 3, 5, 1, 2, 4) if node.attributes["mode"] == "DCR" else (0, 1, 3, 5, 2, 4)
    return [np.ascontiguousarray(apart.transpose(order).reshape(n, -1, h // block, w // block))]


def spell(node: Node, opset: int) -> list[Spelled]:
    mode = {"mode": node.attributes["mode"]} if node.attributes["mode"] != "DCR" else {}
    return [Spelled(node.op, node.inputs, node.outputs, {"blocksize": node.attributes["blocksize"], **mode})]


OPERATOR = Operator(
    "SpaceToDepth", read, shapes, run,
    (
        Case("two", ((3, 4, 6),), {"blocksize": 2, "mode": "DCR"}),
        Case("three", ((1, 6, 3),), {"blocksize": 3, "mode": "DCR"}),
        Case("one", ((2, 2, 3),), {"blocksize": 1, "mode": "DCR"}),
    ),
    forms=(Form("plain", ((2, 4, 6),), {"blocksize": 2}),),
    spell=spell,
)  # fmt: skip
