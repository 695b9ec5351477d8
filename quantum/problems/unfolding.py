"""Molecular unfolding: torsion angles that bring a ligand's fragments farthest apart, the first step of some dockings.

One bit a torsion and angle, exactly one angle each. Cutting the torsions' bonds leaves rigid fragments; the squared
distance of two fragments depends on the torsions between them alone, which makes the objective a polynomial of their
number's degree. Mato et al. 2021 (arXiv 2107.13607).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product as every
from typing import Any

import numpy as np

from trine.devices.errors import InputError
from trine.quantum.biology.points import read_points
from trine.quantum.biology.torsions import (
    Ligand,
    Torsion,
    between_fragments,
    chain,
    conformation,
    impossible,
    read_torsion,
)
from trine.quantum.feasible import OneHot
from trine.quantum.optima.reference import lowest_of
from trine.quantum.polynomial import Bits, Polynomial, Subset, exactly_one, total
from trine.quantum.problem import Encoding, Exact, Problem, Reader

ENUMERATED = 1 << 22  # conformations


def parse(data: Mapping[str, Any]) -> Ligand:
    """From a file's `instance`. Raises InputError."""
    reader = Reader(data, ("atoms", "xyz", "torsions", "angles"))
    atoms = reader.texts("atoms")
    xyz = read_points(reader, "xyz", len(atoms))
    angles = reader.whole("angles", 4, 2, 360)
    if not reader.problems and not xyz:
        reader.problems.append("xyz is empty: unfolding needs the positions of the atoms (a conformation)")
    rows = data.get("torsions")
    torsions: list[Torsion] = []
    if not isinstance(rows, list) or not rows:
        reader.problems.append("torsions: give at least one; a rigid molecule cannot be unfolded")
        rows = []
    for k, row in enumerate(rows):
        torsion = read_torsion(row, len(atoms))
        if isinstance(torsion, str):
            reader.problems.append(f"torsions[{k}]: {torsion}")
        else:
            torsions.append(torsion)
    ligand = Ligand(atoms, xyz, tuple(torsions), angles)
    if not reader.problems:
        reader.problems += impossible(ligand)
    reader.done()
    return ligand


def encode(ligand: Ligand) -> Encoding:
    """What each table falls short of its greatest entry, plus P (1 - angles of a torsion)^2."""
    parts: list[dict[Subset, float]] = []
    for between, table in ligand.tables.items():
        short = table.max() - table
        parts.append(
            {
                tuple(ligand.groups[t][c] for t, c in zip(between, choice, strict=True)): float(short[choice])
                for choice in np.ndindex(*short.shape)
            }
        )
    count = len(ligand.torsions) * ligand.angles
    inside = Polynomial(count, total(parts))
    ones = total(exactly_one(g, ligand.penalty) for g in ligand.groups)
    labels = tuple(
        f"{t.name} at {360 * k / ligand.angles:g} degrees"
        for t in ligand.torsions
        for k in range(ligand.angles)
    )
    why = "more than max_t min_k of what giving torsion t angle k can cost; a second angle never pays"
    return Encoding(
        inside + Polynomial(count, ones), inside, OneHot(ligand.groups), labels, ligand.penalty, why
    )


def settings(ligand: Ligand, bits: Bits) -> list[list[int]]:
    """The angles set of each torsion."""
    return [[k for k, bit in enumerate(group) if bits[bit]] for group in ligand.groups]


def cost(ligand: Ligand, bits: Bits) -> float:
    """How far the squared distances fall short of the greatest that each set of torsions allows, and the penalties.

    Where a torsion has several angles, summed over all of them.
    """
    on = settings(ligand, bits)
    found = sum(ligand.penalty * (1 - len(k)) ** 2 for k in on)
    for between, table in ligand.tables.items():
        greatest = float(table.max())
        for choice in every(*(on[t] for t in between)):
            found += greatest - float(table[choice])
    return found


def violations(ligand: Ligand, bits: Bits) -> list[str]:
    """Torsions without exactly one angle."""
    on = settings(ligand, bits)
    return [f"{t.name} has {len(k)} angles" for t, k in zip(ligand.torsions, on, strict=True) if len(k) != 1]


