"""Transpose of one example's axes (ONNX Transpose-13).

Normal form: inputs (x); attribute perm, without the batch axis.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.graph import Array, Node, Shape
from trine.compilers.operators import Case, Form, Operator, SourceNode, Unsupported


def read(source: SourceNode) -> Node:
    place, perm = source.batch_of(), permutation(source)
    inner = tuple(axis if place is None else axis - (axis > place) for axis in perm if axis != place)
    if inner == tuple(range(len(inner))):
        return Node("Identity", source.name, source.inputs, source.outputs)
    return Node("Transpose", source.name, source.inputs, source.outputs, {"perm": inner})


def permutation(source: SourceNode) -> tuple[int, ...]:
    """perm as in the file, batch axis counted."""
    rank = len(source.file_shape())
    perm = tuple(int(axis) for axis in source.attributes.get("perm", range(rank)[::-1]))
    if sorted(perm) != list(range(rank)):
        raise Unsupported(f"perm {perm} is no permutation of {rank} axes")
    return perm


def batch(source: SourceNode) -> list[int | None]:
    place = source.batch_of()
    return [None if place is None else permutation(source).index(place)]


def shapes(node: Node, inputs: Sequence[Shape]) -> list[Shape]:
    return [tuple(inputs[0][axis] for axis in node.attributes["perm"])]


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    return [np.transpose(arguments[0], (0, *(axis + 1 for axis in node.attributes["perm"])))]


OPERATOR = Operator(
    "Transpose", read, shapes, run,
    (
        Case("signal", ((4, 9),), {"perm": (1, 0)}),
        Case("channels_last", ((3, 5, 4),), {"perm": (1, 2, 0)}),
        Case("rotate_four", ((2, 3, 4, 5),), {"perm": (3, 0, 2, 1)}),
    ),
    forms=(
        Form("signal", ((4, 9),), {"perm": (0, 2, 1)}),
        Form("same", ((4, 9),), {"perm": (0, 1, 2)}),
    ),
    batch=batch,
)  # fmt: skip
