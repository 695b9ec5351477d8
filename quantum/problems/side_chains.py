"""Side-chain packing: one rotamer for each residue so that the protein's energy is least.

One-hot form: Mulligan et al. 2019, QPacker (bioRxiv 752485); Agathangelou et al. 2025 (arXiv 2507.19383).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from trine.devices.errors import InputError, nearest
from trine.quantum.feasible import OneHot
from trine.quantum.optima.choices import Tables, consecutive, one_by_one, optimum
from trine.quantum.polynomial import Bits, Polynomial, Subset, exactly_one, total
from trine.quantum.problem import Encoding, Exact, Problem, Reader

Matrix = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class SideChains:
    """Energies of rotamers alone (`unary`, with the backbone) and of pairs, in the scoring function's unit."""

    residues: tuple[str, ...]
    rotamers: tuple[tuple[str, ...], ...]
    unary: tuple[tuple[float, ...], ...]
    pairs: tuple[tuple[tuple[int, int], Matrix], ...]

    def as_json(self) -> dict[str, Any]:
        """The instance's object."""
        return {
            "residues": list(self.residues),
            "rotamers": [list(names) for names in self.rotamers],
            "unary": [list(energies) for energies in self.unary],
            "pairs": {f"{i},{j}": [list(row) for row in matrix] for (i, j), matrix in self.pairs},
        }

    @cached_property
    def tables(self) -> Tables:
        """The energies as arrays."""
        return Tables(tuple(map(np.array, self.unary)), {pair: np.array(m) for pair, m in self.pairs})

    @cached_property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """The bits of each residue."""
        return consecutive([*map(len, self.rotamers)])

    @cached_property
    def penalty(self) -> float:
        """Of a residue without exactly one rotamer.

        All tables are counted from their least entry, so a bit set in addition never pays; a residue without a
        rotamer gets one for at most max_i min_r [E_i(r) + sum_j max_s E_ij(r, s)].
        """
        worst = 0.0
        for site, unary in enumerate(self.tables.unary):
            rise = unary - unary.min()
            for other in self.tables.neighbours()[site]:
                matrix = self.tables.between(site, other)
                rise = rise + matrix.max(axis=1) - matrix.min()
            worst = max(worst, float(rise.min()))
        return 1.0 + worst


def _energies(row: object, length: int, where: str, problems: list[str]) -> tuple[float, ...]:
    """`length` finite numbers."""
    if not isinstance(row, list) or len(row) != length:
        problems.append(f"{where}: give {length} energies, one a rotamer")
    elif not all(type(v) in (int, float) and np.isfinite(v) for v in row):
        problems.append(f"{where}: an energy is no finite number (cap clashes at a high value)")
    else:
        return tuple(float(v) for v in row)
    return (0.0,) * length


def _pairs(given: object, sizes: list[int], problems: list[str]) -> dict[tuple[int, int], Matrix]:
    """{"i,j": matrix} with i < j."""
    found: dict[tuple[int, int], Matrix] = {}
    if not isinstance(given, dict):
        problems.append('pairs: give an object {"i,j": [[energy, ...], ...]}')
        return found
    for key, rows in given.items():
        parts = str(key).split(",")
        if len(parts) != 2 or not all(p.strip().isdigit() for p in parts):
            problems.append(f'pairs[{key!r}]: name the two residues by number, as "0,3"')
            continue
        i, j = int(parts[0]), int(parts[1])
        if not i < j < len(sizes):
            problems.append(f"pairs[{key!r}]: give two residues i < j from 0 to {len(sizes) - 1}")
            continue
        if not isinstance(rows, list) or len(rows) != sizes[i]:
            problems.append(f"pairs[{key!r}]: give {sizes[i]} rows, one a rotamer of residue {i}")
            continue
        where = f"pairs[{key!r}]"
        found[i, j] = tuple(_energies(r, sizes[j], f"{where}[{k}]", problems) for k, r in enumerate(rows))
    return found


