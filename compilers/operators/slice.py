"""Slice of one example's axes, strides of either sign (ONNX Slice-13).

Normal form: inputs (x); attributes starts, steps, counts, one an axis: values start, start + step, ... are kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.graph import Array, Node, Shape
from trine.compilers.movement import example_values, integers, spelled
from trine.compilers.operators import Case, Form, Operator, SourceNode, Spelled, Unsupported

BEFORE_ALL = -(2**31)  # an end that lies before every index, whatever the axis


def read(source: SourceNode) -> Node:
    shape = source.file_shape()
    starts, ends = integers(source, 1, "the starts"), integers(source, 2, "the ends")
    axes = integers(source, 3, "the axes") if source.has(3) else list(range(len(starts)))
    steps = integers(source, 4, "the steps") if source.has(4) else [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise Unsupported("starts, ends, axes and steps have different lengths")
    kept = [(0, 1, size) for size in shape]
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if not -len(shape) <= axis < len(shape) or step == 0:
            raise Unsupported(f"axis {axis} with step {step} on {len(shape)} axes")
        span = range(*slice(start, end, step).indices(shape[axis]))
        kept[axis % len(shape)] = (span.start, span.step, len(span)) if len(span) != 1 else (span.start, 1, 1)
    batch = source.batch_of()
    kept = list(example_values(source, kept, (0, 1, 1), "takes start, step, count"))
    if any(count == 0 for _, _, count in kept):
        raise Unsupported("keeps nothing: the slice is empty")
    inner = source.shape()
    if batch is not None and len(kept) != len(inner):
        raise Unsupported("works along the batch axis; each example must be computed on its own")
    return (
        sliced(source, source.outputs, *(tuple(column) for column in zip(*kept, strict=True)))
        if kept
        else (Node("Identity", source.name, source.inputs[:1], source.outputs))
    )


def sliced(source: SourceNode, outputs: tuple[str, ...], starts: Shape, steps: Shape, counts: Shape) -> Node:
    """The node in normal form; an Identity when everything is kept in order."""
    if counts == source.shape() and set(steps) == {1}:
        return Node("Identity", source.name, source.inputs[:1], outputs)
    kept = {"starts": starts, "steps": steps, "counts": counts}
    return Node("Slice", source.name, source.inputs[:1], outputs, kept)


def spans(node: Node) -> tuple[slice, ...]:
    """The kept values of each axis as NumPy writes them."""
    a = node.attributes
    ends = [s + c * t for s, t, c in zip(a["starts"], a["steps"], a["counts"], strict=True)]
    return tuple(
        slice(start, None if end < 0 else end, step)
        for start, end, step in zip(a["starts"], ends, a["steps"], strict=True)
    )


def shapes(node: Node, inputs: Sequence[Shape]) -> list[Shape]:
    return [tuple(node.attributes["counts"])]


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    return [np.ascontiguousarray(arguments[0][(slice(None), *spans(node))])]


def spell(node: Node, opset: int) -> list[Spelled]:
    ends = [BEFORE_ALL if s.stop is None else s.stop for s in spans(node)]
    axes = range(1, len(ends) + 1)
    return spelled(
        node, starts=np.array(node.attributes["starts"], np.int64), ends=np.array(ends, np.int64),
        axes=np.array(axes, np.int64), steps=np.array(node.attributes["steps"], np.int64),
    )  # fmt: skip


def _kept(starts: Shape, steps: Shape, counts: Shape) -> dict[str, Shape]:
    return {"starts": starts, "steps": steps, "counts": counts}


def _indices(*columns: Sequence[int]) -> dict[int, Array | None]:
    return {i: np.array(column, np.int64) for i, column in enumerate(columns, 1)}


OPERATOR = Operator(
    "Slice", read, shapes, run,
    (
        Case("time", ((4, 9),), _kept((0, 2), (1, 1), (4, 5))),
        Case("channels", ((6, 5),), _kept((1, 0), (1, 1), (3, 5))),
        Case("strided_backwards", ((4, 9, 3),), _kept((3, 1, 2), (-1, 2, -2), (4, 4, 2))),
        Case("vector", ((11,),), _kept((10,), (-3,), (4,))),
        Case("image", ((3, 6, 5),), _kept((0, 1, 1), (1, 1, 1), (3, 4, 3))),
    ),
    forms=(
        Form("axes_and_steps", ((4, 9),), {}, _indices([8, 0], [1, 3], [2, 1], [-2, 1])),
        Form("negative_axis", ((4, 9),), {}, _indices([-4], [2**62], [-1])),
        Form("every_axis", ((4, 9),), {}, _indices([0, 1, 2], [2**62, 3, -1])),
        Form("backwards_to_the_start", ((4, 9),), {}, _indices([-1], [-(2**62)], [2], [-1])),
    ),
    spell=spell,
)  # fmt: skip
