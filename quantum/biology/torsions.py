"""A ligand that bends at torsions: its rigid fragments, where its atoms go, how far apart the fragments are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product as every
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.quantum.biology.points import Point

Float = NDArray[np.float64]
TERMS = 3_000_000  # products of bits of all pairs of fragments


@dataclass(frozen=True)
class Torsion:
    """A rotation about the line from atom `axis[0]` to `axis[1]`, which turns the atoms of `moves`."""

    name: str
    axis: tuple[int, int]
    moves: tuple[int, ...]

    def as_json(self) -> dict[str, Any]:
        """As in the instance."""
        return {"name": self.name, "axis": list(self.axis), "moves": list(self.moves)}


@dataclass(frozen=True)
class Ligand:
    """One conformation, positions in angstrom. angles: settings of each torsion, k * 360 / angles degrees from it.

    Torsions are nested or apart: what one moves contains what the other moves, or none of it.
    """

    atoms: tuple[str, ...]
    xyz: tuple[Point, ...]
    torsions: tuple[Torsion, ...]
    angles: int

    def as_json(self) -> dict[str, Any]:
        """The instance's object."""
        return {
            "atoms": list(self.atoms),
            "xyz": [list(p) for p in self.xyz],
            "torsions": [t.as_json() for t in self.torsions],
            "angles": self.angles,
        }

    @cached_property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """The bits of each torsion."""
        return tuple(tuple(range(t * self.angles, (t + 1) * self.angles)) for t in range(len(self.torsions)))

    @cached_property
    def fragments(self) -> dict[tuple[int, ...], tuple[int, ...]]:
        """Rigid parts: the torsions that move them, outermost first, and their atoms."""
        outermost = sorted(range(len(self.torsions)), key=lambda t: (-len(self.torsions[t].moves), t))
        found: dict[tuple[int, ...], list[int]] = {}
        for atom in range(len(self.atoms)):
            found.setdefault(tuple(t for t in outermost if atom in self.torsions[t].moves), []).append(atom)
        return {key: tuple(atoms) for key, atoms in sorted(found.items())}

    @cached_property
    def tables(self) -> dict[tuple[int, ...], Float]:
        """For each set of torsions, ascending: the sum of squared distances between atoms of fragments that they
        separate, one axis of `angles` settings a torsion, angstrom^2."""
        parts = list(self.fragments.items())
        found: dict[tuple[int, ...], Float] = {}
        for k, (mine, a) in enumerate(parts):
            for theirs, b in parts[k + 1 :]:
                between = tuple(sorted(set(mine) ^ set(theirs)))
                table = np.zeros((self.angles,) * len(between))
                for choice in every(range(self.angles), repeat=len(between)):
                    setting = dict(zip(between, choice, strict=True))
                    table[choice] = spread(placed(self, mine, a, setting), placed(self, theirs, b, setting))
                found[between] = found[between] + table if between in found else table
        return found

    @cached_property
    def penalty(self) -> float:
        """Of a torsion without exactly one angle.

        Tables are counted down from their greatest entry, so a second angle never pays; a torsion without one gets
        one for at most max_t min_k of what its tables can cost with angle k.
        """
        worst = 0.0
        for t in range(len(self.torsions)):
            rise = np.zeros(self.angles)
            for between, table in self.tables.items():
                if t in between:
                    short = np.moveaxis(table.max() - table, between.index(t), 0)
                    rise += short.reshape(self.angles, -1).max(axis=1)
            worst = max(worst, float(rise.min()))
        return 1.0 + 1.01 * worst


def spread(a: Float, b: Float) -> float:
    """Sum of squared distances between two sets of positions [n, 3] and [m, 3]."""
    return float(((a[:, None, :] - b[None, :, :]) ** 2).sum())


def placed(
    ligand: Ligand, moved_by: tuple[int, ...], atoms: tuple[int, ...], setting: Mapping[int, int]
) -> Float:
    """Positions of atoms [n, 3] with some torsions set; those not named stay as they are."""
    xyz = np.array(ligand.xyz)
    found: Float = xyz[list(atoms)]
    for t in reversed(moved_by):  # the innermost first, about axes where they were
        if setting.get(t, 0):
            start, end = ligand.torsions[t].axis
            found = turned(found, xyz[start], xyz[end], 2 * np.pi * setting[t] / ligand.angles)
    return found


