"""How each kernel works along time: which columns it reads for a column of its output, and how a piece of it is run.

A column is what a tensor holds for one place on its time axis. A kernel of another package or file says it by a record
`STREAM` beside its `KERNEL`; the kernels that are plain along time have theirs here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from trine.compilers.graph import Array, Shape
from trine.edge.program import IntegerProgram, QuantizedTensor, Step

Axes = Sequence[int | None]
OPERAND = re.compile(r"constant|i\d+")  # names of constants that are operands


class NotLocal(Exception):
    """A step whose output columns each need the whole of time, or that streaming does not know; says why."""


@dataclass(frozen=True)
class Reach:
    """Output column j reads input columns stride * j + first to stride * j + last, every `gap`-th of them."""

    stride: int = 1
    first: int = 0
    last: int = 0
    gap: int = 1


@dataclass(frozen=True)
class Along:
    """A step along time. axis: time in its output. reaches: of each input.

    outside: the stored value that columns before the first one stand for; None where the step has no such value,
    because what it computes there depends on how many columns lie outside.
    state: what goes from one call to the next, for a step that has a state. Its part takes these values as its last
    inputs and gives them as its last outputs; one may be an output of the step (the last state of a recurrent layer).
    """

    axis: int
    reaches: tuple[Reach | None, ...]
    outside: int | None = None
    state: tuple[Kept, ...] = ()


@dataclass(frozen=True)
class Kept:
    """A value that goes from call to call, and what it is after a reset."""

    tensor: QuantizedTensor
    initial: Array


@dataclass(frozen=True)
class Stream:
    """One kernel along time.

    along(program, step, axes) -> Along, from the time axis of each input; raises NotLocal.
    part(step, along, pads, columns) -> the step for `columns` columns of its output, where `pads` columns of padding
    are left before and after those it is given.
    """

    along: Callable[[IntegerProgram, Step, Axes], Along]
    part: Callable[[Step, Along, tuple[int, int], int], Step]


def stream_of(kernel: str) -> Stream | None:
    """The record of a kernel: of its own file, else of this one; None for a kernel that is not known along time."""
    return own_record(kernel) or RULES.get(kernel)


@cache
def own_record(kernel: str) -> Stream | None:
    """`STREAM` of the file of edge/operators that serves the kernel."""
    from trine.edge.operators import kernels

    record = kernels()[kernel]
    module = import_module(record.run.__module__)
    found = getattr(module, "STREAM", None)
    return found if isinstance(found, Stream) else None


def only_axis(axes: Axes) -> int:
    """The time axis that all inputs share."""
    found = set(axes)
    if len(found) != 1 or None in found:
        raise NotLocal("its inputs do not share a time axis")
    return next(a for a in axes if a is not None)


def unchanged(step: Step, along: Along, pads: tuple[int, int], columns: int) -> Step:
    """A part is the same step on fewer columns."""
    return step


def along_window(program: IntegerProgram, step: Step, axes: Axes) -> Along:
    """Conv and pools: a window that slides over the spatial axes, all but the first."""
    axis, a = only_axis(axes), step.attributes
    if axis == 0:
        raise NotLocal("its windows do not slide along time: time is its channel axis")
    i = axis - 1
    kernel = a["kernel_shape"] if "kernel_shape" in a else step.constants["weight"].shape[2:]
    x, y = (program.tensors[n].shape for n in (step.inputs[0], step.output))
    reach = (kernel[i] - 1) * a["dilations"][i]
    if len(y) < len(x) or (y[axis] == 1 and x[axis] > 1 and reach + 1 >= x[axis]):
        raise NotLocal("it is one window over all of time")
    if any(a.get("uncounted", ())) and a["dilations"][i] > 1:
        raise NotLocal("its window is dilated and rounded up at the end")
    first = -a["pads"][i]
    tensor = program.tensors[step.inputs[0]]
    least = tensor.limits[0]
    outside: int | None = {"max_pool": least, "mean": None, "mean_stated": None}.get(
        step.kernel, tensor.zero_point
    )
    if outside is None and a.get("count_include_pad"):
        outside = tensor.zero_point
    return Along(axis, (Reach(a["strides"][i], first, first + reach, a["dilations"][i]),), outside)


def part_window(step: Step, along: Along, pads: tuple[int, int], columns: int) -> Step:
    """The same window with other padding along time; a single column is given the columns it reads and no others.

    Cells of the end's padding that did not count still do not.
    """
    i, a = along.axis - 1, dict(step.attributes)
    end = len(a["pads"]) // 2 + i
    every, gaps = list(a["pads"]), list(a["dilations"])
    if any(a.get("uncounted", ())):
        left_out = list(a["uncounted"])
        left_out[i] = max(0, pads[1] - (every[end] - left_out[i]))
        a["uncounted"] = tuple(left_out)
    every[i], every[end] = pads
    if columns == 1:
        gaps[i] = 1
    return replace(step, attributes={**a, "pads": tuple(every), "dilations": tuple(gaps)})


def along_elements(program: IntegerProgram, step: Step, axes: Axes) -> Along:
    """Kernels that work element by element: constants must be the same for all of time."""
    axis, shape = only_axis(axes), program.tensors[step.output].shape
    if any(len(program.tensors[n].shape) != len(shape) for n in step.inputs):
        raise NotLocal("its inputs differ in rank")
    if any(program.tensors[n].shape[axis] != shape[axis] for n in step.inputs):
        raise NotLocal("one of its inputs is repeated along time")
    for constant in timed(step, shape, axis).values():
        if np.any(constant != np.take(constant, [0], axis)):
            raise NotLocal("its constant changes along time")
    return Along(axis, (Reach(),) * len(step.inputs))


def timed(step: Step, shape: Shape, axis: int) -> dict[str, Any]:
    """Constants laid out over the whole output."""
    return {
        name: value
        for name, value in step.constants.items()
        if OPERAND.fullmatch(name) and value.ndim == len(shape) and value.shape[axis] == shape[axis] > 1
    }


def part_elements(step: Step, along: Along, pads: tuple[int, int], columns: int) -> Step:
    """Constants over the output are cut to the columns; they are the same in all of them."""
    constants = dict(step.constants)
    for name, value in constants.items():
        if OPERAND.fullmatch(name) and value.ndim > along.axis and value.shape[along.axis] > columns:
            constants[name] = np.ascontiguousarray(np.take(value, range(columns), along.axis))
    return replace(step, constants=constants)


def along_channels(program: IntegerProgram, step: Step, axes: Axes) -> Along:
    """A scale for each channel, the first axis."""
    axis = only_axis(axes)
    if axis == 0:
        raise NotLocal("its numbers change along time: time is its channel axis")
    return Along(axis, (Reach(),))


def along_normalised(program: IntegerProgram, step: Step, axes: Axes) -> Along:
    """Layer and RMS normalisation over the axes behind time."""
    axis, rank = only_axis(axes), len(program.tensors[step.output].shape)
    if step.attributes["op"] not in ("LayerNormalization", "RMSNormalization"):
        raise NotLocal("it normalises over all of time")
    if rank - step.attributes["of"]["last"] <= axis:
        raise NotLocal("it normalises over all of time")
    return Along(axis, (Reach(),))


def along_slice(program: IntegerProgram, step: Step, axes: Axes) -> Along:
    """A Slice that takes all of time."""
    axis = only_axis(axes)
    if step.attributes["op"] != "Slice":
        raise NotLocal(f"how {step.attributes['op']} works along time is not known")
    length = program.tensors[step.inputs[0]].shape[axis]
    of = step.attributes["of"]
    if (of["starts"][axis], of["steps"][axis], of["counts"][axis]) != (0, 1, length):
        raise NotLocal("it takes a part of time")
    return Along(axis, (Reach(),))


def part_slice(step: Step, along: Along, pads: tuple[int, int], columns: int) -> Step:
    """The same channels of fewer columns."""
    counts = list(step.attributes["of"]["counts"])
    counts[along.axis] = columns
    of = {**step.attributes["of"], "counts": tuple(counts)}
    return replace(step, attributes={**step.attributes, "of": of})


def along_rows(program: IntegerProgram, step: Step, axes: Axes) -> Along:
    """Dense: every row of the input times the weights."""
    axis = only_axis(axes)
    if axis == len(program.tensors[step.inputs[0]].shape) - 1:
        raise NotLocal("it mixes all of time: time is the axis its weights sum over")
    return Along(axis, (Reach(),))


def along_matmul(program: IntegerProgram, step: Step, axes: Axes) -> Along:
    """A product with a constant; time must be the axis that stays."""
    place, shape = step.attributes["constant"], program.tensors[step.inputs[0]].shape
    if place is None or len(shape) != 2 or step.constants["constant"].ndim != 2:
        raise NotLocal("it multiplies all of time with all of time, as attention does")
    axis = only_axis(axes)
    if axis != (0 if place == 1 else 1):
        raise NotLocal("it mixes all of time: time is the axis it sums over")
    return Along(axis, (Reach(),))


def along_other_axis(program: IntegerProgram, step: Step, axes: Axes) -> Along:
    """Softmax and Concat: along an axis that is not time."""
    axis = only_axis(axes)
    if step.attributes["axis"] == axis:
        what = "normalises over" if step.kernel.startswith("softmax") else "joins pieces of"
        raise NotLocal(f"it {what} all of time")
    return Along(axis, (Reach(),) * len(step.inputs))


def along_transpose(program: IntegerProgram, step: Step, axes: Axes) -> Along:
    return Along(tuple(step.attributes["perm"]).index(only_axis(axes)), (Reach(),))


def along_reshape(program: IntegerProgram, step: Step, axes: Axes) -> Along:
    """A reshape that leaves time an axis of its own."""
    axis = only_axis(axes)
    x, y = program.tensors[step.inputs[0]].shape, program.tensors[step.output].shape
    before = int(np.prod(x[:axis]))
    for i, size in enumerate(y):
        if size == x[axis] and int(np.prod(y[:i])) == before:
            return Along(i, (Reach(),))
    raise NotLocal("it folds time into another axis")


def along_mean_axes(program: IntegerProgram, step: Step, axes: Axes) -> Along:
    axis, over = only_axis(axes), step.attributes["axes"]
    if axis in over:
        raise NotLocal("it takes the mean over all of time")
    kept = len(program.tensors[step.output].shape) == len(program.tensors[step.inputs[0]].shape)
    return Along(axis if kept else axis - sum(a < axis for a in over), (Reach(),))


def along_recurrent(program: IntegerProgram, step: Step, axes: Axes) -> Along:
    """LSTM, GRU and RNN that run forwards: their state goes from call to call."""
    a, c = step.attributes, step.constants
    if any(a["directions"]):
        raise NotLocal(
            "it runs backwards over time: its first answer needs the last sample; take one that runs forwards"
        )
    if len(step.inputs) > 1:
        raise NotLocal("its first state is an input; make it a constant")
    if axes[0] != 0 or a["length"] != program.tensors[step.inputs[0]].shape[0]:
        raise NotLocal("it does not run over all of time (sequence_lens)")
    if a["written"][2]:
        raise NotLocal(
            "its last cell is read; only the state that the next layer sees is there after every step"
        )
    shape, r = (len(a["directions"]), a["hidden"]), step.requantizer
    last = step.outputs[a["written"][0]] if a["written"][1] else f"state h of {step.name}"
    kind = program.tensors[step.inputs[0]].dtype
    tensor = QuantizedTensor(last, shape, a["state_scale"], r.zero_point, kind)
    kept = [Kept(tensor, np.broadcast_to(c["h_start"].astype(kind), shape).copy())]
    if "c_start" in c:
        fine = QuantizedTensor(f"state c of {step.name}", shape, dtype="int16")
        kept.append(Kept(fine, np.broadcast_to(c["c_start"].astype(np.int16), shape).copy()))
    return Along(0, (Reach(),), state=tuple(kept))


def part_recurrent(step: Step, along: Along, pads: tuple[int, int], columns: int) -> Step:
    """The same layer from the state before to the state after."""
    written = (step.attributes["written"][0], 1, int(len(along.state) > 1))
    resumed = {"length": columns, "h_from": 1, "c_from": 2, "written": written, "resumed": 1}
    return replace(step, attributes={**step.attributes, **resumed})


RULES: Mapping[str, Stream] = {
    **dict.fromkeys(("conv", "max_pool", "mean", "mean_stated"), Stream(along_window, part_window)),
    **dict.fromkeys(
        ("table", "rescale", "add", "mul", "minmax", "div", "power", "prelu"),
        Stream(along_elements, part_elements),
    ),
    "channel_scale": Stream(along_channels, unchanged),
    "normalise": Stream(along_normalised, unchanged),
    "move": Stream(along_slice, part_slice),
    **dict.fromkeys(("softmax", "softmax_stated", "concat"), Stream(along_other_axis, unchanged)),
    "dense": Stream(along_rows, unchanged),
    "matmul": Stream(along_matmul, unchanged),
    "transpose": Stream(along_transpose, unchanged),
    "reshape": Stream(along_reshape, unchanged),
    **dict.fromkeys(("lstm", "gru", "rnn"), Stream(along_recurrent, part_recurrent)),
    "mean_axes": Stream(along_mean_axes, unchanged),
}
