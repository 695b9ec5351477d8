"""Which first layers of a program can run band by band, up to which tensor, and which rows each band needs.

A band is a run of places on one axis: rows of an image (its first spatial axis), samples of a signal. How a kernel
works along an axis is said once for streaming and patches alike, by the records of `edge.streaming.rules`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from trine.devices.errors import InputError, nearest
from trine.edge.program import IntegerProgram, Step
from trine.edge.streaming.rules import Along, NotLocal, stream_of

Band = tuple[int, int]  # first place, place after the last


@dataclass(frozen=True)
class Region:
    """The layers from the inputs to `cut`. steps: their places in the program; along: of each of them.

    axes: the axis that is cut into bands, of every tensor they read or write.
    """

    cut: str
    steps: tuple[int, ...]
    along: Mapping[int, Along]
    axes: Mapping[str, int]

    def needs(self, program: IntegerProgram, band: Band) -> dict[str, Band]:
        """The rows of every tensor of the region that one band of the cut needs."""
        found = {self.cut: band}
        for i in reversed(self.steps):
            step = program.steps[i]
            for name, (low, high), _ in self.reads(program, i, found[step.output]):
                first, end = found.get(name, (low, high))
                found[name] = min(first, low), max(end, high)
        return found

    def reads(self, program: IntegerProgram, index: int, band: Band) -> Iterator[tuple[str, Band, Band]]:
        """(input, rows that are read, rows of padding before and after them) for a band of a step's output."""
        for name, reach in zip(program.steps[index].inputs, self.along[index].reaches, strict=True):
            if reach is None:
                continue
            length = program.tensors[name].shape[self.axes[name]]
            low, high = band[0] * reach.stride + reach.first, (band[1] - 1) * reach.stride + reach.last + 1
            first, end = max(low, 0), min(high, length)
            yield name, (first, end), (first - low, high - end)


def local_steps(program: IntegerProgram, axis: int) -> tuple[dict[int, Along], dict[str, int]]:
    """The steps that work along an axis of the inputs, and that axis in all they read and write."""
    axes = {name: axis for name in program.inputs if len(program.tensors[name].shape) > axis}
    along: dict[int, Along] = {}
    for i, step in enumerate(program.steps):
        rule = stream_of(step.kernel)
        if rule is None or step.also or not set(step.inputs) <= set(axes):
            continue
        try:
            found = rule.along(program, step, [axes[name] for name in step.inputs])
        except NotLocal:
            continue
        if not found.state and touches(program, step, found, axes):
            along[i], axes[step.output] = found, found.axis
    return along, axes


def touches(program: IntegerProgram, step: Step, along: Along, axes: Mapping[str, int]) -> bool:
    """Whether every row of the output reads at least one row of each input, and not padding alone."""
    last = program.tensors[step.output].shape[along.axis] - 1
    return all(
        reach is not None
        and reach.last >= 0
        and last * reach.stride + reach.first < program.tensors[name].shape[axes[name]]
        for name, reach in zip(step.inputs, along.reaches, strict=True)
    )


def region_of(
    program: IntegerProgram, cut: str, along: Mapping[int, Along], axes: Mapping[str, int]
) -> Region | str:
    """The region that ends in a tensor, or why it has none."""
    writer = {name: i for i, step in enumerate(program.steps) for name in step.outputs}
    if cut not in writer:
        return f"{cut} is an input"
    steps, open_ = set[int](), [writer[cut]]
    while open_:
        i = open_.pop()
        if i in steps:
            continue
        if i not in along:
            return f"{program.steps[i].name} ({program.steps[i].kernel}) does not work on a band"
        steps.add(i)
        open_ += [writer[name] for name in program.steps[i].inputs if name in writer]
    inner = {program.steps[i].output for i in steps} - {cut}
    outside = {name for i, step in enumerate(program.steps) if i not in steps for name in step.inputs}
    if kept := sorted(inner & (outside | set(program.outputs))):
        return f"{kept[0]}, from before it, is read behind it"
    if program.tensors[cut].shape[axes[cut]] < 2:
        return f"{cut} has one row"
    return Region(cut, tuple(sorted(steps)), along, axes)


def regions(program: IntegerProgram) -> dict[str, Region]:
    """Every region, by its cut, along the axis of the inputs that has most of them.

    What counts first are cuts whose rows lie in one piece, with channels last: along their first spatial axis.
    """
    found: dict[str, Region] = {}
    ranks = [len(program.tensors[name].shape) for name in program.inputs]
    for axis in range(max(ranks, default=0)):
        along, axes = local_steps(program, axis)
        made = {
            step.output: region
            for step in program.steps
            if isinstance(region := region_of(program, step.output, along, axes), Region)
        }
        found = max(found, made, key=lambda regions: (in_one_piece(regions), len(regions)))
    return found


def in_one_piece(found: Mapping[str, Region]) -> int:
    """How many cuts have their rows along the first spatial axis."""
    return sum(region.axes[cut] == 1 for cut, region in found.items())


def cuts(program: IntegerProgram) -> list[str]:
    """The tensors at which patch-wise execution of the layers before may end, in the program's order."""
    return list(regions(program))


def region_at(program: IntegerProgram, cut: str) -> Region:
    """The region that ends in a tensor. Raises InputError where there is none, with the reason."""
    found = regions(program)
    if cut in found:
        return found[cut]
    if cut not in program.tensors:
        raise InputError(f"{program.name} has no tensor {cut!r}; {nearest(cut, list(program.tensors))}")
    axis = min(1, *(len(program.tensors[name].shape) - 1 for name in program.inputs))
    reason = region_of(program, cut, *local_steps(program, axis))
    known = f"cuts there are: {', '.join(found)}" if found else "no tensor of it can be one"
    raise InputError(f"{cut} is no cut of {program.name}: {reason}; {known}")


def bands(length: int, rows: int) -> Sequence[Band]:
    """The bands of `rows` rows each, the last one with what is left."""
    return [(first, min(first + rows, length)) for first in range(0, length, rows)]
