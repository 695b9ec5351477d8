"""Plans over two or more banks of RAM: a small one tightly coupled to the core, say, and a large one behind a bus.

The arena of such a plan is the used part of each bank, one after the other; no buffer lies across two. First of all
everything must fit; of the ways in which it does, one is searched in which the first bank takes most of the bytes that
are read and written. Blocks are chosen for the first bank by traffic a byte, as far as they fit beside each other and
the rest fits the other banks: greedy from several orders, then seeded exchanges.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from trine.devices import EdgeDevice, all_devices
from trine.devices.errors import InputError
from trine.edge.memory.layout import Layout
from trine.edge.memory.model import Buffer, Operation, Plan, aligned, validate
from trine.edge.memory.order import SEARCH_STATES, Ordering, best_order, variants
from trine.edge.memory.placement import Arena, Block, Placement, live_bytes, place, quick_place
from trine.edge.memory.planning import plan_memory
from trine.edge.memory.sharing import Sharing

EXCHANGES = 200
BANK_ALIGNMENT = (
    8  # of where a bank begins in the arena: each is an array of its own, aligned as 64-bit integers are
)


@dataclass(frozen=True)
class Bank:
    """A piece of RAM and how many bytes of it a plan may use."""

    name: str
    size_bytes: int


@dataclass(frozen=True)
class BankUse:
    """What a plan puts into a bank: bytes of it that are used, and bytes read and written there in one inference."""

    name: str
    size_bytes: int
    used_bytes: int
    traffic_bytes: int


def plan_banks(
    operations: Sequence[Operation],
    buffers: Sequence[Buffer],
    banks: Sequence[Bank],
    alignment: int = 4,
    states: int = SEARCH_STATES,
) -> Plan | None:
    """A plan over `banks`, the fastest first; None where none was found. Deterministic.

    Order and sharing are those of `plan_memory`, and tried again without the sharing that ties large buffers together;
    where nothing fits, other orders, then one bank for all. Raises ValueError when operations and buffers do not fit
    together.
    """
    validate(operations, buffers, alignment)
    step = max(alignment, BANK_ALIGNMENT)  # a bank ends where the next one may begin
    banks = [replace(bank, size_bytes=bank.size_bytes // step * step) for bank in banks]
    sharing = Sharing(operations, buffers, alignment)
    ordering = best_order(sharing, states)
    layouts = [Layout(operations, buffers, alignment, ordering)]
    shared = layouts[0].sharing
    for pairs in (shared.in_place, shared.placed, [*shared.in_place, *shared.placed]):
        if pairs:
            layouts.append(Layout(operations, buffers, alignment, ordering, frozenset(pairs)))
    found = [(layout, p) for layout in layouts if (p := place_in_banks(layout.blocks, banks, alignment))]
    if not found:
        found = list(islice(_other_orders(operations, buffers, banks, alignment, sharing, ordering), 1))
    if not found:
        return _in_one(plan_memory(operations, buffers, alignment, states), banks)
    layout, placement = max(found, key=lambda pair: first_traffic(pair[0].blocks, pair[1]))
    return layout.plan(placement)


def _other_orders(
    operations: Sequence[Operation],
    buffers: Sequence[Buffer],
    banks: Sequence[Bank],
    alignment: int,
    sharing: Sharing,
    ordering: Ordering,
) -> Iterator[tuple[Layout, Placement]]:
    """Placements of other orders with no higher peak."""
    for other in variants(sharing, ordering):
        layout = Layout(operations, buffers, alignment, other)
        if placement := place_in_banks(layout.blocks, banks, alignment):
            yield layout, placement


def _in_one(plan: Plan, banks: Sequence[Bank]) -> Plan | None:
    """The plan over one arena in the first bank that holds it."""
    for i, bank in enumerate(banks):
        if plan.arena_bytes <= bank.size_bytes:
            end = aligned(plan.arena_bytes, max(plan.alignment, BANK_ALIGNMENT))
            starts = (0,) * (i + 1) + (end,) * (len(banks) - i - 1)
            return replace(plan, bank_starts=starts, arena_bytes=max(plan.arena_bytes, starts[-1]))
    return None


def first_traffic(blocks: Sequence[Block], placement: Placement) -> int:
    """Bytes read and written in the first bank."""
    end = placement.bank_starts[1] if len(placement.bank_starts) > 1 else placement.arena_bytes
    return sum(b.traffic for b, at in zip(blocks, placement.offsets, strict=True) if at < end)


def place_in_banks(blocks: Sequence[Block], banks: Sequence[Bank], alignment: int) -> Placement | None:
    """Offsets with every block in one bank; None where no way was found.

    With more than two banks, what does not go to the first is placed in the others in the same way.
    """
    if len(banks) == 1:
        placement = place(blocks, alignment)
        return placement if placement.arena_bytes <= banks[0].size_bytes else None
    arena, random_ = Arena(blocks, alignment), random.Random(0)
    best: list[int] | None = None
    most = -1
    for order in islice(_orders(blocks, random_), EXCHANGES):
        offsets = _greedy(arena, order, banks[0].size_bytes)
        traffic = sum(block.traffic for block, at in zip(blocks, offsets, strict=True) if at >= 0)
        if traffic > most and _fits(_left(blocks, offsets), banks[1:], alignment, best is None):
            best, most = offsets, traffic
        if best is not None and min(best, default=0) >= 0:
            break
    return None if best is None else _joined(blocks, best, arena, banks, alignment)


def _joined(
    blocks: Sequence[Block], offsets: Sequence[int], arena: Arena, banks: Sequence[Bank], alignment: int
) -> Placement | None:
    """The first bank's blocks where they are, the others (offset -1) behind them."""
    others = place_in_banks(_left(blocks, offsets), banks[1:], alignment)
    if others is None:
        return None
    begin = aligned(arena.used(offsets), max(alignment, BANK_ALIGNMENT))
    rest = iter(others.offsets)
    return Placement(
        tuple(at if at >= 0 else begin + next(rest) for at in offsets),
        begin + others.arena_bytes,
        False,
        (0, *(begin + start for start in others.bank_starts)),
    )


