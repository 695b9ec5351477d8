"""Choice problems larger than a device, block by block: what today's machines can do for a protein of many residues.

A block of sites is made free, all others stay as chosen; its small one-hot problem goes to any solver (exact,
QAOA, a sampler); the answer is kept if it is lower. Block coordinate descent with restarts, as in Agathangelou 2025
(arXiv 2507.19383) and qbsolv (Booth et al. 2017) in spirit. No proof comes with the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from trine.devices.errors import InputError
from trine.quantum.feasible import OneHot
from trine.quantum.optima.choices import (
    Tables,
    consecutive,
    descended,
    kept,
    one_by_one,
    optimum,
    without_dead_ends,
)
from trine.quantum.polynomial import Bits, Polynomial, Subset

PATIENCE = 3  # rounds without a gain before a start is given up; blocks are drawn anew in each
Solver = Callable[[Tables, np.random.Generator], Sequence[int]]


@dataclass(frozen=True)
class Decomposed:
    """The lowest choice found, its cost, the cost each restart ended at; blocks solved and the bits of the largest."""

    choice: tuple[int, ...]
    cost: float
    restarts: tuple[float, ...]
    blocks: int
    qubits: int
    options: int = field(default=0)  # left of all sites after dead ends were removed


def exactly(tables: Tables, generator: np.random.Generator) -> tuple[int, ...]:
    """A block's optimum by elimination. Raises InputError where its tables grow too large."""
    found = optimum(tables)
    if found is None:
        raise InputError(
            f"a block of {len(tables.unary)} sites is too dense to eliminate: use fewer qubits a block"
        )
    return found[0]


def polynomial_of(tables: Tables) -> tuple[Polynomial, OneHot]:
    """A block as a polynomial inside its one-hot strings (no penalty): bits of site 0 first."""
    groups = consecutive(tables.sizes)
    terms: dict[Subset, float] = {}
    for group, unary in zip(groups, tables.unary, strict=True):
        terms.update({(bit,): float(v) for bit, v in zip(group, unary, strict=True)})
    for (i, j), matrix in tables.pairs.items():
        for (a, b), value in np.ndenumerate(matrix):
            terms[groups[i][a], groups[j][b]] = float(value)
    return Polynomial(sum(tables.sizes), terms), OneHot(groups)


def decompose(
    tables: Tables,
    solver: Solver = exactly,
    qubits: int = 24,
    restarts: int = 4,
    seed: int = 0,
    dead_ends: bool = True,
) -> Decomposed:
    """Block after block until none of them can be improved, from `restarts` different starts.

    qubits: most bits of a block; a site with more options than fit keeps those that are best beside the others.
    dead_ends: first remove options that no optimum has (Goldstein 1994), a classical step that keeps an optimum.
    The first start is the greedy one, the others are random. Raises InputError below 4 qubits.
    """
    if qubits < 4:
        raise InputError(f"{qubits} qubits: a block needs at least 4, two sites of two options")
    alive = without_dead_ends(tables) if dead_ends else tuple(np.arange(n) for n in tables.sizes)
    small = kept(tables, alive)
    generator = np.random.default_rng(seed)
    ends: list[tuple[float, tuple[int, ...]]] = []
    counted = [0, 0]
    for restart in range(max(1, restarts)):
        start = one_by_one(small) if restart == 0 else [int(generator.integers(n)) for n in small.sizes]
        choice = _settle(small, list(descended(small, start)), solver, qubits, generator, counted)
        ends.append((small.cost(choice), tuple(choice)))
    _, best = min(ends)
    choice = [int(a[c]) for a, c in zip(alive, best, strict=True)]
    return Decomposed(
        tuple(choice),
        tables.cost(choice),
        tuple(cost for cost, _ in ends),
        counted[0],
        counted[1],
        sum(map(len, alive)),
    )