def decode(ligand: Ligand, bits: Bits) -> dict[str, Any]:
    """The angle of each torsion, the coordinates, and how far apart the fragments are, before and after."""
    on = settings(ligand, bits)
    angles = {
        t.name: 360 * k[0] / ligand.angles if len(k) == 1 else None
        for t, k in zip(ligand.torsions, on, strict=True)
    }
    if violations(ligand, bits):
        return {"torsions_degrees": angles, "xyz_angstrom": None}
    xyz = conformation(ligand, [k[0] for k in on])
    return {
        "torsions_degrees": angles,
        "squared_distances_angstrom2": round(between_fragments(ligand, xyz), 4),
        "before_angstrom2": round(between_fragments(ligand, np.array(ligand.xyz)), 4),
        "xyz_angstrom": np.round(xyz, 4).tolist(),
    }


def bits_of(ligand: Ligand, answer: Mapping[str, Any]) -> Bits:
    """From the angles."""
    bits = np.zeros(len(ligand.torsions) * ligand.angles, np.uint8)
    for torsion, group in zip(ligand.torsions, ligand.groups, strict=True):
        degrees = answer["torsions_degrees"].get(torsion.name)
        steps = None if degrees is None else degrees * ligand.angles / 360
        if steps is None or abs(steps - round(steps)) > 1e-9 or not 0 <= steps < ligand.angles:
            raise InputError(
                f"torsions_degrees: {torsion.name} is {degrees!r}; give a multiple of {360 / ligand.angles:g} below 360"
            )
        bits[group[round(steps)]] = 1
    return bits


def bits_of_choice(ligand: Ligand, choice: list[int]) -> Bits:
    """From the setting of each torsion."""
    bits = np.zeros(len(ligand.torsions) * ligand.angles, np.uint8)
    for group, k in zip(ligand.groups, choice, strict=True):
        bits[group[k]] = 1
    return bits


def exact(ligand: Ligand) -> Exact | None:
    """All conformations, to four million."""
    count = len(ligand.torsions)
    if ligand.angles**count > ENUMERATED:
        return None
    far = np.zeros((ligand.angles,) * count)
    for between, table in ligand.tables.items():
        far += table.reshape([ligand.angles if t in between else 1 for t in range(count)])
    best = np.unravel_index(int(far.argmax()), far.shape)
    bits = bits_of_choice(ligand, [int(k) for k in best])
    return lowest_of([bits], encode(ligand).polynomial, f"all {far.size:,} conformations")


def greedy(ligand: Ligand) -> Bits:
    """One torsion after the other, the angle that brings the fragments farthest apart, the others as they stand."""
    choice = [0] * len(ligand.torsions)
    for t in range(len(choice)):
        tried = [[*choice[:t], k, *choice[t + 1 :]] for k in range(ligand.angles)]
        choice = max(tried, key=lambda c: between_fragments(ligand, conformation(ligand, c)))
    return bits_of_choice(ligand, choice)


def example() -> Ligand:
    """Hexane folded up (all torsions cis), steps of 120 degrees from there: 9 qubits, 27 conformations."""
    return chain(6, 3, [0, 0, 0])


def sample(generator: np.random.Generator, qubits: int) -> Ligand:
    """A carbon chain with random torsions and two to four angles each."""
    angles = int(generator.integers(2, 5))
    torsions = max(1, qubits // angles)
    return chain(torsions + 3, angles, generator.integers(0, angles, torsions).tolist())


PROBLEM = Problem(
    "unfolding", "torsion angles that unfold a ligand", "Mato et al. 2021 (arXiv 2107.13607)",
    parse, encode, cost, violations, decode, bits_of, exact, greedy, example, sample,
    unit="angstrom^2 short of the bound",
    keys={
        "atoms": "elements",
        "xyz": "positions, angstrom",
        "torsions": "name, axis [i, j], and moves: the atoms turned about it; nested or apart",
        "angles": "settings of each torsion, 360/angles degrees apart",
    },
)  # fmt: skip
