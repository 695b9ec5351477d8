"""One order of operations with one choice of shared bytes: the blocks that need a place, and the plan from places."""

from __future__ import annotations

from collections.abc import Sequence

from trine.edge.memory.model import Buffer, Operation, Plan
from trine.edge.memory.order import Ordering
from trine.edge.memory.placement import Block, Placement, live_bytes
from trine.edge.memory.sharing import Rectangle, Sharing


class Layout:
    """What is known before anything has a place. blocks: groups of buffers that share bytes, then scratch, in order.

    apart: (input, output) pairs that are not to share bytes although they may.
    """

    def __init__(
        self,
        operations: Sequence[Operation],
        buffers: Sequence[Buffer],
        alignment: int,
        ordering: Ordering,
        apart: frozenset[tuple[str, str]] = frozenset(),
    ) -> None:
        self.alignment, self.ordering, self.operations = alignment, ordering, operations
        self.sharing = sharing = Sharing(operations, buffers, alignment, apart)
        sharing.take_in_place(ordering.order)
        lives = sharing.lives(ordering.order)
        self.groups = sharing.arena_groups()
        self.scratch = [
            (at, operations[i]) for at, i in enumerate(ordering.order) if operations[i].scratch_bytes
        ]
        touched = self.touched()
        self.blocks = [
            Block(group, sharing.rectangles(group, lives), touched.get(group, 0)) for group in self.groups
        ]
        self.blocks += [
            Block(o.name, (Rectangle(0, o.scratch_bytes, at, at),), o.traffic.get("", o.scratch_bytes))
            for at, o in self.scratch
        ]

    def touched(self) -> dict[str, int]:
        """Bytes that are read or written of each group of buffers in one run."""
        found: dict[str, int] = {}
        for operation in self.operations:
            if operation.alias is not None:
                continue  # nothing runs
            for name in dict.fromkeys((*operation.reads, *operation.writes)):
                group = self.sharing.group_of[name]
                size = self.sharing.buffers[name].size_bytes
                found[group] = found.get(group, 0) + operation.traffic.get(name, size)
        return found

    def plan(self, placement: Placement) -> Plan:
        """The plan with a place for every block."""
        sharing, places = self.sharing, placement.offsets
        bound = live_bytes(self.blocks)
        base = dict(zip(self.groups, places, strict=False))
        inside = {
            name: external
            for name in sorted(sharing.buffers)
            if not sharing.buffers[name].external and (external := sharing.external(name)) is not None
        }
        return Plan(
            order=self.ordering.order,
            offsets={
                name: base[sharing.group_of[name]] + sharing.at(name)
                for name in sorted(sharing.buffers)
                if sharing.group_of[name] in base
            },
            scratch_offsets={
                o.name: at for (_, o), at in zip(self.scratch, places[len(self.groups) :], strict=True)
            },
            arena_bytes=placement.arena_bytes,
            lower_bound_bytes=bound,
            in_place=tuple(sharing.in_place),
            placed=tuple(sharing.placed),
            aliased=tuple(sharing.aliased),
            in_external=inside,
            external_offsets={name: at for name in inside if (at := sharing.at(name))},
            alignment=self.alignment,
            order_searched=self.ordering.searched,
            order_optimal=self.ordering.optimal and bound == self.ordering.peak_bytes,
            optimal=placement.optimal,
            bank_starts=placement.bank_starts,
        )
