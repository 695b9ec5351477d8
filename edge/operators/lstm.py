"""LSTM in integers, one and two directions; see `edge.recurrent` for the numbers.

c' = (f c + (i g >> (15 - bits)) + 2^14) >> 15, saturated to int16; h' = o h(c') rounded to the state's codes.
onnxruntime runs the QDQ print in float32: see docs/recurrent.md for how far apart they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array, Node
from trine.compilers.operators.lstm import spell
from trine.edge.c.recurrent import lstm_layer, recurrent_scratch
from trine.edge.lower import Lowering
from trine.edge.operators import Kernel
from trine.edge.program import IntegerProgram, Step
from trine.edge.qdq import QdqWriter
from trine.edge.recurrent import (
    GATE_BITS,
    ONE,
    UNIT_BITS,
    State,
    looked_up,
    narrowed,
    projected,
    run_recurrent,
    saturated,
)
from trine.edge.recurrent_lower import Recurrence, lower_recurrent
from trine.edge.recurrent_qdq import recurrent_qdq


def lower(lowering: Lowering, node: Node) -> Step:
    return lower_recurrent(
        lowering, node, Recurrence("lstm", 4, "cell"), coupled=int(node.attributes["coupled"])
    )


def after(step: Step, direction: int, seen: NDArray[np.int64], state: State, zero_point: int) -> State:
    """One step; seen int64 [n, 4 hidden]: what the inputs add to the gates."""
    a, (h, c) = step.attributes, state
    bits, clip = a["bits"], a["clip"]
    i, o, f, g = np.split(seen + projected(step, "r", direction, h - zero_point), 4, axis=1)

    def function(number: int, x: Array, bound: int = clip) -> NDArray[np.int64]:
        table = step.constants["tables"][a["functions"][direction][number]]
        return looked_up(table, a["offsets"][direction][number], saturated(x, bound))

    def peephole(number: int, cell: Array) -> Array:
        if "p" not in step.constants:
            return np.zeros(1, np.int64)
        shift = int(step.constants["p_bits"][0]) + bits - GATE_BITS
        p = np.split(step.constants["p"][direction].astype(np.int64), 3)[number]
        return np.asarray((p * cell + (1 << (shift - 1))) >> shift)

    i = function(0, i + peephole(0, c))
    f = ONE - i if a["coupled"] else function(0, f + peephole(2, c))
    product = (i * function(1, g)) >> (UNIT_BITS - bits)
    c = saturated((f * c + product + (ONE >> 1)) >> UNIT_BITS)
    o = function(0, o + peephole(1, c))
    drop = bits - GATE_BITS
    seen_cell = (c + (1 << (drop - 1))) >> drop if drop > 0 else c << -drop
    return narrowed(step.requantizer, o * function(2, seen_cell, 32767)), c


def run(program: IntegerProgram, step: Step, inputs: Sequence[Array]) -> Any:
    return run_recurrent(program, step, inputs, after)


def qdq(writer: QdqWriter, step: Step) -> None:
    recurrent_qdq(writer, step, "LSTM", spell, coupled=step.attributes["coupled"])


KERNEL = Kernel(
    "lstm",
    ("LSTM",),
    lower,
    run,
    qdq,
    lstm_layer,
    layout="row",
    scratch=recurrent_scratch,
    apart=2,
    int16=True,
)
