"""GRU in integers, one and two directions, both places of the reset gate; see `edge.recurrent` for the numbers.

The state is carried in int16: h' = (z h + ((2^15 - z) n >> (15 - bits)) + 2^14) >> 15; the recurrent weights read its
rounding to the state's codes. Reset before the product: r h rounded to those. After it: (r (h r) + 2^14) >> 15.
onnxruntime runs the QDQ print in float32: see docs/recurrent.md for how far apart they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array, Node
from trine.compilers.operators.gru import spell
from trine.edge.c.recurrent import gru_layer, recurrent_scratch
from trine.edge.lower import Lowering
from trine.edge.operators import Kernel
from trine.edge.program import IntegerProgram, Step
from trine.edge.qdq import QdqWriter
from trine.edge.recurrent import (
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

REMEMBERED = (
    1 << 16
) - 1  # bound of what the reset gate multiplies, in gate units (+-16): the product stays in int32


def lower(lowering: Lowering, node: Node) -> Step:
    late = int(node.attributes["linear_before_reset"])
    return lower_recurrent(
        lowering, node, Recurrence("gru", 3, "state", bool(late)), linear_before_reset=late
    )


def after(step: Step, direction: int, seen: NDArray[np.int64], state: State, zero_point: int) -> State:
    """One step; seen int64 [n, 3 hidden]: what the inputs add to the gates."""
    a, (h, fine) = step.attributes, state
    split = 2 * a["hidden"]

    def function(number: int, x: Array) -> NDArray[np.int64]:
        table = step.constants["tables"][a["functions"][direction][number]]
        return looked_up(table, a["offsets"][direction][number], saturated(x, a["clip"]))

    gates = seen[:, :split] + projected(step, "r", direction, h - zero_point, slice(0, split))
    z, r = (function(0, part) for part in np.split(gates, 2, axis=1))
    if a["linear_before_reset"]:
        remembered = projected(step, "r", direction, h - zero_point, slice(split, None))
        remembered = (r * np.clip(remembered, -REMEMBERED, REMEMBERED) + (ONE >> 1)) >> UNIT_BITS
    else:
        kept = narrowed(step.requantizer, r * fine)
        remembered = projected(step, "r", direction, kept - zero_point, slice(split, None))
    n = function(1, seen[:, split:] + remembered)
    fine = saturated((z * fine + (((ONE - z) * n) >> (UNIT_BITS - a["bits"])) + (ONE >> 1)) >> UNIT_BITS)
    return narrowed(step.requantizer, fine << UNIT_BITS), fine


def run(program: IntegerProgram, step: Step, inputs: Sequence[Array]) -> Any:
    return run_recurrent(program, step, inputs, after)


def qdq(writer: QdqWriter, step: Step) -> None:
    recurrent_qdq(writer, step, "GRU", spell, linear_before_reset=step.attributes["linear_before_reset"])


KERNEL = Kernel(
    "gru", ("GRU",), lower, run, qdq, gru_layer, layout="row", scratch=recurrent_scratch, apart=2, int16=True
)
