"""RNA secondary structure from quartets: two stacked pairs each, with the nearest-neighbour energies; no pseudoknots.

Formulation: IBM and Moderna, arXiv 2405.20328 and 2505.05782. Only stacking counts: no energies of loops.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np

from trine.devices.errors import InputError
from trine.quantum.biology.rna import can_pair, dot_bracket, read_sequence
from trine.quantum.feasible import IndependentSets
from trine.quantum.polynomial import Bits, Polynomial, Subset
from trine.quantum.problem import Encoding, Exact, Problem, Reader

MIN_LOOP = 3  # unpaired nucleotides of a hairpin, at least (steric limit; ViennaRNA's TURN)
# Stacking free energies at 37 C, 1 M NaCl, in kcal/mol: Turner 2004 (Mathews et al., PNAS 101, 7287; NNDB), to 0.1
# as in ViennaRNA's rna_turner2004.par. Row: pair i-j. Column: pair (j-1)-(i+1), read on the other strand.
KINDS = ("CG", "GC", "GU", "UG", "AU", "UA")
STACKING = (
    (-2.4, -3.3, -2.1, -1.4, -2.1, -2.1),
    (-3.3, -3.4, -2.5, -1.5, -2.2, -2.4),
    (-2.1, -2.5, 1.3, -0.5, -1.4, -1.3),
    (-1.4, -1.5, -0.5, 0.3, -0.6, -1.0),
    (-2.1, -2.2, -1.4, -0.6, -1.1, -0.9),
    (-2.1, -2.4, -1.3, -1.0, -0.9, -1.3),
)  # fmt: skip


def stacking(sequence: str, i: int, j: int) -> float:
    """Energy of pair i-j on pair (i+1)-(j-1), in kcal/mol."""
    outer, inner = sequence[i] + sequence[j], sequence[j - 1] + sequence[i + 1]
    return STACKING[KINDS.index(outer)][KINDS.index(inner)]


@dataclass(frozen=True)
class Rna:
    """A sequence."""

    sequence: str

    def as_json(self) -> dict[str, Any]:
        """The instance's object."""
        return {"sequence": self.sequence}

    @cached_property
    def quartets(self) -> tuple[tuple[int, int], ...]:
        """(i, j) for the pairs i-j and (i+1)-(j-1); one bit each."""
        n, s = len(self.sequence), self.sequence
        return tuple(
            (i, j)
            for i in range(n)
            for j in range(i + MIN_LOOP + 3, n)
            if can_pair(s, i, j) and can_pair(s, i + 1, j - 1)
        )

    @cached_property
    def energies(self) -> tuple[float, ...]:
        """Of each quartet, kcal/mol."""
        return tuple(stacking(self.sequence, i, j) for i, j in self.quartets)

    @cached_property
    def conflicts(self) -> tuple[tuple[int, int], ...]:
        """Quartets that give a nucleotide two partners, or cross."""
        outer = np.array(self.quartets, np.int64).reshape(-1, 2)
        found = np.zeros((len(outer), len(outer)), bool)
        for first, second in product((outer, outer + np.array([1, -1])), repeat=2):
            i, j, k, m = first[:, None, 0], first[:, None, 1], second[None, :, 0], second[None, :, 1]
            shared = (i == k) | (j == m) | (i == m) | (j == k)
            found |= shared & ~((i == k) & (j == m))
            found |= ((i < k) & (k < j) & (j < m)) | ((k < i) & (i < m) & (m < j))
        return tuple((int(a), int(b)) for a, b in zip(*np.nonzero(np.triu(found, 1)), strict=True))

    @property
    def penalty(self) -> float:
        """Above the largest min(-e, -e') of all conflicts: leaving the weaker quartet out then always pays."""
        bound = max((min(-self.energies[a], -self.energies[b]) for a, b in self.conflicts), default=0.0)
        return 1.5 * bound if bound > 0 else 1.0


def parse(data: Mapping[str, Any]) -> Rna:
    """From a file's `instance`. Raises InputError, also where no quartet is possible."""
    reader = Reader(data, ("sequence",))
    rna = Rna(read_sequence(reader, MIN_LOOP + 4))
    reader.done()
    if not rna.quartets:
        raise InputError("sequence: no two stacked pairs are possible, it stays unfolded")
    return rna


def encode(rna: Rna) -> Encoding:
    """Energies of the quartets, P for two that exclude each other."""
    terms: dict[Subset, float] = {(k,): e for k, e in enumerate(rna.energies)}
    count = len(rna.quartets)
    full = Polynomial(count, {**terms, **dict.fromkeys(rna.conflicts, rna.penalty)})
    labels = tuple(f"pairs {i}-{j} and {i + 1}-{j - 1} stacked" for i, j in rna.quartets)
    why = "1.5 times the largest min(-e, -e') of all conflicts: leaving the weaker one out always pays"
    return Encoding(
        full, Polynomial(count, terms), IndependentSets(count, rna.conflicts), labels, rna.penalty, why
    )


def cost(rna: Rna, bits: Bits) -> float:
    """Stacking energy of the quartets, kcal/mol, and the penalties."""
    found = sum(stacking(rna.sequence, i, j) for k, (i, j) in enumerate(rna.quartets) if bits[k])
    return float(found + rna.penalty * sum(1 for a, b in rna.conflicts if bits[a] and bits[b]))


