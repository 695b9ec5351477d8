"""`Tables`: one option for each site, a cost for each option and each pair of options; exact optima of such problems.

Rotamers of residues, codons of positions, poses of bodies: all are cost function networks of order two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Pair = tuple[int, int]
WIDEST = 1 << 24  # entries of the largest table of an elimination: 128 MiB of doubles


@dataclass(frozen=True, eq=False)
class Tables:
    """cost(c) = sum_i unary[i][c_i] + sum_{i<j} pairs[i, j][c_i, c_j].

    unary: one vector a site. pairs: matrices [options of i, options of j], keys with i < j.
    """

    unary: tuple[Float, ...] = field(repr=False)
    pairs: Mapping[Pair, Float] = field(repr=False)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Options of each site."""
        return tuple(len(u) for u in self.unary)

    def cost(self, choice: Sequence[int]) -> float:
        """Of one choice."""
        found = sum(float(u[c]) for u, c in zip(self.unary, choice, strict=True))
        return found + sum(float(m[choice[i], choice[j]]) for (i, j), m in self.pairs.items())

    def neighbours(self) -> tuple[frozenset[int], ...]:
        """For each site, those it shares a pair table with."""
        found: list[set[int]] = [set() for _ in self.unary]
        for i, j in self.pairs:
            found[i].add(j)
            found[j].add(i)
        return tuple(map(frozenset, found))

    def between(self, i: int, j: int) -> Float:
        """The pair table seen from i: [options of i, options of j]."""
        return self.pairs[i, j] if i < j else self.pairs[j, i].T

    def local(self, site: int, choice: Sequence[int]) -> Float:
        """What each option of a site would cost, all other sites as chosen."""
        found = self.unary[site].copy()
        for (i, j), matrix in self.pairs.items():
            if i == site:
                found += matrix[:, choice[j]]
            elif j == site:
                found += matrix[choice[i], :]
        return found

    def given(self, free: Sequence[int], choice: Sequence[int]) -> Tables:
        """The problem of the free sites, in their order, all others as chosen.

        Costs among the chosen are left out: differences between two choices of the free sites are kept.
        """
        number = {site: k for k, site in enumerate(free)}
        unary = [self.unary[site].copy() for site in free]
        pairs: dict[Pair, Float] = {}
        for (i, j), matrix in self.pairs.items():
            if i in number and j in number:
                a, b = number[i], number[j]
                pairs[min(a, b), max(a, b)] = matrix if a < b else matrix.T
            elif i in number:
                unary[number[i]] += matrix[:, choice[j]]
            elif j in number:
                unary[number[j]] += matrix[choice[i], :]
        return Tables(tuple(unary), pairs)


