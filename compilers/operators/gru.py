"""GRU, one and two directions, both places of the reset gate (ONNX GRU-22). Normal form: see `recurrent`.

Gates z, r, h. z, r = f(x w + h r); n = g(x w + (r h) r), or with linear_before_reset g(x w + r (h r));
h' = (1 - z) n + z h.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trine.compilers.graph import Array, Node, Shape
from trine.compilers.operators import Case, Operator, SourceNode, Spelled, floats
from trine.compilers.recurrent import (
    Direction,
    Floats,
    State,
    blocks,
    product,
    recurrent_macs,
    recurrent_shapes,
    run_recurrent,
)
from trine.compilers.recurrent_onnx import batch_recurrent, read_recurrent, recurrent_case, spell_recurrent

DEFAULTS = ("Sigmoid", "Tanh")


def read(source: SourceNode) -> Node:
    late = int(source.integer("linear_before_reset", 0) != 0)
    return read_recurrent(source, 3, DEFAULTS, 1, linear_before_reset=late)


def shapes(node: Node, inputs: Sequence[Shape]) -> list[Shape]:
    return recurrent_shapes(node, inputs, 1)


def cell(direction: Direction, seen: Floats, state: State) -> State:
    """One step: seen [n, batch, 3 hidden] is what the inputs add to the gates."""
    (h,) = state
    size = direction.hidden
    rb, split = direction.rb[:, None], 2 * size
    gates = seen[..., :split] + product(h, direction.r[:, :split]) + rb[..., :split]
    z, r = (direction.activate(0, part) for part in blocks(gates, 2))
    if direction.node.attributes["linear_before_reset"]:
        remembered = r * (product(h, direction.r[:, split:]) + rb[..., split:])
    else:
        remembered = product(r * h, direction.r[:, split:]) + rb[..., split:]
    n = direction.activate(1, seen[..., split:] + remembered)
    return (floats((1 - z) * n + z * h),)


def run(node: Node, arguments: Sequence[Any]) -> list[Array]:
    return run_recurrent(node, arguments, 3, cell, 1)


def macs(node: Node, inputs: Sequence[Shape], output: Shape) -> int:
    return recurrent_macs(node, inputs, 3)


def batch(source: SourceNode) -> list[int | None]:
    return batch_recurrent(source, 1)


def spell(node: Node, opset: int) -> list[Spelled]:
    return spell_recurrent(node, 1, linear_before_reset=node.attributes["linear_before_reset"])


def _case(name: str, sizes: tuple[int, int, int], **given: Any) -> Case:
    return recurrent_case(name, sizes, 3, DEFAULTS, 1, **{"linear_before_reset": 0, **given})


_INITIAL = floats(np.random.default_rng(1).normal(0, 0.5, (2, 5)))
_OTHERS = (("HardSigmoid", 0.25, 0.5), ("Softsign", 0.0, 0.0))

OPERATOR = Operator(
    "GRU", read, shapes, run,
    (
        _case("forward", (6, 4, 5)),
        _case("one_step_one_cell", (1, 1, 1), bias=False),
        _case("linear_before_reset", (6, 4, 7), linear_before_reset=1),
        _case("reverse", (5, 3, 4), directions=(1,)),
        _case("bidirectional", (7, 5, 6), directions=(0, 1), linear_before_reset=1),
        _case("initial_states", (4, 3, 5), directions=(0, 1), extra=(None, _INITIAL)),
        _case("shorter", (6, 3, 4), directions=(0, 1), extra=(np.array([4], np.int32),)),
        _case("clipped", (5, 3, 4), clip=0.4, linear_before_reset=1),
        _case("other_activations", (5, 3, 4), activations=_OTHERS),
    ),
    macs, batch=batch, spell=spell,
)  # fmt: skip
