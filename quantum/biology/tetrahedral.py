"""Peptides on the tetrahedral lattice: beads, turns and squared distances, as numbers and as polynomials of bits.

Robert et al., npj Quantum Information 7, 38 (2021), arXiv 1908.02163. A turn goes along one of four axes; odd turns go
backwards, so the beads alternate between two sublattices. In the four axes' coordinates a bond has length 1, beads in
contact have squared distance 1, second neighbours 2, overlapping beads 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product as every

import numpy as np
from numpy.typing import NDArray

from trine.quantum.polynomial import Subset, product, total

AXES = 4
DIRECTIONS = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3.0)
BOND = 3.8  # angstrom between neighbouring C-alpha atoms of a trans peptide
Terms = dict[Subset, float]
# The axis of a side chain between turn i - 1 and turn i along two other axes, for even i; for odd i with the turns
# exchanged. Even permutations of (axis, turn, turn, other): Robert 2021, the chirality term.
CHIRAL = {
    0: ((1, 2), (2, 3), (3, 1)),
    1: ((0, 3), (3, 2), (2, 0)),
    2: ((0, 1), (1, 3), (3, 0)),
    3: ((0, 2), (2, 1), (1, 0)),
}


@dataclass(frozen=True, order=True)
class Bead:
    """A bead of the main chain (place from 1), or the side chain on it."""

    place: int
    side: bool

    @property
    def name(self) -> str:
        """ "3", or "3s" for a side chain."""
        return f"{self.place}s" if self.side else str(self.place)


@dataclass(frozen=True)
class Layout:
    """Beads of a chain of `length` with side chains on `sides` (places from 1), and the bits of its turns.

    Turn 1 goes along axis 1, turn 2 along axis 0: a rotation. Without side chains turn 3 goes along axis 1 or 3:
    a mirror image (with them it is not one, their handedness is fixed).
    """

    length: int
    sides: tuple[int, ...]

    @property
    def beads(self) -> tuple[Bead, ...]:
        """All of them."""
        main = [Bead(k, False) for k in range(1, self.length + 1)]
        return tuple(sorted(main + [Bead(k, True) for k in self.sides]))

    def bits(self) -> tuple[dict[int, tuple[int | None, int | None]], dict[int, tuple[int, int]], int]:
        """Bits (first, second) of main turns 3... and of side turns, None where fixed at 1; how many in all."""
        count = 0
        main: dict[int, tuple[int | None, int | None]] = {}
        for turn in range(3, self.length):
            if turn == 3 and not self.sides:
                main[turn] = (0, None)
                count = 1
            else:
                main[turn] = (count, count + 1)
                count += 2
        side = {place: (count + 2 * k, count + 2 * k + 1) for k, place in enumerate(self.sides)}
        return main, side, count + 2 * len(self.sides)

    def bonds(self, a: Bead, b: Bead) -> int:
        """Bonds between two beads."""
        return abs(a.place - b.place) + (a.side + b.side if a != b else 0)

    def neighbours(self, bead: Bead) -> tuple[Bead, ...]:
        """The beads bonded to one."""
        return tuple(b for b in self.beads if self.bonds(bead, b) == 1)

    def beside(self, a: Bead, b: Bead) -> list[tuple[Bead, Bead]]:
        """Pairs that are second neighbours where a and b touch, and else might overlap."""
        return [(a, near) for near in self.neighbours(b)] + [(near, b) for near in self.neighbours(a)]

    def contacts(self) -> tuple[tuple[Bead, Bead], ...]:
        """Pairs that may touch: on different sublattices, five bonds apart at least (a ring has six).

        Side-main, main-side, side-side, main-main: the order of the published operator's bits.
        """
        beads = self.beads
        pairs = [(a, b) for a in beads for b in beads if a.place < b.place]
        found = [(a, b) for a, b in pairs if self.bonds(a, b) >= 5 and self.bonds(a, b) % 2]
        kinds = [(True, False), (False, True), (True, True), (False, False)]
        return tuple(sorted(found, key=lambda p: (kinds.index((p[0].side, p[1].side)), p)))

    def paths(self, a: Bead, b: Bead) -> list[tuple[int, bool, int]]:
        """(turn or place, whether it is a side turn, sign) of the steps from bead a to bead b, a.place <= b.place."""
        steps = [(t, False, (-1) ** t) for t in range(a.place, b.place)]
        if a.side:
            steps.append((a.place, True, -((-1) ** a.place)))
        if b.side:
            steps.append((b.place, True, (-1) ** b.place))
        return steps


def indicators(bits: tuple[int | None, int | None]) -> list[Terms]:
    """Polynomials that are 1 where a turn goes along axis 0, 1, 2, 3; bits (first, second), None is fixed at 1.

    The axis is 2 first + second.
    """
    one: Terms = {(): 1.0}
    single: list[Terms] = [{(b,): 1.0} if b is not None else one for b in bits]
    first, second = single
    not_first, not_second = (total([one, {s: -v for s, v in p.items()}]) for p in (first, second))
    return [product(a, b) for a, b in every((not_first, first), (not_second, second))]


class Distances:
    """Squared distances of a layout's beads as polynomials, each made once."""

    def __init__(self, layout: Layout) -> None:
        main, side, _ = layout.bits()
        fixed: dict[int, list[Terms]] = {1: [{}, {(): 1.0}, {}, {}], 2: [{(): 1.0}, {}, {}, {}]}
        self.layout = layout
        self.turns: dict[int, list[Terms]] = {**fixed, **{t: indicators(b) for t, b in main.items()}}
        self.sides: dict[int, list[Terms]] = {k: indicators(b) for k, b in side.items()}
        self.made: dict[tuple[Bead, Bead], Terms] = {}

    def between(self, a: Bead, b: Bead) -> Terms:
        """Of two beads."""
        a, b = sorted((a, b))
        if (a, b) not in self.made:
            steps = [
                (sign, self.sides[k] if side else self.turns[k]) for k, side, sign in self.layout.paths(a, b)
            ]
            along = [
                total({s: sign * v for s, v in step[x].items()} for sign, step in steps) for x in range(AXES)
            ]
            self.made[a, b] = total(product(p, p) for p in along)
        return self.made[a, b]