def parse(data: Mapping[str, Any]) -> SideChains:
    """From a file's `instance`. Raises InputError; a residue without a rotamer is infeasible and refused."""
    reader = Reader(data, ("residues", "rotamers", "unary"), ("pairs",))
    residues = reader.texts("residues")
    if not residues:
        reader.problems.append("residues: give at least one")
    if len(set(residues)) != len(residues):
        reader.problems.append("residues: a name is repeated")
    given, energies = data.get("rotamers"), data.get("unary")
    rotamers: list[tuple[str, ...]] = []
    unary: list[tuple[float, ...]] = []
    for key, lists in (("rotamers", given), ("unary", energies)):
        if not isinstance(lists, list) or len(lists) != len(residues):
            reader.problems.append(f"{key}: give {len(residues)} lists, one a residue")
    if isinstance(given, list) and isinstance(energies, list) and not reader.problems:
        for k, (names, row) in enumerate(zip(given, energies, strict=True)):
            if not isinstance(names, list) or not names:
                reader.problems.append(
                    f"rotamers[{k}]: residue {residues[k]} has no rotamer: nothing can be packed"
                )
                continue
            if len(set(map(str, names))) != len(names):
                reader.problems.append(f"rotamers[{k}]: a name is repeated")
            rotamers.append(tuple(map(str, names)))
            unary.append(_energies(row, len(names), f"unary[{k}]", reader.problems))
    sizes = [len(r) for r in rotamers]
    pairs = {} if reader.problems else _pairs(data.get("pairs", {}), sizes, reader.problems)
    reader.done()
    return SideChains(residues, tuple(rotamers), tuple(unary), tuple(sorted(pairs.items())))


def encode(chains: SideChains) -> Encoding:
    """Energies counted from their table's least entry, plus P (1 - bits of a residue)^2."""
    groups = chains.groups
    terms: dict[Subset, float] = {(): sum(float(t.min()) for t in _all_tables(chains))}
    for group, unary in zip(groups, chains.tables.unary, strict=True):
        terms.update({(bit,): float(e) for bit, e in zip(group, unary - unary.min(), strict=True)})
    for (i, j), matrix in chains.tables.pairs.items():
        above = matrix - matrix.min()
        terms.update(
            {(a, b): float(above[r, s]) for r, a in enumerate(groups[i]) for s, b in enumerate(groups[j])}
        )
    count = sum(map(len, groups))
    inside = Polynomial(count, terms)
    weight = chains.penalty
    full = Polynomial(count, total([terms, *(exactly_one(g, weight) for g in groups)]))
    labels = tuple(
        f"{r}: {name}" for r, names in zip(chains.residues, chains.rotamers, strict=True) for name in names
    )
    why = "more than max_i min_r of what giving residue i rotamer r can cost; a second rotamer never pays"
    return Encoding(full, inside, OneHot(groups), labels, weight, why)


def _all_tables(chains: SideChains) -> list[np.ndarray]:
    return [*chains.tables.unary, *chains.tables.pairs.values()]


def cost(chains: SideChains, bits: Bits) -> float:
    """The energy of the rotamers present, each table counted from its least entry, and the penalties."""
    found = 0.0
    for group, row in zip(chains.groups, chains.unary, strict=True):
        found += min(row) + sum(e - min(row) for bit, e in zip(group, row, strict=True) if bits[bit])
        found += chains.penalty * (1 - sum(int(bits[b]) for b in group)) ** 2
    for (i, j), matrix in chains.pairs:
        least = min(map(min, matrix))
        found += least
        for a, row in zip(chains.groups[i], matrix, strict=True):
            found += sum(e - least for b, e in zip(chains.groups[j], row, strict=True) if bits[a] and bits[b])
    return found


def violations(chains: SideChains, bits: Bits) -> list[str]:
    """Residues without exactly one rotamer."""
    counts = [int(bits[list(g)].sum()) for g in chains.groups]
    return [f"{r} has {n} rotamers" for r, n in zip(chains.residues, counts, strict=True) if n != 1]


def decode(chains: SideChains, bits: Bits) -> dict[str, Any]:
    """The rotamer of each residue, by name, and the energy."""
    chosen = {}
    for residue, group, names in zip(chains.residues, chains.groups, chains.rotamers, strict=True):
        present = [name for bit, name in zip(group, names, strict=True) if bits[bit]]
        chosen[residue] = present[0] if len(present) == 1 else None
    return {"rotamers": chosen, "energy": cost(chains, bits)}


