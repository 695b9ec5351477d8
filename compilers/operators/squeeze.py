"""Squeeze (ONNX Squeeze-13); read as Reshape."""

from __future__ import annotations

import numpy as np

from trine.compilers.graph import Node
from trine.compilers.operators import Form, Operator, SourceNode, Unsupported
from trine.compilers.operators.reshape import reshape, run, shapes


def read(source: SourceNode) -> Node:
    axes = squeezed(source)
    wide = [axis for axis in sorted(axes) if source.shape()[axis] != 1]
    if wide:
        raise Unsupported(f"an axis to drop has {source.shape()[wide[0]]} entries, not 1")
    return reshape(source, tuple(d for i, d in enumerate(source.shape()) if i not in axes))


def squeezed(source: SourceNode) -> set[int]:
    """The axes of one example that are dropped."""
    if source.has(1):
        return {source.axis(int(axis)) for axis in source.constant(1, "the axes").reshape(-1)}
    if source.batch_of() is not None:
        raise Unsupported("names no axes: it would also drop a batch axis of one; name the axes")
    return {i for i, size in enumerate(source.shape()) if size == 1}


def batch(source: SourceNode) -> list[int | None]:
    place = source.batch_of()
    return [None if place is None else place - sum(axis < place for axis in squeezed(source))]


OPERATOR = Operator(
    "Squeeze", read, shapes, run, (), batch=batch,
    forms=(
        Form("last", ((4, 1),), {}, {1: np.array([-1], np.int64)}),
        Form("two", ((1, 4, 1),), {}, {1: np.array([1, 3], np.int64)}),
        Form("to_scalar", ((1,),), {}, {1: np.array([1], np.int64)}),
    ),
)  # fmt: skip