def turned(xyz: Float, start: Float, end: Float, angle: float) -> Float:
    """Positions [n, 3] turned about the line through start and end, right-handed, radians (Rodrigues' formula)."""
    axis = (end - start) / np.linalg.norm(end - start)
    rel = xyz - start
    along = np.outer(rel @ axis, axis)
    return np.asarray(start + along + (rel - along) * np.cos(angle) + np.cross(axis, rel) * np.sin(angle))


def read_torsion(row: object, atoms: int) -> Torsion | str:
    """One torsion, or what is wrong with it."""
    if not isinstance(row, dict) or not {"name", "axis", "moves"} <= row.keys():
        return "give an object with name, axis and moves"
    axis, moves = row["axis"], row["moves"]
    if not all(
        isinstance(v, list) and all(type(a) is int and 0 <= a < atoms for a in v) for v in (axis, moves)
    ):
        return f"axis and moves are lists of atoms from 0 to {atoms - 1}"
    if len(axis) != 2 or axis[0] == axis[1] or not moves or len(set(moves)) != len(moves):
        return "give two different atoms as axis and at least one atom that moves, each once"
    if axis[0] in moves:
        return f"atom {axis[0]} begins the axis and cannot move"
    return Torsion(str(row["name"]), (axis[0], axis[1]), tuple(sorted(moves)))


def impossible(ligand: Ligand) -> list[str]:
    """What is wrong between the parts of an instance."""
    found = []
    names = [t.name for t in ligand.torsions]
    if len(set(names)) != len(names):
        found.append("torsions: a name is repeated")
    for k, a in enumerate(ligand.torsions):
        start, end = (np.array(ligand.xyz[i]) for i in a.axis)
        if np.linalg.norm(end - start) < 1e-3:
            found.append(
                f"torsion {a.name}: its two atoms are at the same place; the ligand has no 3-D coordinates"
            )
        for b in ligand.torsions[k + 1 :]:
            common, either = set(a.moves) & set(b.moves), min(len(a.moves), len(b.moves))
            if 0 < len(common) < either:
                found.append(
                    f"torsions {a.name} and {b.name} move some atoms both and others alone (a ring?)"
                )
    if not found:
        longest = max((len(set(p) ^ set(q)) for p in ligand.fragments for q in ligand.fragments), default=0)
        pairs = len(ligand.fragments) * (len(ligand.fragments) - 1) // 2
        if pairs * ligand.angles**longest > TERMS:
            found.append(
                f"{longest} torsions lie between two fragments: {ligand.angles}^{longest} products of bits; give fewer "
                "torsions or angles"
            )
    return found


def conformation(ligand: Ligand, choice: Sequence[int]) -> Float:
    """Positions of all atoms [n, 3] with one angle a torsion."""
    found = np.zeros((len(ligand.atoms), 3))
    for moved_by, atoms in ligand.fragments.items():
        found[list(atoms)] = placed(ligand, moved_by, atoms, dict(enumerate(choice)))
    return found


def between_fragments(ligand: Ligand, xyz: Float) -> float:
    """Sum of squared distances between atoms of different fragments, angstrom^2."""
    parts = [list(atoms) for atoms in ligand.fragments.values()]
    return sum(spread(xyz[a], xyz[b]) for k, a in enumerate(parts) for b in parts[k + 1 :])


def chain(atoms: int, angles: int, bends: Sequence[int]) -> Ligand:
    """A carbon chain of bond length 1.53 angstrom and angle 112 degrees; `bends`: its torsions, steps of 360/angles."""
    xyz = [np.zeros(3), np.array([1.53, 0, 0])]
    bond, bend = 1.53, np.deg2rad(180 - 112)
    xyz.append(xyz[1] + bond * np.array([np.cos(bend), np.sin(bend), 0]))
    for k in range(3, atoms):
        back, last = xyz[k - 3] - xyz[k - 2], xyz[k - 1] - xyz[k - 2]
        along = last / np.linalg.norm(last)
        across = back - (back @ along) * along
        across /= np.linalg.norm(across)
        step = np.cos(bend) * along + np.sin(bend) * across  # cis
        xyz.append(xyz[k - 1] + bond * step)
        turn = 2 * np.pi * bends[k - 3] / angles
        xyz[k] = turned(xyz[k][None], xyz[k - 2], xyz[k - 1], turn)[0]
    torsions = tuple(
        Torsion(f"C{k}-C{k + 1}", (k, k + 1), tuple(range(k + 2, atoms))) for k in range(1, atoms - 2)
    )
    points = tuple((float(p[0]), float(p[1]), float(p[2])) for p in np.round(xyz, 4))
    return Ligand(("C",) * atoms, points, torsions, angles)
