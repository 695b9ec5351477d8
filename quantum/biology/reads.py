"""Reads of a genome: how they overlap, what an order of them spells and pays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ReadSet:
    """Reads of one strand. circular: the genome is a ring; first_fixed: read 0 stands at place 0 (rings only).

    least_overlap: shorter overlaps count as none.
    """

    names: tuple[str, ...]
    reads: tuple[str, ...]
    circular: bool = True
    first_fixed: bool = True
    least_overlap: int = 1

    def as_json(self) -> dict[str, Any]:
        """The instance's object."""
        return {
            "names": list(self.names),
            "reads": list(self.reads),
            "circular": self.circular,
            "first_fixed": self.first_fixed,
            "least_overlap": self.least_overlap,
        }

    @cached_property
    def overlaps(self) -> NDArray[np.int64]:
        """[i, j]: letters at the end of read i that begin read j."""
        found = np.zeros((len(self.reads), len(self.reads)), np.int64)
        for i, a in enumerate(self.reads):
            for j, b in enumerate(self.reads):
                if i != j:
                    found[i, j] = overlap(a, b, self.least_overlap)
        return found

    @cached_property
    def missing(self) -> NDArray[np.int64]:
        """[i, j]: letters that the overlap falls short of the longest overlap of all; what a tour pays for i, j."""
        return np.asarray(self.overlaps.max() - self.overlaps)

    @cached_property
    def steps(self) -> tuple[tuple[int, int], ...]:
        """Neighbouring places (t, next)."""
        n = len(self.reads)
        return tuple((t, (t + 1) % n) for t in range(n if self.circular else n - 1))

    @cached_property
    def penalty(self) -> float:
        """Of a place without exactly one read, or a read without exactly one place.

        Nothing pays less than 0, one order pays `greedy`'s letters, and a string that is no order breaks at least two
        of these rules; so half of greedy's letters and one more suffices.
        """
        return 1.0 + letters(self, greedy_order(self)) / 2

    def bit(self, place: int, read: int) -> int | None:
        """The bit of a read at a place; None where it is fixed."""
        n = len(self.reads)
        if not self.first_fixed:
            return place * n + read
        return (place - 1) * (n - 1) + read - 1 if place and read else None


def overlap(a: str, b: str, least: int) -> int:
    """Longest proper end of a that begins b, 0 where shorter than `least`."""
    for length in range(min(len(a), len(b)) - 1, max(0, least - 1), -1):
        if a.endswith(b[:length]):
            return length
    return 0


def merged(data: ReadSet, order: list[int]) -> str:
    """The sequence that the reads spell in this order; of a ring, one turn from the first read's first letter."""
    text = data.reads[order[0]]
    for i, j in pairwise(order):
        text += data.reads[j][int(data.overlaps[i, j]) :]
    last = int(data.overlaps[order[-1], order[0]]) if data.circular else 0
    return text[: len(text) - last]


def letters(data: ReadSet, order: list[int]) -> int:
    """What an order pays."""
    return sum(int(data.missing[order[t], order[u]]) for t, u in data.steps)


def greedy_order(data: ReadSet) -> list[int]:
    """From read 0, always the read that overlaps most with the last one."""
    order = [0]
    while len(order) < len(data.reads):
        left = [r for r in range(len(data.reads)) if r not in order]
        order.append(min(left, key=lambda r: (data.missing[order[-1], r], r)))
    return order