def _left(blocks: Sequence[Block], offsets: Sequence[int]) -> list[Block]:
    """The blocks that have no place yet."""
    return [block for block, at in zip(blocks, offsets, strict=True) if at < 0]


def _fits(blocks: Sequence[Block], banks: Sequence[Bank], alignment: int, thorough: bool) -> bool:
    """Whether blocks fit the remaining banks; the last one by a quick placement, unless `thorough`."""
    if len(banks) == 1:
        size = banks[0].size_bytes
        if live_bytes(blocks) > size:
            return False
        return quick_place(blocks, alignment) <= size or (
            thorough and place(blocks, alignment).arena_bytes <= size
        )
    return place_in_banks(blocks, banks, alignment) is not None


def _orders(blocks: Sequence[Block], random_: random.Random) -> Iterator[list[int]]:
    """Orders in which blocks are offered to the first bank: by traffic a byte, by traffic, by size, then mixed ones."""
    indices = range(len(blocks))
    density = sorted(indices, key=lambda i: (-blocks[i].traffic / blocks[i].size, i))
    yield density
    yield sorted(indices, key=lambda i: (-blocks[i].traffic, i))
    yield sorted(indices, key=lambda i: (-blocks[i].size, -blocks[i].traffic, i))
    order = density
    while len(blocks) > 1:
        order = list(order if random_.random() < 0.8 else density)
        moved = order.pop(random_.randrange(len(order)))
        order.insert(random_.randrange(len(order) + 1), moved)
        yield order


def _greedy(arena: Arena, order: Sequence[int], size: int) -> list[int]:
    """Offsets of blocks offered one by one, each as low as it goes beside those before; -1 where that is too high."""
    offsets = [-1] * len(arena.blocks)
    for index in order:
        at = arena.lowest(index, offsets)
        if at + arena.sizes[index] <= size:
            offsets[index] = at
    return offsets


def bank_uses(
    plan: Plan, operations: Sequence[Operation], buffers: Sequence[Buffer], banks: Sequence[Bank]
) -> tuple[BankUse, ...]:
    """Bytes used and bytes read and written in each bank; the caller's own buffers are in none. () without banks."""
    if not banks:
        return ()
    size = {buffer.name: buffer.size_bytes for buffer in buffers}
    traffic = [0] * len(banks)
    for operation in operations:
        if operation.scratch_bytes:
            bank, _ = plan.bank_of(plan.scratch_offsets[operation.name])
            traffic[bank] += operation.traffic.get("", operation.scratch_bytes)
        for name in dict.fromkeys((*operation.reads, *operation.writes)) if operation.alias is None else ():
            if name in plan.offsets:
                traffic[plan.bank_of(plan.offsets[name])[0]] += operation.traffic.get(name, size[name])
    used = plan.bank_bytes()
    return tuple(
        BankUse(bank.name, bank.size_bytes, bytes_, touched)
        for bank, bytes_, touched in zip(banks, used, traffic, strict=True)
    )


def banks_of(device: EdgeDevice, reserved_bytes: int = 0) -> tuple[Bank, ...]:
    """The banks of a device, the one tightly coupled to the core first.

    reserved_bytes: of the largest, for the stack and the caller's buffers. Raises InputError for a device whose file
    states none, with those that do, or where the reserve is all there is.
    """
    if not device.banks:
        known = [d.name for d in all_devices("edge") if isinstance(d, EdgeDevice) and d.banks]
        raise InputError(
            f"{device.name} states no banks of RAM (memory.tcm and memory.sram); devices that do: {', '.join(known)}"
        )
    largest = max(size for _, size in device.banks)
    if reserved_bytes >= largest:
        raise InputError(
            f"{device.name}: {reserved_bytes:,} bytes of stack and buffers leave nothing of {largest:,}"
        )
    return tuple(Bank(name, size - (reserved_bytes if size == largest else 0)) for name, size in device.banks)