def violations(rna: Rna, bits: Bits) -> list[str]:
    """Quartets that exclude each other."""
    both = [(rna.quartets[a], rna.quartets[b]) for a, b in rna.conflicts if bits[a] and bits[b]]
    return [f"quartets {a} and {b} give one nucleotide two partners, or cross" for a, b in both]


def decode(rna: Rna, bits: Bits) -> dict[str, Any]:
    """Dot-bracket, the quartets chosen ([i, j], from 0) and their energy."""
    chosen = [q for k, q in enumerate(rna.quartets) if bits[k]]
    answer: dict[str, Any] = {
        "structure": None,
        "quartets": [list(q) for q in chosen],
        "energy": cost(rna, bits),
    }
    if not violations(rna, bits):
        pairs = {p for i, j in chosen for p in ((i, j), (i + 1, j - 1))}
        answer["structure"] = dot_bracket(len(rna.sequence), pairs)
    return answer


def bits_of(rna: Rna, answer: Mapping[str, Any]) -> Bits:
    """From the quartets. Raises InputError for one that the sequence cannot form."""
    bits = np.zeros(len(rna.quartets), np.uint8)
    for i, j in answer["quartets"]:
        if (i, j) not in rna.quartets:
            raise InputError(
                f"quartets: {[i, j]} is none of the {len(rna.quartets)} quartets of this sequence"
            )
        bits[rna.quartets.index((i, j))] = 1
    return bits


def exact(rna: Rna) -> Exact | None:
    """Dynamic programming over intervals, O(n^3); None above 400 nucleotides.

    best[i][j]: least energy within i..j. Quartet (i, j) adds its energy to what fits inside its inner pair, or to
    quartet (i+1, j-1), with which it shares that pair.
    """
    n = len(rna.sequence)
    if n > 400:
        return None
    number = {q: k for k, q in enumerate(rna.quartets)}
    best = np.zeros((n + 1, n + 1))  # best[i, j] for the half-open interval i..j-1
    closed = np.full((n + 1, n + 1), np.inf)
    for length in range(MIN_LOOP + 4, n + 1):
        for i in range(n - length + 1):
            j = i + length
            best[i, j] = best[i + 1, j]
            if (i, j - 1) in number:
                inside = min(closed[i + 1, j - 1], best[i + 2, j - 2])
                closed[i, j] = rna.energies[number[i, j - 1]] + inside
            best[i, j] = min(best[i, j], float((closed[i, i + 1 : j + 1] + best[i + 1 : j + 1, j]).min()))
    return _traced(rna, number, best, closed)


def _traced(rna: Rna, number: Mapping[tuple[int, int], int], best: np.ndarray, closed: np.ndarray) -> Exact:
    """The quartets behind best[0, n]."""
    bits = np.zeros(len(rna.quartets), np.uint8)
    waiting = [(0, len(rna.sequence), False)]
    while waiting:
        i, j, is_closed = waiting.pop()
        if is_closed:
            bits[number[i, j - 1]] = 1
            stacked = closed[i + 1, j - 1] <= best[i + 2, j - 2]
            waiting.append((i + 1, j - 1, True) if stacked else (i + 2, j - 2, False))
        elif j > i:
            ends = closed[i, i + 1 : j + 1] + best[i + 1 : j + 1, j]
            end = i + 1 + int(ends.argmin())
            if best[i + 1, j] <= ends.min():
                waiting.append((i + 1, j, False))
            else:
                waiting += [(i, end, True), (end, j, False)]
    found = float(sum(e for e, bit in zip(rna.energies, bits, strict=True) if bit))
    return Exact(found, tuple(int(b) for b in bits), "dynamic programming over intervals, proved")


def greedy(rna: Rna) -> Bits:
    """Strongest quartets first, as long as they fit."""
    bits = np.zeros(len(rna.quartets), np.uint8)
    barred, masks = 0, IndependentSets(len(rna.quartets), rna.conflicts).masks
    for k in sorted(range(len(rna.quartets)), key=lambda k: (rna.energies[k], rna.quartets[k])):
        if rna.energies[k] < 0 and not barred >> k & 1:
            bits[k] = 1
            barred |= masks[k]
    return bits


def example() -> Rna:
    """A hairpin of four pairs, GGGG with CCCC around GAAA: three stacked GG/CC, -9.9 kcal/mol."""
    return Rna("GGGGAAAACCCC")


def sample(generator: np.random.Generator, qubits: int) -> Rna:
    """Of 200 random sequences of 10 to 24 nucleotides, the one whose number of quartets comes nearest to `qubits`."""
    found: list[Rna] = []
    for _ in range(200):
        length = int(generator.integers(10, 25))
        rna = Rna("".join("ACGU"[k] for k in generator.integers(0, 4, length)))
        if 0 < len(rna.quartets) <= max(1, qubits):
            found.append(rna)
    if not found:
        return Rna("GGAAAACC")
    return min(found, key=lambda rna: (abs(len(rna.quartets) - qubits), rna.sequence))


PROBLEM = Problem(
    "rna_quartets", "RNA structure from stacked pairs, without pseudoknots",
    "IBM and Moderna 2024, 2025 (arXiv 2405.20328, 2505.05782)",
    parse, encode, cost, violations, decode, bits_of, exact, greedy, example, sample,
    unit="kcal/mol",
    keys={"sequence": "nucleotides A, C, G, U (T is read as U)"},
)  # fmt: skip
