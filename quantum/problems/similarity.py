"""Molecular similarity: the most atoms two molecules have in common, each with the same bonds among them.

A bit says that an atom of the first molecule stands for one of the second of the same element; two bits agree where
their atoms are bonded alike on both sides (by the same kind of bond, or not at all). The largest set of agreeing bits
is a maximum clique of the modular product: the induced common substructure, in one piece or several.
Levi 1973 (Calcolo 9, 341); Hernandez et al. 2016 (arXiv 1601.06693).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from trine.devices.errors import InputError, nearest
from trine.quantum.optima import selection
from trine.quantum.optima.selection import Items
from trine.quantum.polynomial import Bits
from trine.quantum.problem import Encoding, Exact, Problem, Reader

KINDS = ("single", "double", "triple", "aromatic", "other")


@dataclass(frozen=True)
class Molecule:
    """Elements of the atoms, and bonds (i, j, kind), i < j, ascending."""

    name: str
    atoms: tuple[str, ...]
    bonds: tuple[tuple[int, int, str], ...]

    def as_json(self) -> dict[str, Any]:
        """As in the instance."""
        return {"name": self.name, "atoms": list(self.atoms), "bonds": [list(b) for b in self.bonds]}

    def kinds(self) -> dict[tuple[int, int], str]:
        """Kind of bond of each bonded pair, both ways round."""
        return {pair: kind for i, j, kind in self.bonds for pair in ((i, j), (j, i))}


@dataclass(frozen=True)
class Comparison:
    """Two molecules. penalty: None for the default."""

    first: Molecule
    second: Molecule
    penalty: float | None = None

    @cached_property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """(atom of the first, atom of the second) of the same element: one bit each."""
        return tuple(
            (a, b) for a, x in enumerate(self.first.atoms) for b, y in enumerate(self.second.atoms) if x == y
        )

    @cached_property
    def items(self) -> Items:
        """Pairs conflict where they share an atom, or are bonded differently on the two sides."""
        mine, theirs = self.first.kinds(), self.second.kinds()
        conflicts = [
            (k, m)
            for k, (a, b) in enumerate(self.pairs)
            for m, (c, d) in enumerate(self.pairs[k + 1 :], k + 1)
            if a == c or b == d or mine.get((a, c)) != theirs.get((b, d))
        ]
        return Items((1.0,) * len(self.pairs), tuple(conflicts), self.penalty)

    def as_json(self) -> dict[str, Any]:
        """The instance's object."""
        return {"first": self.first.as_json(), "second": self.second.as_json(), "penalty": self.penalty}


def parse(data: Mapping[str, Any]) -> Comparison:
    """From a file's `instance`. Raises InputError."""
    reader = Reader(data, ("first", "second"), ("penalty",))
    reader.done()
    found = Comparison(
        read_molecule(data["first"], "first", reader.problems),
        read_molecule(data["second"], "second", reader.problems),
        selection.read_penalty(reader),
    )
    if not reader.problems:
        if not found.pairs:
            reader.problems.append("the molecules have no element in common: nothing can be matched")
        selection.refuse_weak_penalty(found.items, reader)
    reader.done()
    return found


def read_molecule(data: object, where: str, problems: list[str]) -> Molecule:
    """One molecule; mistakes are added to `problems`."""
    if not isinstance(data, dict):
        problems.append(f"{where}: give an object with name, atoms and bonds")
        return Molecule("", (), ())
    reader = Reader(data, ("atoms", "bonds"), ("name",))
    atoms = reader.texts("atoms")
    if not reader.problems and not atoms:
        reader.problems.append("atoms is empty")
    given = data.get("bonds")
    rows = (
        given if isinstance(given, list) and all(isinstance(b, list) and len(b) == 3 for b in given) else None
    )
    if rows is None:
        reader.problems.append("bonds: give a list of [i, j, kind]")
        rows = []
    ends = Reader({"bonds": [b[:2] for b in rows]}, ("bonds",))
    ends.edges("bonds", len(atoms))
    reader.problems += ends.problems
    reader.problems += [
        f"bonds[{k}] is of kind {b[2]!r}, {nearest(str(b[2]), KINDS)}"
        for k, b in enumerate(rows)
        if b[2] not in KINDS
    ]
    problems += [f"{where}: {problem}" for problem in reader.problems]
    if reader.problems:
        return Molecule("", (), ())
    bonds = tuple(sorted((min(b[:2]), max(b[:2]), str(b[2])) for b in rows))
    return Molecule(reader.text("name", where), atoms, bonds)