def positions(
    layout: Layout, turns: NDArray[np.int64], sides: NDArray[np.int64]
) -> dict[Bead, NDArray[np.int64]]:
    """Coordinates [..., 4] along the axes of all beads, from turns [..., length - 1] and side turns [..., sides]."""
    unit = np.eye(AXES, dtype=np.int64)
    here = np.zeros((*turns.shape[:-1], AXES), np.int64)
    found = {Bead(1, False): here}
    for turn in range(1, layout.length):
        here = here + (-1) ** turn * unit[turns[..., turn - 1]]
        found[Bead(turn + 1, False)] = here
    for k, place in enumerate(layout.sides):
        found[Bead(place, True)] = found[Bead(place, False)] + (-1) ** place * unit[sides[..., k]]
    return found


def apart(where: Mapping[Bead, NDArray[np.int64]], a: Bead, b: Bead) -> NDArray[np.int64]:
    """Squared distances [...] of two beads."""
    return np.asarray(((where[a] - where[b]) ** 2).sum(axis=-1))


def handed(place: int, before: int, after: int) -> int | None:
    """The axis of the side chain on a bead between two turns; None where they go along one axis."""
    pair = (before, after) if place % 2 == 0 else (after, before)
    return next((axis for axis, turns in CHIRAL.items() if pair in turns), None)


def angstrom(where: Sequence[int] | NDArray[np.int64]) -> list[float]:
    """x, y, z in angstrom of coordinates along the axes."""
    return [round(float(v), 4) for v in BOND * (np.asarray(where) @ DIRECTIONS)]
