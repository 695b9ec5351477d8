"""RNN, the plain recurrent layer, one and two directions (ONNX RNN-22). Normal form: see `recurrent`.

h' = f(x w + h r).
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
    product,
    recurrent_macs,
    recurrent_shapes,
    run_recurrent,
)
from trine.compilers.recurrent_onnx import batch_recurrent, read_recurrent, recurrent_case, spell_recurrent

DEFAULTS = ("Tanh",)


def read(source: SourceNode) -> Node:
    return read_recurrent(source, 1, DEFAULTS, 1)


def shapes(node: Node, inputs: Sequence[Shape]) -> list[Shape]:
    return recurrent_shapes(node, inputs, 1)


def cell(direction: Direction, seen: Floats, state: State) -> State:
    """One step: seen [n, batch, hidden] is what the inputs add."""
    return (direction.activate(0, seen + product(state[0], direction.r) + direction.rb[:, None]),)


def run(node: Node, arguments: Sequence[Any]) -> list[Array]:
    return run_recurrent(node, arguments, 1, cell, 1)


def macs(node: Node, inputs: Sequence[Shape], output: Shape) -> int:
    return recurrent_macs(node, inputs, 1)


def batch(source: SourceNode) -> list[int | None]:
    return batch_recurrent(source, 1)


def spell(node: Node, opset: int) -> list[Spelled]:
    return spell_recurrent(node, 1)


def _case(name: str, sizes: tuple[int, int, int], **given: Any) -> Case:
    return recurrent_case(name, sizes, 1, DEFAULTS, 1, **given)


_INITIAL = floats(np.random.default_rng(1).normal(0, 0.5, (2, 5)))

OPERATOR = Operator(
    "RNN", read, shapes, run,
    (
        _case("forward", (6, 4, 5)),
        _case("one_step_one_cell", (1, 1, 1), bias=False),
        _case("reverse", (5, 3, 4), directions=(1,)),
        _case("bidirectional", (7, 5, 6), directions=(0, 1)),
        _case("initial_states", (4, 3, 5), directions=(0, 1), extra=(None, _INITIAL)),
        _case("shorter", (6, 3, 4), directions=(0, 1), extra=(np.array([4], np.int32),)),
        _case("clipped", (5, 3, 4), clip=0.4),
        _case("softsign", (5, 3, 4), activations=(("Softsign", 0.0, 0.0),)),
    ),
    macs, batch=batch, spell=spell,
)  # fmt: skip