def bits_of(chains: SideChains, answer: Mapping[str, Any]) -> Bits:
    """From the rotamers' names. Raises InputError for a residue or a rotamer that is not there."""
    bits = np.zeros(sum(map(len, chains.groups)), np.uint8)
    given = answer["rotamers"]
    problems = [f"rotamers: residue {r} is missing" for r in chains.residues if r not in given]
    problems += [f"rotamers: residue {r} is unknown" for r in given if r not in chains.residues]
    for residue, group, names in zip(chains.residues, chains.groups, chains.rotamers, strict=True):
        name = str(given.get(residue))
        if name in names:
            bits[group[names.index(name)]] = 1
        elif residue in given:
            problems.append(f"rotamers: {residue} has no rotamer {name}, {nearest(name, names)}")
    if problems:
        raise InputError("; ".join(problems[:8]))
    return bits


def bits_of_choice(chains: SideChains, choice: tuple[int, ...]) -> Bits:
    """From the number of each residue's rotamer."""
    bits = np.zeros(sum(map(len, chains.groups)), np.uint8)
    for group, option in zip(chains.groups, choice, strict=True):
        bits[group[option]] = 1
    return bits


def exact(chains: SideChains) -> Exact | None:
    """Dead-end elimination, then dynamic programming over a tree decomposition; None where tables grow too large."""
    found = optimum(chains.tables)
    if found is None:
        return None
    choice, method = found
    bits = bits_of_choice(chains, choice)
    return Exact(cost(chains, bits), tuple(int(b) for b in bits), method)


def greedy(chains: SideChains) -> Bits:
    """Each residue in turn takes the rotamer that is best beside those placed."""
    return bits_of_choice(chains, one_by_one(chains.tables))


def example() -> SideChains:
    """Three residues whose best rotamers alone clash: the optimum is -5."""
    clash = ((9.0, 0.0), (0.0, 0.5))
    return SideChains(
        ("L12", "F30", "M51"), (("mt", "tp"), ("t80", "m-30"), ("mtp", "mmm", "ttt")),
        ((-2.0, -1.0), (-2.0, -1.5), (-1.0, -0.5, 0.0)),
        (((0, 1), clash), ((1, 2), ((-0.5, 0.0, -2.0), (0.0, 1.0, -0.25)))),
    )  # fmt: skip


def sample(generator: np.random.Generator, qubits: int) -> SideChains:
    """Residues of two to four rotamers; unary energies and pair energies normal, one pair in ten clashes with 10."""
    sizes: list[int] = []
    while sum(sizes) < max(2, qubits):
        sizes.append(min(int(generator.integers(2, 5)), max(2, max(2, qubits) - sum(sizes))))
    unary = tuple(tuple(np.round(generator.normal(0, 1, n), 3).tolist()) for n in sizes)
    pairs: list[tuple[tuple[int, int], Matrix]] = []
    for i in range(len(sizes)):
        for j in range(i + 1, len(sizes)):
            matrix = generator.normal(0, 1, (sizes[i], sizes[j]))
            matrix[generator.random(matrix.shape) < 0.1] = 10.0
            pairs.append(((i, j), tuple(map(tuple, np.round(matrix, 3).tolist()))))
    names = tuple(tuple(f"r{k}" for k in range(n)) for n in sizes)
    return SideChains(tuple(f"res{k}" for k in range(len(sizes))), names, unary, tuple(pairs))


PROBLEM = Problem(
    "side_chains", "side-chain packing: one rotamer a residue",
    "Mulligan 2019 (bioRxiv 752485); Agathangelou 2025 (arXiv 2507.19383)",
    parse, encode, cost, violations, decode, bits_of, exact, greedy, example, sample,
    unit="the scoring function's (REU, kcal/mol)",
    keys={
        "residues": "names, each once",
        "rotamers": "a list of rotamer names for each residue",
        "unary": "a list of energies for each residue, one a rotamer",
        "pairs": '{"i,j": matrix [rotamers of i][rotamers of j]} with i < j; left-out pairs do not touch',
    },
)  # fmt: skip
