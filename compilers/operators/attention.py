"""Attention (ONNX Attention-23 to -25): `onnx_attention` has spelled it as the nodes it means before nodes are read."""

from __future__ import annotations

from collections.abc import Sequence

from trine.compilers.graph import Array, Node, Shape
from trine.compilers.loops import REFUSED
from trine.compilers.operators import Operator, SourceNode, Unsupported


def read(source: SourceNode) -> Node:
    raise Unsupported(str(source.attributes.get(REFUSED, "its shapes are not known when compiling")))


def shapes(node: Node, inputs: Sequence[Shape]) -> list[Shape]:
    raise NotImplementedError("an Attention never stands in a Graph")


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    raise NotImplementedError("an Attention never stands in a Graph")


OPERATOR = Operator("Attention", read, shapes, run, ())
