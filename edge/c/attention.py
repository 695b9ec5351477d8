"""C of attention: one row of scores at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trine.edge.c.schedule import Schedule
from trine.edge.program import IntegerProgram, Step

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter


def attention_layer(layer: LayerWriter, step: Step) -> None:
    layer.need("attention")
    a, b, v = (layer.tensor(name) for name in step.inputs)
    y, p = layer.tensor(step.output), step.attributes
    (rows, depth), keys, values = a.shape[-2:], b.shape[-1], v.shape[-1]
    tables = [layer.array(name, step.constants[name]) for name in ("high", "low")]
    zeros = [tensor.zero_point for tensor in (a, b, v, y)]
    numbers = ", ".join(
        str(int(n))
        for n in (rows, depth, keys, values, p["multiplier"], p["shift"], p["bits"], p["ratio"], *zeros)
    )
    fields = f"{{{tables[0]}, {tables[1]}, {numbers}}}"
    shape = layer.structure("trine_attention_shape", "shape", fields)
    stack = int(np.prod(a.shape[:-2]))
    at = (
        f"x0 + g * {rows * depth}, x1 + g * {depth * keys}, x2 + g * {keys * values}, y + g * {rows * values}"
    )
    layer.line(f"for (int32_t g = 0; g < {stack}; g++)")
    layer.line(f"    trine_attention({at}, (int32_t *)(void *)scratch, &{shape});")


def attention_scratch(program: IntegerProgram, step: Step, schedule: Schedule) -> int:
    """The scores of one row, four bytes each."""
    return 4 * int(program.tensors[step.inputs[1]].shape[-1])
