"""The plan over one arena: order, sharing and places, loosened where they stand in each other's way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from trine.edge.memory.layout import Layout
from trine.edge.memory.model import Buffer, Operation, Plan, validate
from trine.edge.memory.order import SEARCH_STATES, Ordering, best_order, variants
from trine.edge.memory.placement import place
from trine.edge.memory.sharing import Sharing

LOOSENED_PAIRS = 16
GOOD_ENOUGH = 1.01
ROUNDING = 16
"""Arena over bound, and bytes over bound, below which no other order or sharing is tried."""


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
    enough = max(GOOD_ENOUGH * plan.lower_bound_bytes, plan.lower_bound_bytes + ROUNDING)
    return plan.optimal or plan.arena_bytes <= enough


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
    layout = Layout(operations, buffers, alignment, ordering, apart)
    return layout.plan(place(layout.blocks, alignment))
