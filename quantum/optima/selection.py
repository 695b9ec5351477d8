"""Choosing items that do not conflict, weighing most: what docking, similarity, diverse subsets and stems come to.

A maximum-weight independent set of the conflict graph is a maximum-weight clique of its complement.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trine.devices.errors import InputError
from trine.quantum.feasible import IndependentSets
from trine.quantum.polynomial import Bits, Polynomial, Subset
from trine.quantum.problem import Encoding, Exact, Reader

Pair = tuple[int, int]
VISITED = 500_000  # branches of `heaviest`, half a minute with 800 items; beyond, its answer is not proved


@dataclass(frozen=True)
class Items:
    """Items of positive weight and the pairs that cannot be had together, i < j, ascending.

    penalty: on a conflict; None for the default of `penalty_of`.
    """

    weights: tuple[float, ...]
    conflicts: tuple[Pair, ...]
    penalty: float | None = None


def complement(nodes: int, pairs: Sequence[Pair]) -> tuple[Pair, ...]:
    """All pairs i < j that are not given."""
    given = set(pairs)
    return tuple((i, j) for i in range(nodes) for j in range(i + 1, nodes) if (i, j) not in given)


def penalty_bound(items: Items) -> float:
    """A penalty above this suffices: of two conflicting items, leaving the lighter out then always pays.

    Papalitsas et al. 2025 (arXiv 2503.04239) use the same rule: P above the largest min(w_i, w_j) of all conflicts.
    """
    return max((min(items.weights[i], items.weights[j]) for i, j in items.conflicts), default=0.0)


def penalty_of(items: Items) -> float:
    """The given penalty, else 1.5 times the bound: low, since steep walls hide the differences between answers."""
    return 1.5 * penalty_bound(items) if items.penalty is None else items.penalty


def read_penalty(reader: Reader) -> float | None:
    """The optional key `penalty`; null and absent mean the default."""
    return None if reader.data.get("penalty") is None else reader.number("penalty", low=0.0)


def read_weights(reader: Reader, count: int) -> tuple[float, ...]:
    """The key `weights`, 1 each where absent; a weight that gains nothing is a mistake."""
    if reader.data.get("weights") is None:
        return (1.0,) * count
    weights = reader.numbers("weights", count)
    reader.problems += [
        f"weights[{k}] is {w:g}: give a weight above 0, or leave the item out"
        for k, w in enumerate(weights)
        if w <= 0
    ]
    return weights


def refuse_weak_penalty(items: Items, reader: Reader) -> None:
    """Adds a mistake where the given penalty does not suffice."""
    if not reader.problems and items.penalty is not None and items.conflicts:
        bound = penalty_bound(items)
        if items.penalty <= bound:
            reader.problems.append(
                f"penalty is {items.penalty:g}: the lowest energy could break a conflict; give more than {bound:g}, "
                "or leave it out"
            )


def encode(items: Items, labels: Sequence[str]) -> Encoding:
    """-sum w_i x_i + P sum over conflicts x_i x_j."""
    gain: dict[Subset, float] = {(i,): -w for i, w in enumerate(items.weights)}
    penalty = penalty_of(items)
    count = len(items.weights)
    return Encoding(
        Polynomial(count, {**gain, **dict.fromkeys(items.conflicts, penalty)}),
        Polynomial(count, gain),
        IndependentSets(count, items.conflicts),
        tuple(labels),
        penalty,
        "above the largest min(w_i, w_j) of all conflicts, so that leaving the lighter one out always pays",
    )


def cost(items: Items, bits: Bits) -> float:
    """Minus the weight chosen, plus the penalty for each conflict inside."""
    gained = sum(w for i, w in enumerate(items.weights) if bits[i])
    broken = sum(1 for i, j in items.conflicts if bits[i] and bits[j])
    return penalty_of(items) * broken - gained


def broken(items: Items, bits: Bits) -> list[Pair]:
    """Conflicts inside the choice."""
    return [(i, j) for i, j in items.conflicts if bits[i] and bits[j]]


def chosen_bits(count: int, chosen: Sequence[object], what: str) -> Bits:
    """The string with the chosen indices set. Raises InputError for one that is none."""
    bits = np.zeros(count, np.uint8)
    for i in chosen:
        if not isinstance(i, int) or not 0 <= i < count:
            raise InputError(f"{what} {i!r} is not one of 0 to {count - 1}")
        bits[i] = 1
    return bits


def greedy(items: Items) -> Bits:
    """Heaviest first, those with fewer conflicts first among equals, as long as they fit."""
    masks = IndependentSets(len(items.weights), items.conflicts).masks
    order = sorted(range(len(masks)), key=lambda i: (-items.weights[i], masks[i].bit_count(), i))
    bits, barred = np.zeros(len(masks), np.uint8), 0
    for i in order:
        if not barred >> i & 1:
            bits[i] = 1
            barred |= masks[i]
    return bits


def exact(items: Items) -> Exact:
    """The heaviest choice by branch and bound; `proved` is False where it was cut short."""
    found = heaviest(items)
    assert found is not None  # the empty choice always is one
    return found


def heaviest(items: Items, size: int | None = None, visited: int = VISITED) -> Exact | None:
    """The heaviest choice, of exactly `size` items where given; None where there is none of that size.

    Branch and bound: the items left are covered by groups of mutually conflicting ones, at most one of a group can be
    had, so the groups' heaviest members bound the gain (weighted colouring, Kumlander 2004).
    """
    search = _Search(items, size, visited)
    deepest = sys.getrecursionlimit()
    sys.setrecursionlimit(max(deepest, 2 * len(items.weights) + 500))
    try:
        search.descend((1 << len(items.weights)) - 1, 0.0, 0, 0)
    finally:
        sys.setrecursionlimit(deepest)
    if search.best is None:
        if search.left <= 0:
            raise InputError(f"no choice of {size} items found in {visited:,} branches, none excluded either")
        return None
    chosen = {search.order[k] for k in range(len(search.order)) if search.best >> k & 1}
    bits = tuple(int(i in chosen) for i in range(len(items.weights)))
    method = f"branch and bound, {visited - search.left:,} branches"
    total = -sum(w for i, w in enumerate(items.weights) if bits[i])
    return Exact(total, bits, method, search.left > 0)


class _Search:
    """State of `heaviest`. Items are numbered anew, heaviest first, so that a group's first member bounds it."""

    def __init__(self, items: Items, size: int | None, visited: int) -> None:
        weights, count = items.weights, len(items.weights)
        masks = IndependentSets(count, items.conflicts).masks
        self.order = sorted(range(count), key=lambda i: (-weights[i], masks[i].bit_count(), i))
        place = {i: k for k, i in enumerate(self.order)}
        self.conflicts = [0] * count
        for i, j in items.conflicts:
            self.conflicts[place[i]] |= 1 << place[j]
            self.conflicts[place[j]] |= 1 << place[i]
        self.weights = [weights[i] for i in self.order]
        self.size, self.left = size, visited
        self.best: int | None = None
        self.best_weight = float("-inf")

    def bounded(self, free: int) -> list[tuple[int, float, int]]:
        """The free items with what they and all before them can gain at most, and in how many picks."""
        found, gain, groups = [], 0.0, 0
        while free:
            group, groups = free, groups + 1
            gain += self.weights[(group & -group).bit_length() - 1]
            while group:
                k = (group & -group).bit_length() - 1
                found.append((k, gain, groups))
                free &= ~(1 << k)
                group &= self.conflicts[k]
        return found

    def descend(self, free: int, weight: float, chosen: int, count: int) -> None:
        """Tries all choices that add to `chosen`."""
        self.left -= 1
        if self.size in (None, count) and weight > self.best_weight + 1e-12:
            self.best, self.best_weight = chosen, weight
        if count == self.size:
            return
        for k, gain, groups in reversed(self.bounded(free)):
            short = self.size is not None and count + groups < self.size
            if self.left <= 0 or short or weight + gain <= self.best_weight + 1e-12:
                return
            free &= ~(1 << k)
            self.descend(free & ~self.conflicts[k], weight + self.weights[k], chosen | 1 << k, count + 1)
