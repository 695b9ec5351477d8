"""RNA secondary structure from stems, pseudoknots included: long stems gain, crossing ones cost.

Fox et al., PLoS Comput. Biol. 18, e1010032 (2022); the objective -k^2 and c = 0.3 are those of D-Wave's RNA example.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np

from trine.devices.errors import InputError
from trine.quantum.biology.rna import can_pair, dot_bracket, read_sequence
from trine.quantum.feasible import IndependentSets
from trine.quantum.optima.choices import consecutive
from trine.quantum.optima.linear_programs import lowest_by_milp
from trine.quantum.polynomial import Bits, Polynomial, Subset
from trine.quantum.problem import Encoding, Exact, Problem, Reader

Stem = tuple[int, int, int, int]  # first and last place of the 5' side, first and last of the 3' side


@dataclass(frozen=True)
class Rna:
    """A sequence and which stems count: at least `min_stem` pairs, more than `min_loop` places from i to j.

    pseudoknot: what two crossing stems of k and m pairs cost, times k m.
    """

    sequence: str
    min_stem: int = 3
    min_loop: int = 2
    pseudoknot: float = 0.3

    def as_json(self) -> dict[str, Any]:
        """The instance's object."""
        return {
            "sequence": self.sequence,
            "min_stem": self.min_stem,
            "min_loop": self.min_loop,
            "pseudoknot": self.pseudoknot,
        }

    @cached_property
    def families(self) -> tuple[tuple[Stem, ...], ...]:
        """For each maximal stem, itself and all stems inside it; at most one of a family can be had."""
        n = len(self.sequence)
        bond = {
            (i, j) for i in range(n) for j in range(i + self.min_loop + 1, n) if can_pair(self.sequence, i, j)
        }
        found = []
        for i, j in sorted(bond):
            if (i - 1, j + 1) in bond:
                continue
            pairs = 1
            while (i + pairs, j - pairs) in bond:
                pairs += 1
            if pairs >= self.min_stem:
                starts = ((a, b) for a in range(pairs) for b in range(a + self.min_stem - 1, pairs))
                found.append(tuple((i + a, i + b, j - b, j - a) for a, b in starts))
        return tuple(found)

    @cached_property
    def stems(self) -> tuple[Stem, ...]:
        """One bit each."""
        return tuple(stem for family in self.families for stem in family)

    @cached_property
    def conflicts(self) -> tuple[tuple[int, int], ...]:
        """Stems that share a nucleotide, or come from one maximal stem."""
        family = [k for k, members in enumerate(self.families) for _ in members]
        places = [_places(stem) for stem in self.stems]
        pairs = combinations(range(len(places)), 2)
        return tuple((a, b) for a, b in pairs if family[a] == family[b] or places[a] & places[b])

    @property
    def penalty(self) -> float:
        """Above the largest min(k^2, m^2) of all conflicts: leaving the shorter stem out then always pays."""
        lengths = [_length(s) for s in self.stems]
        return 1.5 * max((min(lengths[a], lengths[b]) ** 2 for a, b in self.conflicts), default=1.0)


def _length(stem: Stem) -> int:
    return stem[1] - stem[0] + 1


def _places(stem: Stem) -> frozenset[int]:
    return frozenset((*range(stem[0], stem[1] + 1), *range(stem[2], stem[3] + 1)))


def _knotted(a: Stem, b: Stem) -> bool:
    """Whether two stems cross: 5' a, 5' b, 3' a, 3' b in this order, or with a and b exchanged."""
    a, b = sorted((a, b))
    return a[1] < b[0] and b[1] < a[2] and a[3] < b[2]


def parse(data: Mapping[str, Any]) -> Rna:
    """From a file's `instance`. Raises InputError, also where no stem is possible."""
    reader = Reader(data, ("sequence",), ("min_stem", "min_loop", "pseudoknot"))
    sequence = read_sequence(reader, 8)
    rna = Rna(
        sequence,
        reader.whole("min_stem", 3, 1, 100),
        reader.whole("min_loop", 2, 0, 100),
        reader.number("pseudoknot", 0.3, 0.0),
    )
    reader.done()
    if not rna.stems:
        raise InputError(
            f"sequence: no stem of {rna.min_stem} pairs is possible, it stays unfolded; try a smaller min_stem"
        )
    return rna


def encode(rna: Rna) -> Encoding:
    """-k^2 for a stem of k pairs, c k m for two that cross, P for a conflict."""
    terms: dict[Subset, float] = {(a,): -float(_length(s) ** 2) for a, s in enumerate(rna.stems)}
    for a, b in combinations(range(len(rna.stems)), 2):
        if _knotted(rna.stems[a], rna.stems[b]):
            terms[a, b] = rna.pseudoknot * _length(rna.stems[a]) * _length(rna.stems[b])
    count = len(rna.stems)
    full = Polynomial(count, {**terms, **dict.fromkeys(rna.conflicts, rna.penalty)})
    labels = tuple(f"stem {s[0]}-{s[1]} with {s[2]}-{s[3]}" for s in rna.stems)
    why = "1.5 times the largest min(k^2, m^2) of all conflicts: leaving the shorter stem out always pays"
    return Encoding(
        full, Polynomial(count, terms), IndependentSets(count, rna.conflicts), labels, rna.penalty, why
    )


