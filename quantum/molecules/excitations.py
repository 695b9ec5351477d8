"""Excitations of electrons between spin orbitals, and the sets of them that ansatz families take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np

from trine.quantum.molecules import fermions
from trine.quantum.molecules.fermions import Sum
from trine.quantum.molecules.sector import Index, Sector


@dataclass(frozen=True)
class Excitation:
    """A = T - T+, T = a+_created... a_emptied...: real and antihermitian; exp(theta A) turns pairs of determinants.

    Spin orbitals in Jordan-Wigner's order (up, then down), all different. Two or four of them.
    """

    emptied: tuple[int, ...]
    created: tuple[int, ...]

    @property
    def label(self) -> str:
        """As in "2,5<-0,3"."""
        return ",".join(map(str, self.created)) + "<-" + ",".join(map(str, self.emptied))

    def generator(self) -> Sum:
        """i A as X^x Z^z: exp(theta A) = exp(-i theta (i A)). Its strings commute with each other."""
        ladders = [fermions.ladder(p, True) for p in self.created]
        up = fermions.product(*ladders, *(fermions.ladder(q, False) for q in self.emptied))
        down = fermions.product(
            *(fermions.ladder(q, True) for q in reversed(self.emptied)),
            *(fermions.ladder(p, False) for p in reversed(self.created)),
        )
        total: Sum = {}
        fermions.add(total, up, 1j)
        fermions.add(total, down, -1j)
        return {key: value for key, value in total.items() if value != 0}

    def pairs(self, sector: Sector) -> tuple[Index, Index, Index]:
        """(places that T acts on [k], places it leads to, signs of +1 and -1)."""
        states = sector.states
        full = sum(1 << q for q in self.emptied)
        empty = sum(1 << p for p in self.created)
        source = np.flatnonzero(((states & full) == full) & ((states & empty) == 0))
        now, parity = states[source], np.zeros(len(source), np.int64)
        for orbital in (*reversed(self.emptied), *reversed(self.created)):
            parity += np.bitwise_count(now & ((1 << orbital) - 1))
            now = now ^ (1 << orbital)
        return source, sector.places(now), 1 - 2 * (parity & 1)


def singles_doubles(orbitals: int, electrons: tuple[int, int]) -> tuple[Excitation, ...]:
    """All of the reference's that keep the spin: doubles, then singles (UCCSD)."""
    up, down = ((range(k), range(k, orbitals)) for k in electrons)
    singles, doubles = [], []
    for shift, (filled, free) in ((0, up), (orbitals, down)):
        singles += [Excitation((shift + i,), (shift + a,)) for i, a in product(filled, free)]
        doubles += [
            Excitation((shift + i, shift + j), (shift + a, shift + b))
            for (i, j), (a, b) in product(combinations(filled, 2), combinations(free, 2))
        ]
    doubles += [
        Excitation((i, orbitals + j), (a, orbitals + b))
        for i, a, j, b in product(up[0], up[1], down[0], down[1])
    ]
    return (*doubles, *singles)


def paired_generalised(orbitals: int) -> tuple[Excitation, ...]:
    """Pairs p -> q of both spins, then singles p -> q, between any orbitals (one layer of UpCCGSD)."""
    moves = list(combinations(range(orbitals), 2))
    pairs = [Excitation((p, orbitals + p), (q, orbitals + q)) for p, q in moves]
    return (*pairs, *(Excitation((s + p,), (s + q,)) for s in (0, orbitals) for p, q in moves))


def pool(orbitals: int, electrons: tuple[int, int], generalised: bool = False) -> tuple[Excitation, ...]:
    """What ADAPT chooses from: the reference's singles and doubles, or those between any orbitals."""
    if not generalised:
        return singles_doubles(orbitals, electrons)
    moves = list(combinations(range(orbitals), 2))
    singles = [Excitation((s + p,), (s + q,)) for s in (0, orbitals) for p, q in moves]
    doubles = [
        Excitation((s + p, s + q), (s + r, s + t))
        for s in (0, orbitals)
        for (p, q), (r, t) in combinations(moves, 2)
        if not {p, q} & {r, t}
    ]
    mixed = [
        Excitation((p, orbitals + r), (q, orbitals + t))
        for (p, q), (r, t) in product(moves, [m for pair in moves for m in (pair, pair[::-1])])
    ]
    return (*doubles, *mixed, *singles)


def flat_pairs(excitations: Sequence[Excitation], sector: Sector) -> tuple[Index, Index, Index, Index]:
    """(offsets [k + 1], sources, targets, signs) of all in order, one after the other."""
    parts = [e.pairs(sector) for e in excitations]
    offsets = np.concatenate([[0], np.cumsum([len(source) for source, _, _ in parts])]).astype(np.int64)
    joined = [np.concatenate([[], *(part[k] for part in parts)]).astype(np.int64) for k in range(3)]
    return offsets, joined[0], joined[1], joined[2]
