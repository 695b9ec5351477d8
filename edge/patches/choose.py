"""Which patches a compilation takes: as many as the user says, or the fewest extra operations that make it fit."""

from __future__ import annotations

from typing import Literal

from trine.devices import EdgeDevice
from trine.edge.fit import STACK_ALLOWANCE, io_bytes
from trine.edge.patches.front import Point, at_count, choose, front, planned
from trine.edge.program import IntegerProgram

Wanted = int | Literal["auto", "off"]


def arena_allowed(program: IntegerProgram, device: EdgeDevice, most_ram: int | None) -> int | None:
    """Bytes that the arena may have beside the caller's buffers and the stack; None where nothing limits RAM."""
    limits = [limit for limit in (device.ram_bytes, most_ram) if limit is not None]
    return min(limits) - io_bytes(program) - STACK_ALLOWANCE if limits else None


def points_for(
    program: IntegerProgram, device: EdgeDevice, wanted: Wanted, most_ram: int | None
) -> list[Point]:
    """Points of the front that a user's word leaves, the whole network first unless a number of patches is asked for.

    "auto": what fits and costs least, what costs next, and what needs least RAM. Raises InputError where no layer can
    be run in patches and a number is asked for.
    """
    if wanted == "off":
        return []
    if isinstance(wanted, int):
        return [at_count(program, wanted, device.core)]
    found = front(program, device.core)
    allowed = arena_allowed(program, device, most_ram)
    fitting = [point for point in found if allowed is not None and point.arena_bytes <= allowed]
    return list(dict.fromkeys([found[0], *fitting[:2], found[-1]]))


def point_for(
    program: IntegerProgram, device: EdgeDevice, wanted: Wanted, most_ram: int | None
) -> Point | None:
    """The point that is compiled, None for the whole network; "auto" takes patches where the whole does not fit."""
    if isinstance(wanted, int):
        return points_for(program, device, wanted, most_ram)[0]
    allowed = arena_allowed(program, device, most_ram)
    if wanted == "off" or allowed is None or planned(program, device.core) <= allowed:
        return None
    return choose(points_for(program, device, wanted, most_ram), allowed)


def in_a_line(program: IntegerProgram, device: EdgeDevice, point: Point) -> str:
    """What patches save and cost. program: the whole."""
    return (
        f"{point.count} patches up to {point.cut}: arena {point.arena_bytes:,} B instead of "
        f"{planned(program, device.core):,} B, {point.extra_macs:.1%} more multiply-accumulates"
    )
