"""Reshape of one example; Flatten, Squeeze and Unsqueeze become one too (ONNX Reshape-14).

Normal form: inputs (x); attribute shape, that of one example's output.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.graph import Array, Node, Shape
from trine.compilers.operators import Case, Form, Operator, SourceNode, Unsupported


def reshape(source: SourceNode, shape: Shape) -> Node:
    """The node in normal form, shape that of one example; an Identity when nothing changes."""
    if shape == source.shape():
        return Node("Identity", source.name, source.inputs[:1], source.outputs)
    return Node("Reshape", source.name, source.inputs[:1], source.outputs, {"shape": shape})


def read(source: SourceNode) -> Node:
    target = [int(d) for d in source.constant(1, "the target shape").reshape(-1)]
    before = source.file_shape()
    if not source.integer("allowzero", 0):
        if any(d == 0 and i >= len(before) for i, d in enumerate(target)):
            raise Unsupported(
                f"target shape {target} copies an axis that {source.shape()} an example does not have"
            )
        target = [before[i] if d == 0 else d for i, d in enumerate(target)]
    if min(target, default=1) < -1 or 0 in target or target.count(-1) > 1:
        raise Unsupported(f"target shape {target}")
    size, known = int(np.prod(before)), int(np.prod([d for d in target if d != -1]))
    if size % known or (-1 not in target and size != known):
        raise Unsupported(f"{size} values an example do not fit the target shape {target}")
    after = tuple(size // known if d == -1 else d for d in target)
    place = batch_after(source, after)
    return reshape(source, after if place is None else (*after[:place], *after[place + 1 :]))


def batch_after(source: SourceNode, after: Shape) -> int | None:
    """Where the batch axis lies in the file's shape `after`: an axis of 1 with as many values before it.

    Raises Unsupported where there is none: the batch is mixed with other axes.
    """
    place = source.batch_of()
    if place is None:
        return None
    ahead = int(np.prod(source.shape()[:place]))
    fits = [i for i, size in enumerate(after) if size == 1 and int(np.prod(after[:i])) == ahead]
    if not fits or (place == 0 and fits[0] != 0):
        raise Unsupported(f"target shape {list(after)} mixes the batch axis with others")
    return place if place in fits else fits[0]


def batch(source: SourceNode) -> list[int | None]:
    shape = source.file_shape()
    target = [int(d) for d in source.constant(1, "the target shape").reshape(-1)]
    if not source.integer("allowzero", 0):
        target = [shape[i] if d == 0 else d for i, d in enumerate(target)]
    known = int(np.prod([d for d in target if d != -1]))
    return [batch_after(source, tuple(int(np.prod(shape)) // known if d == -1 else d for d in target))]


def shapes(node: Node, inputs: Sequence[Shape]) -> list[Shape]:
    return [tuple(node.attributes["shape"])]


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    return [arguments[0].reshape(arguments[0].shape[0], *node.attributes["shape"])]


def _target(*shape: int) -> dict[int, Array | None]:
    return {1: np.array(shape, np.int64)}


OPERATOR = Operator(
    "Reshape", read, shapes, run,
    (
        Case("flatten", ((4, 9),), {"shape": (36,)}),
        Case("to_channels", ((24,),), {"shape": (2, 3, 4)}),
        Case("split_axis", ((8, 6),), {"shape": (2, 4, 6)}),
        Case("scalar", ((1,),), {"shape": ()}),
    ),
    forms=(
        Form("batch_inferred", ((4, 9),), {}, _target(-1, 36)),
        Form("batch_copied", ((4, 9),), {}, _target(0, -1)),
        Form("axis_copied", ((4, 9, 2),), {}, _target(-1, 4, 18)),
        Form("two_copied", ((4, 9, 2),), {}, _target(0, 0, -1)),
        Form("allowzero_without_zero", ((4, 9),), {"allowzero": 1}, _target(-1, 36), (14, 999)),
    ),
    batch=batch,
)  # fmt: skip
