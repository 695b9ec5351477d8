"""In which order to run the operations so that the most bytes live at once are fewest.

Exact dynamic programming over the sets of operations already run (Liberis and Lane 2019, "Neural networks on
microcontrollers: saving memory at inference via operator reordering", arXiv 1910.05110), bounded above by the
peak of the given order; past a number of states, a beam search.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from trine.edge.memory.sharing import Cell, Sharing

SEARCH_STATES = 20_000  # sets of operations the exact order search may visit
BEAM_WIDTH = 64
BEAM_WORK = 1 << 22  # steps that a beam may take: it is narrower for networks of more than 256 operations
VARIANTS = 8


State = tuple[int, int, tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True)
class Ordering:
    """An order, its peak of live bytes, how it was found, and whether no order has a lower peak."""

    order: tuple[int, ...]
    peak_bytes: int
    searched: str
    optimal: bool


class _Liveness:
    """Live bytes as a function of the set of operations run (a bit mask) and the operation that runs next."""

    def __init__(self, sharing: Sharing) -> None:
        self.operations = sharing.operations
        cells, covering = sharing.cells()
        self.all = (1 << len(self.operations)) - 1
        self.start = sum(cell.size for cell in cells if cell.writer is None)
        self.needs = [
            sum({1 << sharing.writer[name] for name in operation.reads if name in sharing.writer})
            for operation in self.operations
        ]
        self.after: list[list[int]] = [[] for _ in self.operations]
        for i, operation in enumerate(self.operations):
            for before in sorted(
                {sharing.writer[name] for name in operation.reads if name in sharing.writer}
            ):
                self.after[before].append(i)
        self.born = [0] * len(self.operations)
        self.scratch = [operation.scratch_bytes for operation in self.operations]
        self.dying: list[list[tuple[int, int]]] = [[] for _ in self.operations]
        for cell in cells:
            if cell.writer is not None:
                self.born[cell.writer] += cell.size
            for i in range(len(self.operations) if not cell.kept else 0):
                if cell.users >> i & 1:
                    self.dying[i].append((cell.users, cell.size))
        # Operations that must have run before each in-place input is free; a kept or external one never is.
        self.takes: list[list[int]] = []
        for operation in self.operations:
            masks = []
            for name in operation.in_place:
                over = [cells[i] for i in covering[name]]
                if over and not any(cell.kept for cell in over) and covering[operation.writes[0]]:
                    users = 0
                    for cell in over:
                        users |= cell.users
                    masks.append(users)
            self.takes.append(masks)
        self.beam = max(1, min(BEAM_WIDTH, BEAM_WORK // len(self.operations) ** 2)) if self.operations else 1
        self.floor = max((self._least(i, cells, covering) for i in range(len(self.operations))), default=0)

    def _least(self, index: int, cells: list[Cell], covering: dict[str, list[int]]) -> int:
        operation = self.operations[index]
        used = {i for name in (*operation.reads, *operation.writes) for i in covering[name]}
        taken = self.born[index] if self.takes[index] else 0
        return sum(cells[i].size for i in used) + operation.scratch_bytes - taken

    def ready(self, before: tuple[int, ...], index: int, done: int) -> tuple[int, ...]:
        """Operations that may run next, ascending: those of `before` without `index`, and those that it was in the
        way of."""
        freed = [i for i in self.after[index] if not self.needs[i] & ~done]
        return tuple(sorted([*(i for i in before if i != index), *freed]))

    def step(self, done: int, live: int, index: int) -> tuple[int, int]:
        """(bytes live while operation `index` runs, bytes live after it)."""
        left = ~(done | 1 << index)
        born = self.born[index]
        during = live + born + self.scratch[index]
        for users in self.takes[index]:
            if not users & left:
                during -= born
                break
        live += born
        for users, size in self.dying[index]:
            if not users & left:
                live -= size
        return during, live

    def peak(self, order: Sequence[int]) -> int:
        """The most bytes live at once when operations run in `order`."""
        done, live, peak = 0, self.start, self.start
        for index in order:
            during, live = self.step(done, live, index)
            done |= 1 << index
            peak = max(peak, during)
        return peak


def peak_as_given(sharing: Sharing) -> int:
    """The most bytes live at once in the given order, before any placement."""
    return _Liveness(sharing).peak(range(len(sharing.operations)))


def best_order(sharing: Sharing, states: int) -> Ordering:
    """The order with the fewest bytes live at its peak; the given order where none is better.

    states: how many sets of operations the exact search may visit before a beam search takes over.
    """
    liveness = _Liveness(sharing)
    given = tuple(range(len(sharing.operations)))
    peak = liveness.peak(given)
    if peak <= liveness.floor:
        return Ordering(given, peak, "given", True)
    found, complete = _search(liveness, peak, states, None)
    searched = "exact"
    if not complete:
        found, _ = _search(liveness, peak, states, liveness.beam)
        searched = "beam"
    order = found or given
    return Ordering(order, liveness.peak(order), searched, complete)


def variants(sharing: Sharing, ordering: Ordering) -> Iterator[Ordering]:
    """Other orders with no higher peak, for a placement that does not reach its bound with the first."""
    liveness = _Liveness(sharing)
    seen = {ordering.order}
    for seed in range(VARIANTS):
        order, _ = _search(liveness, ordering.peak_bytes + 1, 0, liveness.beam, random.Random(seed))
        if order is not None and order not in seen:
            seen.add(order)
            yield replace(ordering, order=order, peak_bytes=liveness.peak(order))


def _search(
    liveness: _Liveness, limit: int, states: int, width: int | None, shuffle: random.Random | None = None
) -> tuple[tuple[int, ...] | None, bool]:
    """(an order whose peak is below `limit`, or None; whether every set that could lead to one was visited).

    width: of a beam search; None visits every set, up to `states` of them. shuffle: breaks ties at random.
    """
    # set of operations run -> (peak so far, bytes live, order so far, what might run next before its last operation)
    first = tuple(i for i, needs in enumerate(liveness.needs) if not needs)
    level: dict[int, State] = {0: (liveness.start, liveness.start, (), first)}
    visited, complete = 1, True
    for _ in range(len(liveness.operations)):
        following: dict[int, State] = {}
        for done, (peak, live, order, before) in level.items():
            next_ = liveness.ready(before, order[-1], done) if order else before
            ready = list(next_)
            if shuffle is not None:
                shuffle.shuffle(ready)
            for index in ready:
                during, after = liveness.step(done, live, index)
                reached = max(peak, during)
                then = done | 1 << index
                known = following.get(then)
                if reached < limit and (known is None or reached < known[0]):
                    following[then] = (reached, after, (*order, index), next_)
        visited += len(following)
        if width is None and visited > states:
            return None, False
        if width is not None and len(following) > width:
            best = sorted(following.items(), key=lambda item: (item[1][0], item[1][1], item[1][2]))
            following, complete = dict(best[:width]), False
        level = following
    orders = [(peak, order) for peak, _, order, _ in level.values()]
    return (min(orders)[1] if orders else None), complete
