"""Memory plan of a program: which byte of the arena holds what, and when.

Order of operations first (`order`), then which buffers share bytes (`sharing`), then offsets (`placement`);
`check` proves the result by running it on symbolic bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from trine.edge.memory.check import check
from trine.edge.memory.model import Buffer, Operation, Plan, validate
from trine.edge.memory.order import Ordering, best_order, variants
from trine.edge.memory.placement import Block, live_bytes, place
from trine.edge.memory.sharing import Rectangle, Sharing

__all__ = ["Buffer", "Operation", "Plan", "check", "plan_memory"]

SEARCH_STATES = 20_000
LOOSENED_PAIRS = 16
GOOD_ENOUGH = 1.01
"""Arena over bound below which no other order or sharing is tried."""


def plan_memory(
    operations: Sequence[Operation],
    buffers: Sequence[Buffer],
    alignment: int = 4,
    states: int = SEARCH_STATES,
) -> Plan:
    """Order, sharing and offsets for `operations` over `buffers`; deterministic.

    operations: in an order in which they can run. alignment: of every offset, in bytes. states: how many sets
    of operations the exact order search may visit. Raises ValueError when operations and buffers do not fit
    together.
    """
    validate(operations, buffers, alignment)
    sharing = Sharing(operations, buffers, alignment)
    ordering = best_order(sharing, states)
    best = _plan(operations, buffers, alignment, ordering)
    if not _good(best):
        for other in variants(sharing, ordering):
            best = min(best, _plan(operations, buffers, alignment, other), key=lambda plan: plan.arena_bytes)
            if _good(best):
                return best
        best = _loosened(operations, buffers, alignment, replace(ordering, order=best.order), best)
    return best


def _good(plan: Plan) -> bool:
    """Whether the arena is not worth another try."""
    return plan.optimal or plan.arena_bytes <= GOOD_ENOUGH * plan.lower_bound_bytes


def _loosened(
    operations: Sequence[Operation], buffers: Sequence[Buffer], alignment: int, ordering: Ordering, best: Plan
) -> Plan:
    """Give up sharing that the bound does not need, pair by pair, while that makes the arena smaller.

    Bytes that are shared move as one block, which may stand in the way of others. The bound stays that of all
    the sharing there could be.
    """
    first = best
    apart: frozenset[tuple[str, str]] = frozenset()
    for pair in (*best.in_place, *best.placed)[:LOOSENED_PAIRS]:
        tried = _plan(operations, buffers, alignment, ordering, apart | {pair})
        if tried.arena_bytes < best.arena_bytes:
            best, apart = tried, apart | {pair}
        if _good(best):
            break
    return replace(
        best,
        lower_bound_bytes=first.lower_bound_bytes,
        order_optimal=first.order_optimal,
        optimal=best.optimal and best.lower_bound_bytes == first.lower_bound_bytes,
    )


def _plan(
    operations: Sequence[Operation],
    buffers: Sequence[Buffer],
    alignment: int,
    ordering: Ordering,
    apart: frozenset[tuple[str, str]] = frozenset(),
) -> Plan:
    """The plan for one order, sharing all that may be shared but the pairs in `apart`."""
    sharing = Sharing(operations, buffers, alignment, apart)
    sharing.take_in_place(ordering.order)
    lives = sharing.lives(ordering.order)
    groups = sharing.arena_groups()
    blocks = [Block(group, sharing.rectangles(group, lives)) for group in groups]
    scratch = [(at, operations[i]) for at, i in enumerate(ordering.order) if operations[i].scratch_bytes]
    blocks += [Block(o.name, (Rectangle(0, o.scratch_bytes, at, at),)) for at, o in scratch]
    placement = place(blocks, alignment)
    bound = live_bytes(blocks)
    base = dict(zip(groups, placement.offsets, strict=False))
    inside = {name: sharing.external(name) for name in sharing.buffers if not sharing.buffers[name].external}
    return Plan(
        order=ordering.order,
        offsets={
            name: base[sharing.group_of[name]] + sharing.at(name)
            for name in sorted(sharing.buffers)
            if sharing.group_of[name] in base
        },
        scratch_offsets={
            o.name: at for (_, o), at in zip(scratch, placement.offsets[len(groups) :], strict=True)
        },
        arena_bytes=placement.arena_bytes,
        lower_bound_bytes=bound,
        in_place=tuple(sharing.in_place),
        placed=tuple(sharing.placed),
        in_external={name: external for name, external in sorted(inside.items()) if external is not None},
        alignment=alignment,
        order_searched=ordering.searched,
        order_optimal=ordering.optimal and bound == ordering.peak_bytes,
        optimal=placement.optimal,
    )