def _chosen(rna: Rna, bits: Bits) -> list[Stem]:
    return [stem for k, stem in enumerate(rna.stems) if bits[k]]


def cost(rna: Rna, bits: Bits) -> float:
    """By the sums of the model: gains, crossings, broken conflicts."""
    stems = _chosen(rna, bits)
    found = -float(sum(_length(s) ** 2 for s in stems))
    found += rna.pseudoknot * sum(
        _length(a) * _length(b) for a, b in combinations(stems, 2) if _knotted(a, b)
    )
    return found + rna.penalty * sum(1 for a, b in rna.conflicts if bits[a] and bits[b])


def violations(rna: Rna, bits: Bits) -> list[str]:
    """Stems that cannot be had together."""
    return [
        f"{rna.stems[a]} and {rna.stems[b]} exclude each other"
        for a, b in rna.conflicts
        if bits[a] and bits[b]
    ]


def decode(rna: Rna, bits: Bits) -> dict[str, Any]:
    """Dot-bracket with pseudoknots in further brackets, stems (first and last place of each side, from 0)."""
    stems = _chosen(rna, bits)
    crossing = [[list(a), list(b)] for a, b in combinations(stems, 2) if _knotted(a, b)]
    answer: dict[str, Any] = {"structure": None, "stems": [list(s) for s in stems], "pseudoknots": crossing}
    if not violations(rna, bits):
        pairs = [(s[0] + k, s[3] - k) for s in stems for k in range(_length(s))]
        answer["structure"] = dot_bracket(len(rna.sequence), pairs)
    return answer


def bits_of(rna: Rna, answer: Mapping[str, Any]) -> Bits:
    """From the stems. Raises InputError for one that the sequence cannot form."""
    bits = np.zeros(len(rna.stems), np.uint8)
    for given in answer["stems"]:
        stem = tuple(int(v) for v in given)
        if stem not in rna.stems:
            raise InputError(f"stems: {list(stem)} is none of the {len(rna.stems)} stems of this sequence")
        bits[rna.stems.index(stem)] = 1
    return bits


def exact(rna: Rna) -> Exact | None:
    """Mixed-integer program: at most one stem a nucleotide and one of each family; None where HiGHS gives up."""
    encoding = encode(rna)
    count, n = encoding.qubits, len(rna.sequence)
    groups = [[k for k, s in enumerate(rna.stems) if place in _places(s)] for place in range(n)]
    groups += [list(members) for members in consecutive([*map(len, rna.families)])]
    # A spare bit in each group turns "at most one" into the solver's "exactly one".
    one_of = [[*group, count + k] for k, group in enumerate(g for g in groups if len(g) > 1)]
    spared = Polynomial(count + len(one_of), encoding.inside.terms)
    found = lowest_by_milp(spared, one_of)
    if found is None:
        return None
    bits = found.bits[:count]
    return Exact(cost(rna, np.array(bits, np.uint8)), bits, found.method, found.proved)


def greedy(rna: Rna) -> Bits:
    """Longest stems first, as long as they fit and gain more than their crossings cost."""
    bits = np.zeros(len(rna.stems), np.uint8)
    barred: set[int] = set()
    against = IndependentSets(len(rna.stems), rna.conflicts).masks
    for k in sorted(range(len(rna.stems)), key=lambda k: (-_length(rna.stems[k]), rna.stems[k])):
        stem = rna.stems[k]
        crossed = sum(_length(s) for s in _chosen(rna, bits) if _knotted(s, stem))
        if k not in barred and _length(stem) > rna.pseudoknot * crossed:
            bits[k] = 1
            barred |= {b for b in range(len(rna.stems)) if against[k] >> b & 1}
    return bits


def example() -> Rna:
    """The 26 nucleotides with a pseudoknot of D-Wave's RNA example: 9 stems, optimum -29.5."""
    return Rna("AAAGCGCUGAAGACUUAAAAUUCAGG")


def sample(generator: np.random.Generator, qubits: int) -> Rna:
    """Of 200 random sequences of 12 to 30 nucleotides, the one whose number of stems comes nearest to `qubits`."""
    found: list[Rna] = []
    for _ in range(200):
        length = int(generator.integers(12, 31))
        rna = Rna("".join("ACGU"[k] for k in generator.integers(0, 4, length)))
        if 0 < len(rna.stems) <= max(1, qubits):
            found.append(rna)
    if not found:
        return Rna("GGGAAAACCC")
    return min(found, key=lambda rna: (abs(len(rna.stems) - qubits), rna.sequence))


PROBLEM = Problem(
    "rna_stems", "RNA structure from stems, with pseudoknots", "Fox 2022 (PLoS Comput. Biol. 18, e1010032)",
    parse, encode, cost, violations, decode, bits_of, exact, greedy, example, sample,
    unit="pairs^2",
    keys={
        "sequence": "nucleotides A, C, G, U (T is read as U)",
        "min_stem": "fewest pairs of a stem, 3 if left out",
        "min_loop": "fewest nucleotides between two that pair, 2 if left out",
        "pseudoknot": "cost of two crossing stems, times the product of their lengths; 0.3 if left out",
    },
)  # fmt: skip
