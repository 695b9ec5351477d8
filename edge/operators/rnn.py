"""RNN in integers, one and two directions: h' = f(x w + h r) as int8; see `edge.recurrent` for the numbers.

onnxruntime runs the QDQ print in float32: see docs/recurrent.md for how far apart they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array, Node
from trine.compilers.operators.rnn import spell
from trine.edge.c.recurrent import recurrent_scratch, rnn_layer
from trine.edge.lower import Lowering
from trine.edge.operators import Kernel
from trine.edge.program import IntegerProgram, Step
from trine.edge.qdq import QdqWriter
from trine.edge.recurrent import UNIT_BITS, State, looked_up, narrowed, projected, run_recurrent, saturated
from trine.edge.recurrent_lower import Recurrence, lower_recurrent
from trine.edge.recurrent_qdq import recurrent_qdq


def lower(lowering: Lowering, node: Node) -> Step:
    return lower_recurrent(lowering, node, Recurrence("rnn", 1))


def after(step: Step, direction: int, seen: NDArray[np.int64], state: State, zero_point: int) -> State:
    """One step; seen int64 [n, hidden]: what the inputs add."""
    a = step.attributes
    gate = saturated(seen + projected(step, "r", direction, state[0] - zero_point), a["clip"])
    value = looked_up(
        step.constants["tables"][a["functions"][direction][0]], a["offsets"][direction][0], gate
    )
    return (narrowed(step.requantizer, value << UNIT_BITS),)


def run(program: IntegerProgram, step: Step, inputs: Sequence[Array]) -> Any:
    return run_recurrent(program, step, inputs, after)


def qdq(writer: QdqWriter, step: Step) -> None:
    recurrent_qdq(writer, step, "RNN", spell)


KERNEL = Kernel(
    "rnn", ("RNN",), lower, run, qdq, rnn_layer, layout="row", scratch=recurrent_scratch, apart=4, int16=True
)
