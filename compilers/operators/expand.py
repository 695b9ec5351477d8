"""Expand: one example repeated along axes of 1, and along new ones before them (ONNX Expand-13).

Normal form: inputs (x); attributes shape, that of one example's output, and before: the input's shape, with axes of 1
in front where the output has more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from trine.compilers.graph import Array, Node, Shape
from trine.compilers.movement import integers, spelled
from trine.compilers.operators import Case, Form, Operator, SourceNode, Spelled, Unsupported


def file_result(source: SourceNode) -> tuple[Shape, int | None]:
    """The output's shape as in the file, and where its batch axis lies."""
    target, before = integers(source, 1, "the target shape"), source.file_shape()
    try:
        after = np.broadcast_shapes(tuple(target), before)
    except ValueError:
        raise Unsupported(f"shape {before} does not expand to {tuple(target)}") from None
    place = source.batch_of()
    if place is None:
        return after, None
    place += len(after) - len(before)
    if after[place] != 1:
        raise Unsupported("repeats the batch axis; each example must be computed on its own")
    return after, place


def read(source: SourceNode) -> Node:
    after, place = file_result(source)
    shape = after if place is None else (*after[:place], *after[place + 1 :])
    if shape == source.shape():
        return Node("Identity", source.name, source.inputs[:1], source.outputs)
    before = (*(1,) * (len(shape) - len(source.shape())), *source.shape())
    return Node("Expand", source.name, source.inputs[:1], source.outputs, {"shape": shape, "before": before})


def batch(source: SourceNode) -> list[int | None]:
    return [file_result(source)[1]]


def shapes(node: Node, inputs: Sequence[Shape]) -> list[Shape]:
    return [tuple(node.attributes["shape"])]


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    x, a = arguments[0], node.attributes
    return [np.ascontiguousarray(np.broadcast_to(x.reshape(len(x), *a["before"]), (len(x), *a["shape"])))]


def spell(node: Node, opset: int) -> list[Spelled]:
    """New axes come after the batch axis: a Reshape makes room for them."""
    shape, before = ((first, *node.attributes[what]) for first, what in ((1, "shape"), (-1, "before")))
    made, row = spelled(node, shape=np.array(shape, np.int64)), f"{node.name}.before"
    reshape = Spelled("Reshape", [node.inputs[0], row], [f"{row}_x"], {}, {row: np.array(before, np.int64)})
    return [reshape, replace(made[0], inputs=[f"{row}_x", *made[0].inputs[1:]])]


OPERATOR = Operator(
    "Expand", read, shapes, run,
    (
        Case("channels", ((1, 9),), {"shape": (4, 9), "before": (1, 9)}),
        Case("time", ((4, 1),), {"shape": (4, 5), "before": (4, 1)}),
        Case("two_axes", ((1, 5, 1),), {"shape": (3, 5, 4), "before": (1, 5, 1)}),
        Case("new_axes", ((5,),), {"shape": (3, 2, 5), "before": (1, 1, 5)}),
    ),
    forms=(
        Form("same_rank", ((1, 9),), {}, {1: np.array([1, 3, 9], np.int64)}),
        Form("fewer_axes", ((4, 1),), {}, {1: np.array([4, 6], np.int64)}),
        Form("nothing", ((4, 9),), {}, {1: np.array([1, 1, 1], np.int64)}),
    ),
    batch=batch,
    spell=spell,
)  # fmt: skip
