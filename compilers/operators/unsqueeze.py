"""Unsqueeze (ONNX Unsqueeze-13); read as Reshape."""

from __future__ import annotations

import numpy as np

from trine.compilers.graph import Node
from trine.compilers.operators import Form, Operator, SourceNode, Unsupported
from trine.compilers.operators.reshape import reshape, run, shapes


def read(source: SourceNode) -> Node:
    given = [int(axis) for axis in source.constant(1, "the axes").reshape(-1)]
    rank = len(source.shape()) + 1 + len(given)
    axes = {axis % rank for axis in given if -rank <= axis < rank}
    if len(axes) != len(given):
        raise Unsupported(f"axes {given} are out of range or repeated for rank {rank}")
    if 0 in axes:
        raise Unsupported("puts an axis before the batch axis")
    sizes = iter((1, *source.shape()))
    return reshape(source, tuple(1 if i in axes else next(sizes) for i in range(rank))[1:])


OPERATOR = Operator(
    "Unsqueeze", read, shapes, run, (),
    forms=(
        Form("channel", ((9,),), {}, {1: np.array([1], np.int64)}),
        Form("last", ((4, 9),), {}, {1: np.array([-1], np.int64)}),
        Form("two", ((4, 9),), {}, {1: np.array([4, 2], np.int64)}),
        Form("scalar", ((),), {}, {1: np.array([1], np.int64)}),
    ),
)  # fmt: skip
