"""C of attention: one row of scores at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trine.edge.c.linear16 import is_wide
from trine.edge.c.schedule import Schedule
from trine.edge.program import IntegerProgram, Step

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter


NUMBERS = ("multiplier", "shift", "bits", "ratio")
KINDS = (("trine_attention", ("high", "low")), ("trine_attention16", ("powers",)))


def attention_layer(layer: LayerWriter, step: Step) -> None:
    wide = is_wide(layer.program, step)
    layer.need("divide", "attention", *(["softmax16", "attention16"] if wide else []))
    (kind, names), p = KINDS[wide], step.attributes
    a, b, v, y = (layer.tensor(name) for name in (*step.inputs[:3], step.output))
    (rows, depth), keys, values = a.shape[-2:], b.shape[-1], v.shape[-1]
    tables = [layer.array(name, step.constants[name]) for name in names]
    stack = int(np.prod(a.shape[:-2]))
    mask, next_row, next_one = mask_of(layer, step, stack)
    own = [p["narrow"]] if wide else [tensor.zero_point for tensor in (a, b, v, y)]
    numbers = [int(n) for n in (rows, depth, keys, values, *(p[n] for n in NUMBERS), *own, next_row)]
    fields = ", ".join(map(str, (*tables, *numbers)))
    shape = layer.structure(f"{kind}_shape", "shape", f"{{{fields}}}")
    at = (
        f"x0 + g * {rows * depth}, x1 + g * {depth * keys}, x2 + g * {keys * values}, y + g * {rows * values}"
    )
    shown = f"{mask} + g * {next_one}" if mask else "0"
    layer.line(f"for (int32_t g = 0; g < {stack}; g++)")
    layer.line(f"    {kind}({at}, (int32_t *)(void *)scratch, {shown}, &{shape});")


def mask_of(layer: LayerWriter, step: Step, stack: int) -> tuple[str, int, int]:
    """C of the mask ("" without one), and how far it is from row to row and from one attention to the next."""
    value = step.constants.get("mask")
    if value is None and len(step.inputs) < 4:
        return "", 0, 0
    shape = value.shape if value is not None else layer.tensor(step.inputs[3]).shape
    pointer = layer.array("mask", value) if value is not None else "x3"
    size = int(np.prod(shape[-2:]))
    next_one = size if stack > 1 and int(np.prod(shape[:-2])) == stack else 0
    return pointer, shape[-1] if shape[-2] > 1 else 0, next_one


def attention_scratch(program: IntegerProgram, step: Step, schedule: Schedule) -> int:
    """The scores of one row, four bytes each."""
    return 4 * int(program.tensors[step.inputs[1]].shape[-1])
