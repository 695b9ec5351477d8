"""C of ConvTranspose: one plain convolution for each place that an output can have within a stride."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from math import gcd
from typing import TYPE_CHECKING

import numpy as np

from trine.compilers.graph import Array
from trine.edge.c.linear import image, linear_fields, pack_rows
from trine.edge.c.linear16 import is_wide, linear16_text, pack_rows_16
from trine.edge.c.packing import padded
from trine.edge.c.schedule import Schedule
from trine.edge.program import IntegerProgram, Step

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter


@dataclass(frozen=True)
class AxisPhase:
    """`count` outputs of an axis, `first`, first + stride, ...: number i reads inputs i + offset + t * dilation.

    taps: of the kernel, for t = 0, 1, ...; none where no tap meets any input.
    """

    first: int
    count: int
    taps: tuple[int, ...]
    offset: int
    dilation: int


def axis_phases(out: int, kernel: int, stride: int, dilation: int, begin: int) -> list[AxisPhase]:
    """The phases of one axis that have outputs; `begin`: its first pad."""
    common = gcd(stride, dilation)
    phases = []
    for first in range(min(stride, out)):
        taps = [k for k in range(kernel) if (first + begin - k * dilation) % stride == 0]
        taps.reverse()  # inputs in rising order
        offset = (first + begin - taps[0] * dilation) // stride if taps else 0
        count = -(-(out - first) // stride)
        phases.append(AxisPhase(first, count, tuple(taps), offset, dilation // common))
    return phases


def phases_of(step: Step, out: tuple[int, ...]) -> list[tuple[AxisPhase, ...]]:
    """Every combination of the phases of the axes."""
    a, kernel = step.attributes, step.constants["weight"].shape[2:]
    each = [
        axis_phases(out[i], kernel[i], a["strides"][i], a["dilations"][i], a["pads"][i])
        for i in range(len(kernel))
    ]
    return list(product(*each))


def phase_weight(weight: Array, phase: tuple[AxisPhase, ...]) -> Array:
    """The taps of a phase [out, in/group, *taps]; a tap of zeros on an axis that has none: its sums are the bias."""
    for i, part in enumerate(phase):
        axis = 2 + i
        weight = np.take(weight, part.taps, axis) if part.taps else np.zeros_like(np.take(weight, [0], axis))
    return np.ascontiguousarray(weight)


def conv_transpose_layer(layer: LayerWriter, step: Step) -> None:
    """A shape, a row of weights a channel and a call for each phase."""
    wide = is_wide(layer.program, step)
    layer.need("copy", *(("int16", "linear16", "conv16") if wide else ("conv", "conv_transpose")))
    y, a = layer.tensor(step.output), step.attributes
    out_w = y.shape[-1]
    stride_h, stride_w = image(a["strides"], 1)
    for number, phase in enumerate(phases_of(step, y.shape[1:])):
        weight = phase_weight(step.constants["weight"], phase)
        part = replace(step, constants={**step.constants, "weight": weight})
        one = replace(layer, step=part, label=f"{layer.label}_{number}")
        rows = np.moveaxis(weight, 1, -1).reshape(len(weight), -1)
        text = phase_shape(one, phase)
        first_h, first_w = image(tuple(p.first for p in phase), 0)
        start = (first_h * out_w + first_w) * y.shape[0]
        steps = f"{stride_h * out_w * y.shape[0]}, {stride_w * y.shape[0]}"
        if wide:
            shape = one.structure("trine_shape16", "shape", text)
            stored = pack_rows_16(rows, a["group"], layer.source.schedule)
            linear = one.structure(
                "trine_linear16", "linear", linear16_text(one, stored, rows, padded(rows.shape[1]))
            )
            room = "(int16_t *)(void *)scratch"
            layer.line(f"trine_conv_phase16(x0, y + {start}, {room}, &{shape}, {linear}, {steps});")
            continue
        shape = one.structure("trine_shape", "shape", text)
        packed = pack_rows(rows, a["group"], layer.source.schedule.paired)
        fields = linear_fields(one, packed, rows.shape[1], padded(rows.shape[1]))
        linear = one.structure("trine_linear", "linear", fields)
        layer.line(f"trine_conv_phase(x0, y + {start}, scratch, &{shape}, {linear}, {steps});")


def phase_shape(layer: LayerWriter, phase: tuple[AxisPhase, ...]) -> str:
    """A `trine_shape` initialiser: a convolution of stride 1 over the whole input."""
    step = layer.step
    x, y, weight = layer.tensor(step.inputs[0]), layer.tensor(step.output), step.constants["weight"]
    taps = image(weight.shape[2:], 1)
    dilations = image(tuple(p.dilation for p in phase), 1)
    direct = int(step.attributes["group"] == 1 and taps[0] == 1 and (dilations[1] == 1 or taps[1] == 1))
    zero = () if x.dtype == "int16" else (x.zero_point,)
    values = (
        *image(x.shape[1:], 1), x.shape[0], weight.shape[1], *taps, 1, 1, *dilations,
        *image(tuple(-p.offset for p in phase), 0), *image(tuple(p.count for p in phase), 1), y.shape[0],
        step.attributes["group"], *zero, direct,
    )  # fmt: skip
    return "{" + ", ".join(map(str, values)) + "}"


def conv_transpose_scratch(program: IntegerProgram, step: Step, schedule: Schedule) -> int:
    """Two gathered windows of the phase with the most taps, and both expanded to halfwords where that is used."""
    out = program.tensors[step.output].shape[1:]
    longest = max(
        padded(int(np.prod(phase_weight(step.constants["weight"], phase).shape[1:])))
        for phase in phases_of(step, out)
    )
    if is_wide(program, step):
        return 2 * 2 * longest
    return (6 if schedule.wide else 2) * longest
