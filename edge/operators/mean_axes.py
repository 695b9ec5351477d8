"""ReduceMean over any axes of one example in integers; reached through the mean kernel's `lower`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.edge.c.pool import mean_axes_layer
from trine.edge.operators import Kernel
from trine.edge.operators.mean import lower_other_axes, qdq
from trine.edge.program import Int8, IntegerProgram, Step


def run(program: IntegerProgram, step: Step, inputs: Sequence[Int8]) -> Int8:
    centred = inputs[0].astype(np.int64) - program.tensors[step.inputs[0]].zero_point
    sums = centred.sum(axis=tuple(a + 1 for a in step.attributes["axes"]), keepdims=True)
    q = step.requantizer.apply(sums, axis=0)
    return np.asarray(q.reshape(len(q), *program.tensors[step.output].shape))


KERNEL = Kernel("mean_axes", (), lower_other_axes, run, qdq, mean_axes_layer, layout="row", int16=True)
