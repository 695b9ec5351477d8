"""Trilu: the upper or lower triangle of the last two axes, zeros elsewhere (ONNX Trilu-14).

Normal form: inputs (x); attributes k, the diagonal the triangle begins with, upper (1) or lower (0), and matrix, the
size of the last two axes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.elementwise import same_shape
from trine.compilers.graph import Array, Node
from trine.compilers.movement import spelled
from trine.compilers.operators import Case, Form, Operator, SourceNode, Spelled, Unsupported

TRILU_OPSET = 14  # the first with the operator


def read(source: SourceNode) -> Node:
    rank, batch = len(source.file_shape()), source.batch_of()
    if rank < 2 or (batch is not None and batch >= rank - 2):
        raise Unsupported("needs two axes of one example")
    if 0 in source.shape():
        raise Unsupported(f"shape {source.shape()} an example holds nothing")
    k = int(source.scalar(1, "the diagonal k")) if source.has(1) else 0
    attributes = {"k": k, "upper": source.integer("upper", 1), "matrix": source.shape()[-2:]}
    return Node("Trilu", source.name, source.inputs[:1], source.outputs, attributes)


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    k = node.attributes["k"]
    return [np.triu(arguments[0], k) if node.attributes["upper"] else np.tril(arguments[0], k)]


def spell(node: Node, opset: int) -> list[Spelled]:
    """Before opset 14 as a product with ones and zeros."""
    if opset < TRILU_OPSET:
        mask = run(node, [np.ones(node.attributes["matrix"], np.float32)])[0]
        name = f"{node.name}.mask"
        return [Spelled("Mul", [*node.inputs, name], node.outputs, {}, {name: mask})]
    return spelled(node, {"upper": node.attributes["upper"]}, k=np.array(node.attributes["k"], np.int64))


OPERATOR = Operator(
    "Trilu", read, same_shape, run,
    (
        Case("upper", ((5, 4),), {"k": 0, "upper": 1, "matrix": (5, 4)}),
        Case("lower", ((2, 4, 5),), {"k": 1, "upper": 0, "matrix": (4, 5)}),
        Case("above", ((5, 5),), {"k": 2, "upper": 1, "matrix": (5, 5)}),
    ),
    forms=(
        Form("default", ((4, 5),), opsets=(TRILU_OPSET, 999)),
        Form("lower_below", ((4, 5),), {"upper": 0}, {1: np.array(-1, np.int64)},
             (TRILU_OPSET, 999)),
    ),
    spell=spell,
)  # fmt: skip
