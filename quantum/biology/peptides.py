"""Energies of peptides on the tetrahedral lattice from coordinates, and the search over all folds.

Model: Robert et al., npj Quantum Information 7, 38 (2021); contact energies of Miyazawa and Jernigan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.quantum.biology.miyazawa_jernigan import contact_energy
from trine.quantum.biology.tetrahedral import Bead, Layout, apart, handed, positions

Whole = NDArray[np.int64]
Float = NDArray[np.float64]
PUBLISHED = 10.0  # penalties of the published examples, RT


@dataclass(frozen=True)
class Peptide:
    """Residues of the main chain and of one-bead side chains ("" where there is none), and the penalties in RT.

    penalty_back: for two turns along one axis; penalty_chiral: for a side chain of the wrong hand; penalty_contact:
    lambda_1, for overlaps beside a contact.
    """

    sequence: str
    side_chains: tuple[str, ...]
    penalty_back: float
    penalty_chiral: float
    penalty_contact: float = PUBLISHED

    def as_json(self) -> dict[str, Any]:
        """The instance's object."""
        return {
            "sequence": self.sequence,
            "side_chains": list(self.side_chains),
            "penalty_back": self.penalty_back,
            "penalty_chiral": self.penalty_chiral,
            "penalty_contact": self.penalty_contact,
        }

    @cached_property
    def layout(self) -> Layout:
        """Beads and bits."""
        return Layout(len(self.sequence), tuple(k for k, s in enumerate(self.side_chains, 1) if s))

    @cached_property
    def contacts(self) -> tuple[tuple[Bead, Bead, float], ...]:
        """Pairs that may touch, with their energies; one bit each, after those of the turns."""
        pairs = self.layout.contacts()
        return tuple((a, b, contact_energy(self.residue(a), self.residue(b))) for a, b in pairs)

    def residue(self, bead: Bead) -> str:
        """Its letter."""
        return self.side_chains[bead.place - 1] if bead.side else self.sequence[bead.place - 1]

    @cached_property
    def qubits(self) -> int:
        """Bits of turns and contacts."""
        return self.layout.bits()[2] + len(self.contacts)

    def far(self, a: Bead, b: Bead) -> float:
        """lambda_0 = 7 (j - i + 1) lambda_1, Robert 2021: outweighs what distant second neighbours seem to gain.

        They gain at most lambda_1 (d + 2 sqrt(d) - 1) each, six of them, at squared distance d >= 3 of a and b.
        """
        return 7.0 * (b.place - a.place + 1) * self.penalty_contact


def sufficient(peptide: Peptide) -> float:
    """Penalty for turns and hands: a stretched chain costs 0, no fold gains more than all contacts together."""
    return 1.0 - sum(min(energy, 0.0) for _, _, energy in peptide.contacts)


def peptide_of(sequence: str, side_chains: tuple[str, ...] = (), contact: float = PUBLISHED) -> Peptide:
    """A peptide with the published penalties, or larger ones where those do not suffice."""
    sides = side_chains or ("",) * len(sequence)
    weight = max(PUBLISHED, sufficient(Peptide(sequence, sides, 0.0, 0.0, contact)))
    return Peptide(sequence, sides, weight, weight, contact)


def bracket(peptide: Peptide, where: Mapping[Bead, Whole], number: int) -> Float:
    """What the bit of a contact costs when set, [...]: its energy, unless its beads are apart or others overlap."""
    a, b, energy = peptide.contacts[number]
    value = energy + peptide.far(a, b) * (apart(where, a, b) - 1.0)
    for p, q in peptide.layout.beside(a, b):
        value = value + peptide.penalty_contact * (2.0 - apart(where, p, q))
    return np.asarray(value)


@cache
def _hands() -> Whole:
    """Axis of a side chain [turn before, turn after, place is odd]; 0 where the turns go back and forth."""
    found = np.zeros((4, 4, 2), np.int64)
    for before, after, odd in product(range(4), range(4), range(2)):
        found[before, after, odd] = handed(odd, before, after) or 0
    return found


def right_hands(peptide: Peptide, turns: Whole) -> Whole:
    """Side turns [k, sides] of the right hand for folds [k, turns]."""
    asked = [_hands()[turns[:, p - 2], turns[:, p - 1], p % 2] for p in peptide.layout.sides]
    return np.stack(asked, axis=1) if asked else np.zeros((len(turns), 0), np.int64)


def folds(peptide: Peptide) -> Whole:
    """All sequences of turns that never go back [k, turns]; mirror images once, without side chains."""
    found = np.array([[1, 0, t] for t in ((2, 3, 1) if peptide.layout.sides else (3, 1))], np.int64)
    for _ in range(len(peptide.sequence) - 4):
        # After a turn along axis t come t + 1, t + 2, t + 3 modulo 4.
        following = (found[:, -1:] + np.arange(1, 4)) % 4
        found = np.column_stack([np.repeat(found, 3, axis=0), following.ravel()])
    return found


def best_fold(peptide: Peptide) -> tuple[Whole, int]:
    """Turns of the fold whose contacts gain most, the first among equals, and how many folds there are."""
    every = folds(peptide)
    where = positions(peptide.layout, every, right_hands(peptide, every))
    energies = np.zeros(len(every))
    for k in range(len(peptide.contacts)):
        energies += np.minimum(bracket(peptide, where, k), 0.0)
    return every[int(energies.argmin())], len(every)


def grown_fold(peptide: Peptide) -> Whole:
    """Turn by turn, where the main chain's new contacts gain most, on free sites first."""
    table = {(a.place, b.place): e for a, b, e in peptide.contacts if not (a.side or b.side)}
    turns = [1, 0]
    while len(turns) < len(peptide.sequence) - 1:
        allowed = [t for t in range(4) if t != turns[-1]]
        if len(turns) == 2 and not peptide.layout.sides:
            allowed = [1, 3]
        turns.append(min(allowed, key=lambda t: (*_last_bead(table, [*turns, t]), t)))
    return np.array(turns, np.int64)


def _last_bead(table: Mapping[tuple[int, int], float], turns: list[int]) -> tuple[int, float]:
    """Overlaps and contact energy of the last bead of a main chain."""
    where = positions(Layout(len(turns) + 1, ()), np.array(turns, np.int64), np.zeros(0, np.int64))
    last = Bead(len(turns) + 1, False)
    distance = {b.place: int(apart(where, b, last)) for b in where if b != last}
    energy = sum(table.get((place, last.place), 0.0) for place, d in distance.items() if d == 1)
    return sum(d == 0 for d in distance.values()), energy
