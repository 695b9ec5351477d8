"""What patch-wise execution saves and costs: RAM against extra multiply-accumulates, for every cut and count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from trine.devices.errors import InputError
from trine.edge.c.layout import lay_out
from trine.edge.c.planned import alignment, operations_of, unique_steps
from trine.edge.c.schedule import schedule_for
from trine.edge.memory import plan_memory
from trine.edge.memory.order import peak_as_given
from trine.edge.memory.sharing import Sharing
from trine.edge.patches.build import band_rows, multiply_accumulates, split
from trine.edge.patches.region import Region, cuts, regions
from trine.edge.program import IntegerProgram

MOST_STEPS = 128  # of a patched program: its order is searched, its calls are printed one by one
MOST_EXTRA = 1.0  # of extra multiply-accumulates: more than twice the work is no bargain
COUNTS = (2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64, 96, 128, 192, 256)


@dataclass(frozen=True)
class Point:
    """One way to run a program. cut "": the whole network at once, in one patch.

    arena_bytes: of the memory plan, without the caller's input and output. extra_macs: multiply-accumulates above
    those of the whole, as a share of them (0.1: a tenth more).
    """

    cut: str
    count: int
    arena_bytes: int
    extra_macs: float


def front(program: IntegerProgram, core: str = "") -> list[Point]:
    """The points no other of which needs both less RAM and fewer multiply-accumulates, from the whole network's on.

    core: whose schedule the memory plan is for. Every cut is tried with every count of COUNTS: first by the bytes live
    at once in order, then, where that is better than any cheaper one, by the memory plan itself.
    """
    whole = Point("", 1, planned(program, core), 0.0)
    base = max(multiply_accumulates(program), 1)
    tried = []
    for cut, region in regions(program).items():
        for count, rows in counts(program, region):
            made = split(program, region, rows)
            extra = multiply_accumulates(made) / base - 1
            if extra <= MOST_EXTRA and len(made.steps) <= MOST_STEPS:
                tried.append((extra, count, live(made, core), cut, made))
    tried.sort(key=lambda one: (round(one[0], 3), *one[1:4]))
    found, least = [whole], whole.arena_bytes
    for extra, count, bound, cut, made in tried:
        if bound < least and (arena := planned(made, core)) < least:
            found.append(Point(cut, count, arena, extra))
            least = arena
    return found


def at_count(program: IntegerProgram, count: int, core: str = "") -> Point:
    """The point with the least arena among all cuts for a number of patches the user chose.

    Raises InputError where the program has no cut with so many rows.
    """
    base = max(multiply_accumulates(program), 1)
    tried = []
    for cut, region in regions(program).items():
        tensor, axis = program.tensors[cut], region.axes[cut]
        if 1 < count <= tensor.shape[axis] and (rows := band_rows(tensor, axis, count)) < tensor.shape[axis]:
            made = split(program, region, rows)
            extra = multiply_accumulates(made) / base - 1
            tried.append(Point(cut, -(-tensor.shape[axis] // rows), planned(made, core), extra))
    if not tried:
        known = ", ".join(cuts(program)) or "none"
        raise InputError(
            f"{program.name} has no first layers that run in {count} patches; cuts there are: {known}"
        )
    return min(tried, key=lambda point: (point.arena_bytes, point.extra_macs))


def counts(program: IntegerProgram, region: Region) -> Iterator[tuple[int, int]]:
    """(patches, rows of each) worth trying for a cut; counts that give the same rows are one."""
    tensor, axis, seen = program.tensors[region.cut], region.axes[region.cut], set[int]()
    for count in COUNTS:
        rows = band_rows(tensor, axis, min(count, tensor.shape[axis]))
        if rows < tensor.shape[axis] and rows not in seen:
            seen.add(rows)
            yield -(-tensor.shape[axis] // rows), rows


def best(program: IntegerProgram, ram_limit: int, core: str = "") -> Point | None:
    """The point with the fewest multiply-accumulates whose arena has at most `ram_limit` bytes; None where none has."""
    return choose(front(program, core), ram_limit)


def choose(points: Sequence[Point], ram_limit: int) -> Point | None:
    """Of a front, the cheapest point that fits; of equally dear ones that with the fewest patches."""
    fitting = [point for point in points if point.arena_bytes <= ram_limit]
    return min(fitting, key=lambda p: (round(p.extra_macs, 3), p.count, p.arena_bytes), default=None)


def planned(program: IntegerProgram, core: str) -> int:
    """Arena of a program as the C print will have it."""
    operations, buffers = operations_of(lay_out(unique_steps(program)), schedule_for(core))
    return plan_memory(operations, buffers, alignment(program)).arena_bytes


def live(program: IntegerProgram, core: str) -> int:
    """Bytes live at once when the steps run as they stand: below every plan of that order."""
    operations, buffers = operations_of(lay_out(unique_steps(program)), schedule_for(core))
    return peak_as_given(Sharing(operations, buffers, alignment(program)))
