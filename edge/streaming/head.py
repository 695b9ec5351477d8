"""What follows the layers along time: steps on whole windows or last states, and means over all of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from trine.devices.errors import InputError
from trine.edge.program import IntegerProgram, Step
from trine.edge.streaming.program import Gather, MeanOf, Piece, Timed, tail

if TYPE_CHECKING:
    from trine.edge.streaming.build import Builder


def make_head(builder: Builder) -> IntegerProgram | None:
    """The steps after the layers along time, on whole windows or last states; means over time come from running
    sums."""
    rest = [step for i, step in enumerate(builder.program.steps) if i not in builder.found.along]
    if builder.kind == "sequence" and not rest:
        return None
    boundary = [n for s in rest for n in s.inputs if n in builder.found.timed]
    steps = []
    means = []
    for step in rest:
        if sums_up(builder, step, boundary):
            means.append(step)
        else:
            steps.append(step)
    for step in means:
        add_mean(builder, step)
    read = {n for s in steps for n in s.inputs}
    for name in dict.fromkeys(n for n in boundary if n in read):
        gather_whole(builder, builder.found.timed[name])
    written = {n for s in steps for n in s.outputs}
    outputs = builder.program.outputs
    inputs = dict.fromkeys(n for s in steps for n in s.inputs if n not in written)
    outputs = tuple(n for n in outputs if builder.kind == "window" or n not in builder.found.timed)
    inputs |= dict.fromkeys(n for n in outputs if n not in written)
    names = {*inputs, *written}
    tensors = {n: t for n, t in builder.program.tensors.items() if n in names}
    return replace(
        builder.program, inputs=tuple(inputs), steps=tuple(steps), tensors=tensors,
        outputs=outputs,
    )  # fmt: skip


def gather_whole(builder: Builder, x: Timed) -> None:
    """All columns of a window under the tensor's own name."""
    if x.name in builder.program.inputs:
        raise InputError(
            f"{builder.program.name} cannot be streamed: its input {x.name} is read whole beside the layers along time"
        )
    value = builder.gather(x, range(x.length))
    builder.tensors[x.name] = builder.program.tensors[x.name]
    builder.operations.append(Gather(x.name, x.axis, (Piece(value, False, 0, x.length),)))


def sums_up(builder: Builder, step: Step, boundary: Sequence[str]) -> bool:
    """Whether a step is a mean over all of time of a tensor along time, with nothing else to sum over."""
    x = builder.found.timed.get(step.inputs[0])
    if x is None or step.kernel not in ("mean", "mean_axes") or boundary.count(x.name) != 1:
        return False
    if x.name in builder.program.inputs or x.interior < 2 * builder.shift(x):
        return False
    shape = builder.program.tensors[x.name].shape
    others = [size for a, size in enumerate(shape) if a not in (0, x.axis)]
    if step.kernel == "mean_axes":
        return tuple(step.attributes["axes"]) == (x.axis,)
    size = builder.program.tensors[step.output].size
    return (
        x.axis > 0 and all(s == 1 for s in others) and size == shape[0] and not any(step.attributes["pads"])
    )


def add_mean(builder: Builder, step: Step) -> None:
    """A mean from running sums."""
    x = builder.found.timed[step.inputs[0]]
    builder.summed[x.name] = builder.program.tensors[x.name].size // x.length
    builder.lags[x.name] = max(builder.lags.get(x.name, 0), x.interior)
    ends = []
    if x.left:
        ends.append(Piece(f"{x.name}@left", False, 0, x.left))
    if x.right:
        ends.append(Piece(tail(x.name), False, builder.shift(x), x.right))
    builder.tensors[step.output] = builder.program.tensors[step.output]
    builder.operations.append(MeanOf(step, x.name, tuple(ends)))