def _settle(
    tables: Tables,
    choice: list[int],
    solver: Solver,
    qubits: int,
    generator: np.random.Generator,
    counted: list[int],
) -> list[int]:
    """Blocks around every site in random order, until some whole rounds bring nothing."""
    idle = 0
    while idle < PATIENCE:
        idle += 1
        for site in generator.permutation(len(choice)):
            if tables.sizes[site] == 1:
                continue
            options = _block(tables, int(site), choice, qubits, generator)
            if len(options) < 2:
                continue
            sites = sorted(options)
            free = tables.given(sites, choice)
            block = kept(free, [options[s] for s in sites])
            counted[0] += 1
            counted[1] = max(counted[1], sum(block.sizes))
            now = [int(np.flatnonzero(options[s] == choice[s])[0]) for s in sites]
            found = solver(block, generator)
            if block.cost(found) < block.cost(now) - 1e-9:
                idle = 0
                for s, option in zip(sites, found, strict=True):
                    choice[s] = int(options[s][option])
    return choice


def _block(
    tables: Tables, seed: int, choice: Sequence[int], qubits: int, generator: np.random.Generator
) -> dict[int, np.ndarray]:
    """Options of a site and of some it is coupled to, strong coupling first by chance, while their bits fit.

    How many options a site keeps is drawn too: many sites with few options and few sites with many find other moves.
    The present option is always among them.
    """
    around = sorted(tables.neighbours()[seed])
    strength = np.array([np.ptp(tables.between(seed, s)) + 1e-9 for s in around])
    # Exponential clocks: the order is a draw without replacement by strength.
    coupled = [around[k] for k in np.argsort(generator.exponential(size=len(around)) / strength)]
    share = int(generator.integers(2, qubits // 2 + 1))
    found: dict[int, np.ndarray] = {}
    left = qubits
    for site in (seed, *coupled):
        count = min(tables.sizes[site], share)
        if 1 < count <= left:
            order = np.argsort(tables.local(site, choice), kind="stable")
            best = [choice[site], *(o for o in order.tolist() if o != choice[site])][:count]
            found[site] = np.array(sorted(best), np.int64)
            left -= count
    return found


def lowest_drawn(tables: Tables, strings: Bits) -> tuple[int, ...]:
    """The cheapest of strings [k, bits]; where none is one-hot, each site's cheapest option by itself."""
    _, feasible = polynomial_of(tables)
    choices = [
        tuple(int(np.argmax(row[list(g)])) for g in feasible.groups)
        for row in strings
        if feasible.contains(row)
    ]
    if not choices:
        return tuple(int(u.argmin()) for u in tables.unary)
    return min(choices, key=lambda choice: (tables.cost(choice), choice))


def drawn(count: int) -> Solver:
    """Random one-hot strings, `count` a block: what any quantum solver has to be compared with."""

    def solver(tables: Tables, generator: np.random.Generator) -> tuple[int, ...]:
        return lowest_drawn(tables, polynomial_of(tables)[1].draw(generator, count))

    return solver


def by_qaoa(layers: int = 16, shots: int = 256, cap: float = 5.0) -> Solver:
    """QAOA on each block in the subspace engine with the XY mixer, linear-ramp angles, the best of `shots`.

    cap: entries of a table count at most this much above its least, in the problem's unit, or 4, 16, 64 times as much,
    drawn for each block: clashes of thousands would leave no angle for the differences that matter, and a cap that is
    too low hides which clash is worse. Answers are judged by the tables as they are.
    """

    def solver(tables: Tables, generator: np.random.Generator) -> tuple[int, ...]:
        from trine.quantum.angles.ramp import linear_ramp
        from trine.quantum.engines.subspace import SubspaceEngine

        top = cap * 4.0 ** int(generator.integers(4))
        pairs = {pair: np.minimum(m, m.min() + top) for pair, m in tables.pairs.items()}
        capped = Tables(tuple(np.minimum(u, u.min() + top) for u in tables.unary), pairs)
        polynomial, feasible = polynomial_of(capped)
        costs = polynomial.energy(feasible.draw(generator, 256))
        # An eighth of the usual excess over the least of random strings: measured best of 1/4, 1/8 and 1/16 on 1AHO.
        scale = max(float(np.median(costs) - costs.min()), 1e-6) / 8
        samples = SubspaceEngine(polynomial, feasible).sample(
            linear_ramp(layers, scale), shots, int(generator.integers(1 << 31))
        )
        return lowest_drawn(tables, samples.bits)

    return solver
