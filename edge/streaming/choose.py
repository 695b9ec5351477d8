"""Whether a program streams as a sequence or as a window, and why not where neither."""

from __future__ import annotations

import re

from trine.devices.errors import InputError
from trine.edge.program import IntegerProgram
from trine.edge.streaming.along import Analysis, analyse
from trine.edge.streaming.build import Builder
from trine.edge.streaming.program import StreamProgram
from trine.edge.streaming.rules import NotLocal, stream_of

RESERVED = re.compile(r"@(tail|left|row|last|turned|next|\d+)$")  # ends of the names of a stream's values
ADVICE = (
    "a network whose outputs have no time axis is computed over a sliding window; one whose outputs have must be made "
    "of layers that look at a few neighbouring columns: causal convolutions, elementwise layers, recurrent layers"
)


def stream(program: IntegerProgram, hop: int | None = None) -> StreamProgram:
    """The program as a step function; hop: new samples a step, by default the least at which every layer gets a column.

    Raises InputError where the network cannot be streamed, naming every layer that is in the way.
    """
    if taken := [name for name in program.tensors if RESERVED.search(name)]:
        raise InputError(
            f"{program.name} cannot be streamed: rename {', '.join(taken)}; such names are the stream's own"
        )
    sequence = analyse(program, True)
    in_the_way = blocking(program, sequence)
    if not in_the_way and outputs_follow(program, sequence):
        hop = checked_hop(sequence, hop)
        return Builder(program, analyse(program, True, hop), "sequence", hop).build()
    window = analyse(program, False, hop)
    if time_kept(program, window) & set(program.outputs) or not window.along:
        raise InputError(refusal(program, sequence if in_the_way else window))
    return Builder(program, window, "window", hop or window.rates).build()


def after_states(program: IntegerProgram, found: Analysis) -> set[str]:
    """Tensors that follow from last states and inputs without time axis alone: known anew after every step."""
    known = {kept.tensor.name for along in found.along.values() for kept in along.state}
    known.update(name for name in program.inputs if name not in found.timed)
    for i, step in enumerate(program.steps):
        if i in found.refused and known.issuperset(step.inputs):
            known.update(step.outputs)
    return known


def blocking(program: IntegerProgram, found: Analysis) -> list[int]:
    """Steps that make a network no sequence."""
    known = after_states(program, found)
    return [i for i in found.refused if not known.issuperset(program.steps[i].inputs)]


def outputs_follow(program: IntegerProgram, found: Analysis) -> bool:
    """Whether every output runs along time, or follows from last states that do not lag behind the signal."""
    late = any(found.made[i].delay for i, along in found.along.items() if along.state)
    known = after_states(program, found)
    return all(name in found.timed or (name in known and not late) for name in program.outputs)


def time_kept(program: IntegerProgram, found: Analysis) -> set[str]:
    """Tensors with a time axis, those after layers that mix all of time among them: such a layer keeps the axis where
    its output is as long there as what it reads."""
    axes = {name: timed.axis for name, timed in found.timed.items()}
    for step in program.steps:
        read = [name for name in step.inputs if name in axes]
        if step.output in axes or not read:
            continue
        axis, rule = axes[read[0]], stream_of(step.kernel)
        length, shape = program.tensors[read[0]].shape[axis], program.tensors[step.output].shape
        try:
            if rule is not None:
                axis = rule.along(program, step, [axes.get(n) for n in step.inputs]).axis
        except NotLocal:
            pass  # where it keeps an axis, it keeps its place
        if axis < len(shape) and shape[axis] == length:
            axes[step.output] = axis
    return set(axes)


def refusal(program: IntegerProgram, found: Analysis) -> str:
    """Every layer that is in the way, with its reason."""
    lines = [
        f"layer {program.steps[i].name} ({program.steps[i].kernel}): {why}"
        for i, why in found.refused.items()
    ]
    return f"{program.name} cannot be streamed:\n  " + "\n  ".join(lines) + f"\n{ADVICE}"


def checked_hop(found: Analysis, hop: int | None) -> int:
    """The hop of a sequence. Raises InputError for one that splits a column."""
    if hop is None:
        return found.rates
    if hop % found.rates:
        raise InputError(
            f"--hop {hop}: the strides of this network make a column of some layer every {found.rates} samples; "
            f"give a multiple of {found.rates}"
        )
    return hop
