"""Tile: one example repeated along its axes (ONNX Tile-13).

Normal form: inputs (x); attribute repeats, one an axis.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.graph import Array, Node, Shape
from trine.compilers.movement import example_values, integers, spelled, with_batch
from trine.compilers.operators import Case, Form, Operator, SourceNode, Spelled, Unsupported


def read(source: SourceNode) -> Node:
    repeats = integers(source, 1, "the repeats")
    if len(repeats) != len(source.file_shape()):
        raise Unsupported(f"repeats {repeats} on {len(source.file_shape())} axes")
    if min(repeats, default=1) < 1:
        raise Unsupported(f"repeats {repeats}: the result is empty")
    inner = example_values(source, repeats, 1, "repeats")
    if set(inner) <= {1}:
        return Node("Identity", source.name, source.inputs[:1], source.outputs)
    return Node("Tile", source.name, source.inputs[:1], source.outputs, {"repeats": inner})


def shapes(node: Node, inputs: Sequence[Shape]) -> list[Shape]:
    return [tuple(size * times for size, times in zip(inputs[0], node.attributes["repeats"], strict=True))]


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    return [np.tile(arguments[0], (1, *node.attributes["repeats"]))]


def spell(node: Node, opset: int) -> list[Spelled]:
    return spelled(node, repeats=np.array(with_batch(node.attributes["repeats"], 1), np.int64))


OPERATOR = Operator(
    "Tile", read, shapes, run,
    (
        Case("vector", ((5,),), {"repeats": (3,)}),
        Case("signal", ((2, 5),), {"repeats": (2, 3)}),
        Case("image", ((3, 2, 4),), {"repeats": (1, 3, 2)}),
    ),
    forms=(
        Form("time", ((4, 3),), {}, {1: np.array([1, 1, 2], np.int64)}),
        Form("nothing", ((4, 3),), {}, {1: np.array([1, 1, 1], np.int64)}),
    ),
    spell=spell,
)  # fmt: skip
