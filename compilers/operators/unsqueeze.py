"""Unsqueeze (ONNX Unsqueeze-13); read as Reshape."""

from __future__ import annotations

import numpy as np

from trine.compilers.graph import Node, Shape
from trine.compilers.operators import Form, Operator, SourceNode, Unsupported
from trine.compilers.operators.reshape import reshape, run, shapes


def read(source: SourceNode) -> Node:
    after, place = widened(source)
    return reshape(source, after if place is None else (*after[:place], *after[place + 1 :]))


def widened(source: SourceNode) -> tuple[Shape, int | None]:
    """The file's shape of the output, and where its batch axis lies."""
    given = [int(axis) for axis in source.constant(1, "the axes").reshape(-1)]
    before = source.file_shape()
    rank = len(before) + len(given)
    axes = {axis % rank for axis in given if -rank <= axis < rank}
    if len(axes) != len(given):
        raise Unsupported(f"axes {given} are out of range or repeated for rank {rank}")
    kept = [i for i in range(rank) if i not in axes]
    sizes, place = iter(before), source.batch_of()
    after = tuple(1 if i in axes else next(sizes) for i in range(rank))
    return after, None if place is None else kept[place]


def batch(source: SourceNode) -> list[int | None]:
    return [widened(source)[1]]


OPERATOR = Operator(
    "Unsqueeze", read, shapes, run, (), batch=batch,
    forms=(
        Form("channel", ((9,),), {}, {1: np.array([1], np.int64)}),
        Form("last", ((4, 9),), {}, {1: np.array([-1], np.int64)}),
        Form("two", ((4, 9),), {}, {1: np.array([4, 2], np.int64)}),
        Form("scalar", ((),), {}, {1: np.array([1], np.int64)}),
    ),
)  # fmt: skip