def consecutive(sizes: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """One-hot groups of these sizes, one after the other: the bits of each site."""
    ends = np.cumsum([0, *sizes]).tolist()
    return tuple(tuple(range(a, b)) for a, b in pairwise(ends))


def one_by_one(tables: Tables) -> tuple[int, ...]:
    """Each site in turn takes what is cheapest beside those placed before: the rule one tries first."""
    chosen: list[int] = []
    for site, unary in enumerate(tables.unary):
        found = unary.copy()
        for before, option in enumerate(chosen):
            if (before, site) in tables.pairs:
                found += tables.pairs[before, site][option]
        chosen.append(int(found.argmin()))
    return tuple(chosen)


def descended(tables: Tables, start: Sequence[int]) -> tuple[int, ...]:
    """Single sites changed for the better until none can be."""
    choice = list(start)
    moved = True
    while moved:
        moved = False
        for site in range(len(choice)):
            costs = tables.local(site, choice)
            best = int(costs.argmin())
            if costs[best] < costs[choice[site]] - 1e-12:
                choice[site], moved = best, True
    return tuple(choice)


def without_dead_ends(tables: Tables) -> tuple[NDArray[np.int64], ...]:
    """Options that can still be in an optimum, by Goldstein's criterion (Biophys. J. 66, 1335, 1994).

    Option a of a site falls when some b is cheaper whatever the others do:
    E(a) - E(b) + sum_j min_s [E(a, s) - E(b, s)] > 0.
    """
    alive = [np.arange(n) for n in tables.sizes]
    around = tables.neighbours()
    waiting = set(range(len(alive)))
    while waiting:
        site = min(waiting)
        waiting.discard(site)
        here = alive[site]
        gap = tables.unary[site][here][:, None] - tables.unary[site][here][None, :]
        for other in around[site]:
            matrix = tables.between(site, other)[np.ix_(here, alive[other])]
            gap += (matrix[:, None, :] - matrix[None, :, :]).min(axis=2)
        dead = (gap > 1e-9).any(axis=1)
        if dead.any():
            alive[site] = here[~dead]
            waiting |= around[site] | {site}
    return tuple(alive)


def kept(tables: Tables, alive: Sequence[NDArray[np.int64]]) -> Tables:
    """The problem with these options alone."""
    unary = tuple(u[a] for u, a in zip(tables.unary, alive, strict=True))
    pairs = {(i, j): m[np.ix_(alive[i], alive[j])] for (i, j), m in tables.pairs.items()}
    return Tables(unary, pairs)


def elimination_order(tables: Tables) -> tuple[list[int], int]:
    """Sites in the order that makes the smallest new table at each step; entries of the largest table on the way."""
    around = {i: set(near) for i, near in enumerate(tables.neighbours())}
    sizes = tables.sizes
    order: list[int] = []
    largest = 1
    while around:
        entries = {
            i: sizes[i] * int(np.prod([sizes[j] for j in near], dtype=object)) for i, near in around.items()
        }
        site = min(entries, key=lambda i: (entries[i], i))
        largest = max(largest, entries[site])
        near = around.pop(site)
        for j in near:
            around[j] |= near
            around[j] -= {j, site}
        order.append(site)
    return order, largest


def eliminated(tables: Tables, order: Sequence[int]) -> tuple[int, ...]:
    """An optimal choice by variable elimination (dynamic programming over a tree decomposition)."""
    factors: list[tuple[tuple[int, ...], Float]] = [((i,), u) for i, u in enumerate(tables.unary)]
    factors += [(pair, matrix) for pair, matrix in sorted(tables.pairs.items())]
    steps: list[tuple[int, tuple[int, ...], NDArray[np.int64]]] = []
    for site in order:
        mine = [f for f in factors if site in f[0]]
        factors = [f for f in factors if site not in f[0]]
        scope = tuple(sorted({i for f, _ in mine for i in f} - {site}))
        axes = (*scope, site)
        joined = np.zeros([tables.sizes[i] for i in axes])
        for names, table in mine:
            turned = np.transpose(table, np.argsort([axes.index(i) for i in names]))
            joined += turned.reshape([tables.sizes[i] if i in names else 1 for i in axes])
        steps.append((site, scope, joined.argmin(axis=-1)))
        factors.append((scope, joined.min(axis=-1)))
    choice = [0] * len(tables.unary)
    for site, scope, best in reversed(steps):
        choice[site] = int(best[tuple(choice[i] for i in scope)])
    return tuple(choice)


def optimum(tables: Tables, widest: int = WIDEST) -> tuple[tuple[int, ...], str] | None:
    """An optimal choice and how it was found; None where elimination would need a table of more than `widest` entries.

    Dead ends first, then elimination; both keep at least one optimum.
    """
    alive = without_dead_ends(tables)
    smaller = kept(tables, alive)
    order, largest = elimination_order(smaller)
    if largest > widest:
        return None
    choice = eliminated(smaller, order)
    left = sum(map(len, alive))
    method = f"dead ends removed ({left} of {sum(tables.sizes)} options left), then elimination, proved"
    return tuple(int(a[c]) for a, c in zip(alive, choice, strict=True)), method
