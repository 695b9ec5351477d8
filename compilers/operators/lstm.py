"""LSTM, one and two directions, peepholes, coupled gates (ONNX LSTM-22). Normal form: see `recurrent`.

Gates i, o, f, c. i, f = f(x w + h r + p c); c' = f c + i g(x w + h r); o = f(x w + h r + p c'); h' = o h(c').
A clip threshold bounds what f and g read, not what h reads (as onnxruntime has it).
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
    activate,
    blocks,
    product,
    recurrent_macs,
    recurrent_shapes,
    run_recurrent,
)
from trine.compilers.recurrent_onnx import batch_recurrent, read_recurrent, recurrent_case, spell_recurrent

DEFAULTS = ("Sigmoid", "Tanh", "Tanh")


def read(source: SourceNode) -> Node:
    return read_recurrent(source, 4, DEFAULTS, 2, coupled=int(source.integer("input_forget", 0) != 0))


def shapes(node: Node, inputs: Sequence[Shape]) -> list[Shape]:
    return recurrent_shapes(node, inputs, 2)


def cell(direction: Direction, seen: Floats, state: State) -> State:
    """One step: seen [n, batch, 4 hidden] is what the inputs add to the gates."""
    h, c = state
    i, o, f, g = blocks(seen + product(h, direction.r) + direction.rb[:, None], 4)
    p = [np.float32(0)] * 3 if direction.p is None else [part[:, None] for part in blocks(direction.p, 3)]
    i = direction.activate(0, i + p[0] * c)
    f = 1 - i if direction.node.attributes["coupled"] else direction.activate(0, f + p[2] * c)
    c = floats(f * c + i * direction.activate(1, g))
    o = direction.activate(0, o + p[1] * c)
    return floats(o * activate(direction.functions[2], c, 0.0)), c


def run(node: Node, arguments: Sequence[Any]) -> list[Array]:
    return run_recurrent(node, arguments, 4, cell, 2)


def macs(node: Node, inputs: Sequence[Shape], output: Shape) -> int:
    return recurrent_macs(node, inputs, 4)


def batch(source: SourceNode) -> list[int | None]:
    return batch_recurrent(source, 2)


def spell(node: Node, opset: int) -> list[Spelled]:
    return spell_recurrent(node, 2, input_forget=node.attributes["coupled"])


def _case(name: str, sizes: tuple[int, int, int], **given: Any) -> Case:
    return recurrent_case(name, sizes, 4, DEFAULTS, 2, **{"coupled": 0, **given})


def _draw(seed: int, *shape: int) -> Array:
    return floats(np.random.default_rng(seed).normal(0, 0.5, shape))


_OTHERS = (("HardSigmoid", 0.25, 0.5), ("Softsign", 0.0, 0.0), ("Tanh", 0.0, 0.0))

OPERATOR = Operator(
    "LSTM", read, shapes, run,
    (
        _case("forward", (6, 4, 5)),
        _case("one_step_one_cell", (1, 1, 1), bias=False),
        _case("reverse", (5, 3, 4), directions=(1,)),
        _case("bidirectional", (7, 5, 6), directions=(0, 1)),
        _case("initial_states", (4, 3, 5), directions=(0, 1), extra=(None, _draw(1, 2, 5), _draw(2, 2, 5))),
        _case("peepholes", (5, 4, 4), extra=(None, None, None, _draw(3, 1, 12))),
        _case("shorter", (6, 3, 4), directions=(0, 1), extra=(np.array([4], np.int32),)),
        _case("coupled", (5, 3, 4), coupled=1),
        _case("clipped", (5, 3, 4), clip=0.4),
        _case("other_activations", (5, 3, 4), activations=_OTHERS),
    ),
    macs, batch=batch, spell=spell,
)  # fmt: skip
