"""Add with broadcasting: of two activations, or of an activation and a constant (ONNX Add-14).

Normal form: inputs (a, b), a an activation; b an activation of the same rank or a constant without batch axis
of at most a's rank; no attributes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from trine.compilers.graph import Array, Node, Shape
from trine.compilers.operators import Case, Form, Operator, SourceNode, Unsupported, floats


def without_batch(source: SourceNode, index: int, rank: int) -> str:
    """A constant operand's name once its batch axis (size 1) is gone; `rank` is that of one example."""
    value = source.constant(index, "the operand")
    if value.ndim <= rank:
        return source.inputs[index]
    if value.ndim > rank + 1 or value.shape[0] != 1:
        raise Unsupported(f"constant {source.inputs[index]} {value.shape} differs between examples")
    return source.define(f"operand{index}", value[0])


def read_pair(source: SourceNode) -> Node:
    """Both operands of a commutative operator, the constant (if any) second."""
    first, second = (1, 0) if source.is_constant(0) else (0, 1)
    a, b = source.shape(first), source.shape(second)
    if source.is_constant(second):
        other = without_batch(source, second, len(a))
        b = source.defined[other].shape if other in source.defined else b
    else:
        other = source.inputs[second]
        if len(a) != len(b):
            raise Unsupported(
                f"activations of different rank {a} and {b} would broadcast over the batch axis"
            )
    try:
        np.broadcast_shapes(a, b)
    except ValueError:
        raise Unsupported(f"shapes {a} and {b} do not broadcast") from None
    return Node(source.op, source.name, (source.inputs[first], other), source.outputs)


def shapes(node: Node, inputs: Sequence[Shape]) -> list[Shape]:
    return [tuple(np.broadcast_shapes(inputs[0], inputs[1]))]


def pair(name: str, function: Callable[[Array, Array], Array]) -> Operator:
    """The record of a commutative operator on two operands."""

    def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
        return [floats(function(arguments[0], arguments[1]))]

    rng = np.random.default_rng(len(name))
    channel = rng.normal(0, 1, (4, 1)).astype(np.float32)
    return Operator(
        name, read_pair, shapes, run,
        (
            Case("same_shape", ((4, 9), (4, 9))),
            Case("one_a_channel", ((4, 9), (4, 1))),
            Case("both_broadcast", ((4, 1), (1, 9))),
            Case("constant_a_channel", ((4, 9),), constants=(channel,)),
            Case("constant_scalar", ((4, 9),), constants=(np.array([0.7], np.float32),)),
            Case("image", ((3, 5, 4), (3, 5, 4))),
            Case("with_itself_one_value", ((1,), (1,))),
        ),
        forms=(
            Form("constant_first", ((4, 9),), {}, {0: channel}),
            Form("constant_with_batch_axis", ((4, 9),), {}, {1: channel[None]}),
            Form("constant_last_axis", ((4, 9),), {}, {1: channel.reshape(-1)[:1]}),
            Form("constant_rank_0", ((4, 9),), {}, {1: np.array(1.5, np.float32)}),
            Form("constant_widens", ((4, 1),), {}, {1: rng.normal(0, 1, 9).astype(np.float32)}),
        ),
    )  # fmt: skip


OPERATOR = pair("Add", np.add)
