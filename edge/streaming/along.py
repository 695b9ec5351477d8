"""Which tensors of a program run along time, and how fast: the analysis before streaming.

Delay of a sequence's tensor y that reads x at stride * j + first .. + last: column j is known once x's column
stride * j + last is, so delay_y = ceil((delay_x + 1 + last - stride) / stride), 0 where that is negative. Ends of a
window: y's column j sees padding where it reads before column left_x or from column length_x - right_x on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from math import lcm

import numpy as np

from trine.compilers.graph import Shape
from trine.devices.errors import InputError
from trine.edge.program import IntegerProgram, Step
from trine.edge.streaming.program import Timed
from trine.edge.streaming.rules import Along, NotLocal, stream_of

MOST_GUESSES = 64


@dataclass(frozen=True)
class Analysis:
    """timed: tensors along time by name. along: of the steps that run along time, by place; made: what they make along
    time. refused: of the others, the reason each does not."""

    timed: Mapping[str, Timed]
    along: Mapping[int, Along]
    made: Mapping[int, Timed]
    refused: Mapping[int, str]

    @property
    def rates(self) -> int:
        """The least hop in which every tensor along time gets whole columns."""
        return lcm(*(t.rate for t in self.timed.values()))


def analyse(program: IntegerProgram, sequence: bool, hop: int | None = None) -> Analysis:
    """The analysis for the time axes of the inputs with which most of the network runs along time.

    sequence: outputs keep their time axis; else a window slides. hop: samples a step, where it is given: in a window,
    layers that would not get whole columns count as not along time. Raises InputError where no input has a time axis.
    """
    found = [follow(program, inputs, sequence, hop) for inputs in guesses(program)]
    if not found:
        shapes = ", ".join(f"{n} {list(program.tensors[n].shape)}" for n in program.inputs)
        raise InputError(f"--stream needs an input with a time axis; the inputs are {shapes}")
    return max(found, key=lambda a: (len(a.along), len(a.timed)))


def guesses(program: IntegerProgram) -> Iterator[dict[str, Timed]]:
    """Ways to read the inputs: the last axis is time, or another; a vector is no signal unless it is all there is."""
    ranks = {name: len(program.tensors[name].shape) for name in program.inputs}
    least = 2 if max(ranks.values()) > 1 else 1
    choices = [[None] if rank < least else list(reversed(range(rank))) for rank in ranks.values()]
    for number, axes in enumerate(product(*choices)):
        if number == MOST_GUESSES:
            return
        lengths = {
            name: program.tensors[name].shape[axis]
            for name, axis in zip(ranks, axes, strict=True)
            if axis is not None
        }
        longest = max(lengths.values(), default=0)
        if any(not outermost(program.tensors[n].shape, axis) for n, axis in zip(ranks, axes, strict=True)):
            continue
        if longest > 1 and all(longest % length == 0 for length in lengths.values()):
            yield {
                name: Timed(name, axis, longest // lengths[name], lengths[name])
                for name, axis in zip(ranks, axes, strict=True)
                if axis is not None
            }


def outermost(shape: Shape, axis: int | None) -> bool:
    """Whether columns lie one behind the other in memory: time is the first axis, or the first but for the channels."""
    return axis is None or int(np.prod(shape[1:axis])) == 1


def follow(program: IntegerProgram, inputs: Mapping[str, Timed], sequence: bool, hop: int | None) -> Analysis:
    """Follow time through the steps; in a window, without the steps in which nothing would be kept for the next."""
    barred: dict[int, str] = {}
    while True:
        found = once(program, inputs, sequence, barred, hop)
        if sequence:
            return found
        step_hop = hop or found.rates
        worse = {i: why for i, y in found.made.items() if (why := idle(y, step_hop))}
        if not worse:
            return found
        first = min(worse)
        barred[first] = worse[first]


def idle(y: Timed, hop: int) -> str:
    """Why a step of a window keeps nothing of its output for the next one; "" where it does."""
    if hop % y.rate:
        return f"its output has a column every {y.rate} samples, not a whole number in {hop}"
    if y.interior <= hop // y.rate:
        free = max(y.interior, 0)
        return (
            f"of its {y.length} columns a window, {free} are free of padding and a hop makes {hop // y.rate}"
        )
    return ""


def once(
    program: IntegerProgram,
    inputs: Mapping[str, Timed],
    sequence: bool,
    barred: Mapping[int, str],
    hop: int | None,
) -> Analysis:
    """One pass over the steps. A step with a state must not see columns before the start: where the hop is known, its
    delay is whole hops."""
    timed, along, refused, made = dict(inputs), dict[int, Along](), dict[int, str](), dict[int, Timed]()
    for i, step in enumerate(program.steps):
        try:
            if i in barred:
                raise NotLocal(barred[i])
            here = along_of(program, step, timed, sequence)
        except NotLocal as reason:
            refused[i] = str(reason)
            continue
        along[i] = here
        made[i] = output_of(program, step, here, timed)
        if here.state and hop and hop % made[i].rate == 0:
            shift = hop // made[i].rate
            made[i] = replace(made[i], delay=-(-made[i].delay // shift) * shift)
        kept = {state.tensor.name for state in here.state}
        for name in step.outputs:
            if name not in kept:
                timed[name] = replace(made[i], name=name)
    return Analysis(timed, along, made, refused)


def along_of(program: IntegerProgram, step: Step, timed: Mapping[str, Timed], sequence: bool) -> Along:
    """How a step runs along time. Raises NotLocal."""
    rule = stream_of(step.kernel)
    if rule is None:
        raise NotLocal(f"how {step.kernel} works along time is not known")
    sources = [timed.get(name) for name in step.inputs]
    if not any(sources):
        raise NotLocal("what it reads has no time axis")
    found = rule.along(program, step, [None if s is None else s.axis for s in sources])
    read = [(s, r) for s, r in zip(sources, found.reaches, strict=True) if r is not None]
    if any(s is None for s, _ in read):
        raise NotLocal("part of what it reads has no time axis")
    if len({s.rate * r.stride for s, r in read if s is not None}) > 1:
        raise NotLocal("what it reads runs at different rates")
    if not found.state and not outermost(program.tensors[step.output].shape, found.axis):
        raise NotLocal("time is the second of its spatial axes; make it the first")
    if found.state and not sequence:
        raise NotLocal("its state would begin anew in every window")
    if sequence and found.outside is None and any(r.first < 0 for _, r in read):
        raise NotLocal("its first windows hold fewer values than the others (count_include_pad)")
    return found


def output_of(program: IntegerProgram, step: Step, along: Along, timed: Mapping[str, Timed]) -> Timed:
    """What a step makes along time, under the name of its first output; a step with a state keeps the length."""
    of = step.inputs[0] if along.state else step.output
    length = program.tensors[of].shape[along.axis]
    delay = left = right = rate = 0
    for source, r in zip(step.inputs, along.reaches, strict=True):
        if r is None:
            continue
        x = timed[source]
        rate = x.rate * r.stride
        delay = max(delay, -((r.stride - x.delay - 1 - r.last) // r.stride))
        left = max(left, -((r.first - x.left) // r.stride))
        clear = (x.length - x.right - 1 - r.last) // r.stride + 1  # the first column that sees the right end
        right = max(right, length - max(clear, 0))
    return Timed(step.output, along.axis, rate, length, delay, min(left, length), min(right, length))
