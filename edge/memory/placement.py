"""Where blocks with known lifetimes go: lowest fit in several orders, exact for few, then local search."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from trine.edge.memory.model import aligned
from trine.edge.memory.sharing import Rectangle

EXACT_BLOCKS = 12
EXACT_NODES = 20_000
SEARCH_WORK = 100_000
CLOSE = 1.005
"""Arena over bound at which the local search stops: the rest is mostly rounding to the alignment."""


@dataclass(frozen=True)
class Block:
    """Bytes that get one offset; its rectangles say which of them are in use when. traffic: bytes read or written."""

    name: str
    rectangles: tuple[Rectangle, ...]
    traffic: int = 0

    @property
    def size(self) -> int:
        return max(r.offset + r.size for r in self.rectangles)

    @property
    def start(self) -> int:
        return min(r.start for r in self.rectangles)

    @property
    def duration(self) -> int:
        return max(r.end for r in self.rectangles) - self.start + 1


@dataclass(frozen=True)
class Placement:
    """Offset of each block, the bytes they need together, and whether no placement needs fewer.

    bank_starts: where each bank of memory begins.
    """

    offsets: tuple[int, ...]
    arena_bytes: int
    optimal: bool
    bank_starts: tuple[int, ...] = (0,)


def live_bytes(blocks: Sequence[Block], alignment: int = 1) -> int:
    """The most bytes in use at one step; with an alignment, the least arena for offsets that have it."""
    peak = 0
    for step in sorted({r.start for block in blocks for r in block.rectangles}):
        used = []
        for block in blocks:
            live = [r for r in block.rectangles if r.start <= step <= r.end]
            whole = len(block.rectangles) == 1
            # Gaps in a block of several rectangles may be filled by others: count them unrounded.
            used += [(aligned(r.size, alignment) if whole else r.size, r.size) for r in live]
        # The topmost block needs no rounding; taking the one where that saves most keeps this a bound.
        peak = max(peak, sum(big for big, _ in used) - max((big - size for big, size in used), default=0))
    return peak


class Arena:
    """Lowest-fit placement of blocks in a chosen order."""

    def __init__(self, blocks: Sequence[Block], alignment: int) -> None:
        self.blocks, self.alignment = blocks, alignment
        self.sizes = [block.size for block in blocks]
        # clashes[j]: (i, low, high): j and i overlap when offset_j - offset_i lies strictly between the two.
        self.clashes: list[list[tuple[int, int, int]]] = [[] for _ in blocks]
        for j, second in enumerate(blocks):
            for i, first in enumerate(blocks):
                if i != j:
                    self.clashes[j] += [
                        (i, a.offset - b.offset - b.size, a.offset + a.size - b.offset)
                        for a in first.rectangles
                        for b in second.rectangles
                        if a.start <= b.end and b.start <= a.end
                    ]
        self.neighbours = [sorted({i for i, _, _ in clash}) for clash in self.clashes]

    def lowest(self, index: int, offsets: Sequence[int]) -> int:
        """The lowest offset for a block beside those already placed (offset -1: not yet)."""
        taken = sorted(
            (offsets[i] + low, offsets[i] + high) for i, low, high in self.clashes[index] if offsets[i] >= 0
        )
        offset = 0
        for low, high in taken:
            if offset <= low:
                break
            if offset < high:
                offset = aligned(high, self.alignment)
        return offset

    def place(self, order: Sequence[int]) -> tuple[int, list[int]]:
        """(arena bytes, offsets) of placing blocks in `order`, each as low as it goes."""
        offsets = [-1] * len(self.blocks)
        for index in order:
            offsets[index] = self.lowest(index, offsets)
        return self.used(offsets), offsets

    def used(self, offsets: Sequence[int]) -> int:
        """Bytes up to the end of the topmost block that has a place."""
        return max((at + size for at, size in zip(offsets, self.sizes, strict=True) if at >= 0), default=0)


def place(blocks: Sequence[Block], alignment: int, seed: int = 0) -> Placement:
    """Offsets for blocks, deterministic for a given seed; stops once the bound is reached or close."""
    bound = live_bytes(blocks, alignment)
    arena = Arena(blocks, alignment)
    used, offsets, order = min(
        ((*arena.place(order), order) for order in _first_orders(blocks)), key=lambda found: found[0]
    )
    if used <= bound:
        return Placement(tuple(offsets), used, True)
    simple = all(len(block.rectangles) == 1 for block in blocks)
    if simple and len(blocks) <= EXACT_BLOCKS:
        used, offsets, complete = _exact(arena, used, offsets, bound)
        if complete or used <= bound:
            return Placement(tuple(offsets), used, True)
    if used > CLOSE * bound:
        used, offsets = _improve(arena, used, offsets, order, CLOSE * bound, random.Random(seed))
    return Placement(tuple(offsets), used, used <= bound)


def quick_place(blocks: Sequence[Block], alignment: int) -> int:
    """Bytes that blocks need in the best of the orders tried first: an upper bound of `place`, without its search."""
    arena = Arena(blocks, alignment)
    return min(arena.place(order)[0] for order in _first_orders(blocks))


def _first_orders(blocks: Sequence[Block]) -> list[list[int]]:
    """Orders that are usually good: by size, by lifetime, by area, by start, and two mixed ones."""
    size = [block.size for block in blocks]
    duration = [block.duration for block in blocks]
    start = [block.start for block in blocks]
    indices = range(len(blocks))
    return [
        sorted(indices, key=lambda i: (-size[i], -duration[i], i)),
        sorted(indices, key=lambda i: (-duration[i], -size[i], i)),
        sorted(indices, key=lambda i: (-size[i] * duration[i], i)),
        sorted(indices, key=lambda i: (start[i], -size[i], i)),
        sorted(indices, key=lambda i: (start[i], -duration[i], i)),
        sorted(indices, key=lambda i: (-start[i], -size[i], i)),
    ]


def _exact(arena: Arena, used: int, offsets: list[int], bound: int) -> tuple[int, list[int], bool]:
    """Branch and bound over blocks by rising offset; (bytes, offsets, whether the search was completed).

    Some best placement has every block as low as it goes beside the blocks below it, so trying the blocks in
    every order of rising lowest offset misses none. Holds for blocks of one rectangle only.
    """
    best, best_offsets, nodes = used, list(offsets), 0
    count = len(arena.blocks)

    def descend(placed: list[int], left: frozenset[int], last: tuple[int, int]) -> None:
        nonlocal best, best_offsets, nodes
        nodes += 1
        if nodes > EXACT_NODES or best <= bound:
            return
        if not left:
            best, best_offsets = arena.used(placed), list(placed)
            return
        lowest = {index: arena.lowest(index, placed) for index in sorted(left)}
        if any(at + arena.sizes[index] >= best for index, at in lowest.items()):
            return
        for index, at in sorted(lowest.items(), key=lambda item: (item[1], item[0])):
            if (at, index) > last:
                placed[index] = at
                descend(placed, left - {index}, (at, index))
                placed[index] = -1

    descend([-1] * count, frozenset(range(count)), (-1, -1))
    return best, best_offsets, nodes <= EXACT_NODES


def _improve(
    arena: Arena, used: int, offsets: list[int], order: list[int], enough: float, random_: random.Random
) -> tuple[int, list[int]]:
    """Seeded local search: a block at the top, or one it clashes with, is placed earlier."""
    current, current_offsets, best = used, offsets, used
    clashes = sum(map(len, arena.clashes))
    for _ in range(max(50, min(3000, SEARCH_WORK // (clashes + len(order))))):
        top = [i for i, at in enumerate(current_offsets) if at + arena.sizes[i] == current]
        moved = random_.choice(top)
        if arena.neighbours[moved] and random_.random() < 0.5:
            moved = random_.choice(arena.neighbours[moved])
        trial = [index for index in order if index != moved]
        trial.insert(random_.randrange(order.index(moved) + 1), moved)
        tried, tried_offsets = arena.place(trial)
        if tried <= current:
            current, current_offsets, order = tried, tried_offsets, trial
        if tried < best:
            best, offsets = tried, tried_offsets
        if best <= enough:
            break
    return best, offsets