def atom(molecule: Molecule, index: int) -> str:
    """An atom in words, as C4."""
    return f"{molecule.atoms[index]}{index}"


def encode(two: Comparison) -> Encoding:
    """One bit a pair of atoms of the same element."""
    labels = [
        f"{atom(two.first, a)} of {two.first.name} is {atom(two.second, b)} of {two.second.name}"
        for a, b in two.pairs
    ]
    return selection.encode(two.items, labels)


def cost(two: Comparison, bits: Bits) -> float:
    """Minus the atoms matched, plus the penalty for each contradiction."""
    return selection.cost(two.items, bits)


def violations(two: Comparison, bits: Bits) -> list[str]:
    """Pairs that contradict each other."""
    found = []
    for k, m in selection.broken(two.items, bits):
        (a, b), (c, d) = two.pairs[k], two.pairs[m]
        mine, theirs = (
            f"{atom(two.first, a)}, {atom(two.first, c)}",
            f"{atom(two.second, b)}, {atom(two.second, d)}",
        )
        why = "an atom is matched twice" if a == c or b == d else "they are bonded differently"
        found.append(f"{mine} cannot be {theirs}: {why}")
    return found


def decode(two: Comparison, bits: Bits) -> dict[str, Any]:
    """Which atom is which, how many there are, and the similarity common / (first + second - common)."""
    matched = [pair for pair, bit in zip(two.pairs, bits, strict=True) if bit]
    count = len(matched)
    all_atoms = len(two.first.atoms) + len(two.second.atoms) - count
    return {
        "matched": [
            {"first": a, "second": b, "atoms": f"{atom(two.first, a)} = {atom(two.second, b)}"}
            for a, b in matched
        ],
        "common_atoms": count,
        "similarity": round(count / all_atoms, 6) if all_atoms > 0 else None,
    }


def bits_of(two: Comparison, answer: Mapping[str, Any]) -> Bits:
    """From the atoms matched."""
    place = {pair: k for k, pair in enumerate(two.pairs)}
    bits = np.zeros(len(two.pairs), np.uint8)
    for row in answer["matched"]:
        pair = (row["first"], row["second"])
        if pair not in place:
            raise InputError(f"matched: atoms {pair[0]} and {pair[1]} are not of the same element")
        bits[place[pair]] = 1
    return bits


def exact(two: Comparison) -> Exact | None:
    """Branch and bound."""
    return selection.exact(two.items)


def greedy(two: Comparison) -> Bits:
    """The pair with the fewest contradictions that still fits, again and again."""
    return selection.greedy(two.items)


def example() -> Comparison:
    """Ethanol and acetic acid: C-C-O is common, 3 atoms."""
    ethanol = Molecule("ethanol", ("C", "C", "O"), ((0, 1, "single"), (1, 2, "single")))
    acid = ((0, 1, "single"), (1, 2, "double"), (1, 3, "single"))
    return Comparison(ethanol, Molecule("acetic acid", ("C", "C", "O", "O"), acid))


def sample(generator: np.random.Generator, qubits: int) -> Comparison:
    """Two random trees of carbon, with nitrogen leaves; about `qubits` pairs of atoms."""
    size = max(2, round(qubits**0.5))

    def tree(name: str) -> Molecule:
        bonds = [(int(generator.integers(0, k)), k, "single") for k in range(1, size)]
        atoms = ["N" if k == size - 1 and size > 2 else "C" for k in range(size)]
        return Molecule(name, tuple(atoms), tuple(sorted(bonds)))

    return Comparison(tree("first"), tree("second"))


PROBLEM = Problem(
    "similarity", "most atoms two molecules share", "Hernandez et al. 2016 (arXiv 1601.06693)",
    parse, encode, cost, violations, decode, bits_of, exact, greedy, example, sample,
    unit="atoms",
    keys={
        "first": "name, atoms (elements) and bonds ([i, j, kind], kind single, double, triple, aromatic or other)",
        "second": "likewise",
        "penalty": "on a contradiction; left out or null: 1.5 times what suffices",
    },
)  # fmt: skip
