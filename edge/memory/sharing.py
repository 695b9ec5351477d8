"""Which buffers share bytes: aliases always, parts of a concatenation and in-place pairs where it is safe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from trine.edge.memory.model import Buffer, Operation


@dataclass(frozen=True)
class Rectangle:
    """Bytes [offset, offset + size) of a block, in use from step `start` to step `end`, both included."""

    offset: int
    size: int
    start: int
    end: int


@dataclass(frozen=True)
class Cell:
    """Bytes that are written and given up together.

    Born with `writer` (None: there from the start), dead once all operations in the bit mask `users` have run
    (never, if `kept`).
    """

    size: int
    writer: int | None
    users: int
    kept: bool


class Sharing:
    """Groups of buffers at fixed distances from each other.

    The constructor joins what does not depend on the order (aliases, parts); `take_in_place` joins the rest
    for one order. apart: (input, output) pairs that are not to share. Raises ValueError where an alias would
    have to be two external buffers at once.
    """

    def __init__(
        self,
        operations: Sequence[Operation],
        buffers: Sequence[Buffer],
        alignment: int,
        apart: frozenset[tuple[str, str]] = frozenset(),
    ) -> None:
        self.apart = apart
        self.operations = operations
        self.buffers = {buffer.name: buffer for buffer in buffers}
        self.alignment = alignment
        self.writer = {name: i for i, operation in enumerate(operations) for name in operation.writes}
        self.readers: dict[str, list[int]] = {name: [] for name in self.buffers}
        for i, operation in enumerate(operations):
            for name in dict.fromkeys(operation.reads):
                self.readers[name].append(i)
        self.group_of = {name: name for name in self.buffers}
        self.members: dict[str, dict[str, int]] = {name: {name: 0} for name in self.buffers}
        self.placed: list[tuple[str, str]] = []
        self.in_place: list[tuple[str, str]] = []
        self.aliased: list[tuple[str, str]] = []
        for operation in operations:
            if operation.alias is not None:
                self._join(operation.alias, operation.writes[0], -operation.alias_at)
                self.aliased.append((operation.alias, operation.writes[0]))
        for group in self.members.values():
            outside = sorted(name for name in group if self.buffers[name].external)
            if len(outside) > 1:
                raise ValueError(
                    f"memory plan: {' and '.join(outside)} are the same bytes but both external: copy one"
                )
        for operation in operations:
            self._place_parts(operation)

    def at(self, name: str) -> int:
        """Offset of a buffer in its group."""
        return self.members[self.group_of[name]][name]

    def external(self, name: str) -> str | None:
        """The external buffer that holds this one, if any."""
        return next((n for n in self.members[self.group_of[name]] if self.buffers[n].external), None)

    def size(self, group: str) -> int:
        return max(offset + self.buffers[name].size_bytes for name, offset in self.members[group].items())

    def arena_groups(self) -> list[str]:
        """Groups that need room in the arena, in order of their names."""
        return sorted(group for group in self.members if self.external(group) is None and self.size(group))

    def _join(self, name: str, into: str, offset: int) -> None:
        """Put the group of `name` into that of `into`, `name` starting `offset` bytes after `into`."""
        old, new = self.group_of[name], self.group_of[into]
        if old == new:
            return
        shift = self.at(into) + offset - self.at(name)
        moved = {member: at + shift for member, at in self.members.pop(old).items()}
        joined = self.members[new] | moved
        lowest = min(joined.values())
        self.members[new] = {member: at - lowest for member, at in joined.items()}
        self.group_of |= dict.fromkeys(moved, new)

    def _place_parts(self, operation: Operation) -> None:
        # A part that fills its group has no bytes beside it that could clash with its new neighbours, and all
        # that lies over it in the output is the same content. External buffers are left alone: the caller may
        # pass one pointer for input and output, so nothing but the last writer touches them.
        for name, offset in operation.parts:
            output = operation.writes[0]
            fills = self.at(name) == 0 and self.size(self.group_of[name]) == self.buffers[name].size_bytes
            free = self.external(name) is None and self.external(output) is None and name in self.writer
            apart = self.group_of[name] != self.group_of[output] and (name, output) not in self.apart
            if fills and free and apart and (self.at(output) + offset) % self.alignment == 0:
                self._join(name, output, offset)
                self.placed.append((name, output))

    def lives(self, order: Sequence[int]) -> dict[str, tuple[int, int]]:
        """First and last step of each buffer when operations run in `order`."""
        step = {operation: at for at, operation in enumerate(order)}
        lives = {}
        for name, buffer in self.buffers.items():
            start = step[self.writer[name]] if name in self.writer else 0
            end = max([start, *(step[i] for i in self.readers[name])])
            lives[name] = (start, len(order) - 1 if buffer.kept else end)
        return lives

    def take_in_place(self, order: Sequence[int]) -> None:
        """Let each output take over the first of its `in_place` inputs that is free for it in this order."""
        lives = self.lives(order)
        for step, index in enumerate(order):
            operation = self.operations[index]
            for name in operation.in_place:
                if (name, operation.writes[0]) not in self.apart and self._may_take(
                    name, operation, step, lives
                ):
                    self._join(name, operation.writes[0], 0)
                    self.in_place.append((name, operation.writes[0]))
                    break

    def _may_take(
        self, name: str, operation: Operation, step: int, lives: dict[str, tuple[int, int]]
    ) -> bool:
        output = operation.writes[0]
        old, new = self.group_of[name], self.group_of[output]
        if old == new or self.external(name) or self.external(output) or lives[name][1] > step:
            return False
        shift = self.at(output) - self.at(name)
        if shift % self.alignment:
            return False
        for a, a_at in self.members[old].items():
            for b, b_at in self.members[new].items():
                begin, size = a_at + shift, self.buffers[a].size_bytes
                beside = begin + size <= b_at or b_at + self.buffers[b].size_bytes <= begin
                apart = lives[a][1] < lives[b][0] or lives[b][1] < lives[a][0]
                taken = b == output and a in operation.in_place and lives[a][1] == step and begin == b_at
                if not (beside or apart or taken):
                    return False
        return True

    def _pieces(self, group: str) -> list[tuple[int, int, list[str]]]:
        """The group cut where members begin or end: (offset, size, members that cover it)."""
        spans = {name: (at, at + self.buffers[name].size_bytes) for name, at in self.members[group].items()}
        cuts = sorted({cut for span in spans.values() for cut in span})
        pieces = []
        for begin, end in pairwise(cuts):
            covering = sorted(name for name, (low, high) in spans.items() if low <= begin and end <= high)
            if covering:
                pieces.append((begin, end - begin, covering))
        return pieces

    def cells(self) -> tuple[list[Cell], dict[str, list[int]]]:
        """The pieces of every arena group, and for each buffer the indices of those that cover it.

        For the order search: what is known before any in-place pair is taken.
        """
        cells: list[Cell] = []
        covering: dict[str, list[int]] = {name: [] for name in self.buffers}
        for group in self.arena_groups():
            for _, size, names in self._pieces(group):
                written = [self.writer[name] for name in names if name in self.writer]
                # Of all that covers a piece the others depend on one, which comes first in every order.
                first = min(written) if len(written) == len(names) else None
                users = {*written, *(i for name in names for i in self.readers[name])}
                kept = any(self.buffers[name].kept for name in names)
                for name in names:
                    covering[name].append(len(cells))
                cells.append(Cell(size, first, sum(1 << i for i in users), kept))
        return cells, covering

    def rectangles(self, group: str, lives: dict[str, tuple[int, int]]) -> tuple[Rectangle, ...]:
        """The bytes of a group over time; times that touch or overlap are one."""
        rectangles = []
        for offset, size, names in self._pieces(group):
            spans = sorted(lives[name] for name in names)
            start, end = spans[0]
            for begin, finish in spans[1:]:
                if begin > end:
                    rectangles.append(Rectangle(offset, size, start, end))
                    start = begin
                end = max(end, finish)
            rectangles.append(Rectangle(offset, size, start, end))
        return tuple(rectangles)
