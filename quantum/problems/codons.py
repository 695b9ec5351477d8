"""Codon optimisation: one codon for each amino acid; common codons, a GC content, few repeats across neighbours.

Fox et al., PLoS ONE 16, e0259101 (2021): usage, GC target and repeats as one-hot terms; also arXiv 2404.14858 and
2507.18817.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, product
from typing import Any

import numpy as np

from trine.devices.errors import InputError
from trine.quantum.biology.codon_table import HUMAN_USAGE, OF, gc_count, read_usage, repeats
from trine.quantum.feasible import OneHot
from trine.quantum.optima.choices import consecutive
from trine.quantum.polynomial import Bits, Polynomial, Subset, exactly_one, total
from trine.quantum.problem import Encoding, Exact, Problem, Reader


@dataclass(frozen=True)
class Protein:
    """A protein and the weights of three aims, all dimensionless.

    usage: codons per thousand; the cost of codon c is usage_weight * ln(most used of its amino acid / c).
    GC: gc_weight * (GC nucleotides - gc_target * nucleotides)^2. Repeats: repeat_weight * (longest run of one
    nucleotide in two neighbouring codons)^2 - 1.
    """

    sequence: str
    gc_target: float = 0.5
    usage_weight: float = 1.0
    gc_weight: float = 0.1
    repeat_weight: float = 0.1
    usage: tuple[tuple[str, float], ...] = HUMAN_USAGE

    def as_json(self) -> dict[str, Any]:
        """The instance's object."""
        return {
            "sequence": self.sequence,
            "gc_target": self.gc_target,
            "usage_weight": self.usage_weight,
            "gc_weight": self.gc_weight,
            "repeat_weight": self.repeat_weight,
            "usage": dict(self.usage),
        }

    @cached_property
    def codons(self) -> tuple[tuple[str, ...], ...]:
        """The codons of each position that the usage table has with a count above 0, the most used first."""
        used = dict(self.usage)
        have = {
            a: sorted((c for c in OF[a] if used.get(c, 0.0) > 0), key=lambda c: (-used[c], c)) for a in OF
        }
        return tuple(tuple(have[a]) for a in self.sequence)

    @cached_property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """The bits of each position."""
        return consecutive([*map(len, self.codons)])

    def rarity(self, position: int, option: int) -> float:
        """Cost of a codon's usage; 0 for the most used."""
        used, codons = dict(self.usage), self.codons[position]
        return self.usage_weight * math.log(used[codons[0]] / used[codons[option]])

    @property
    def goal(self) -> float:
        """GC nucleotides wanted."""
        return self.gc_target * 3 * len(self.sequence)

    @cached_property
    def penalty(self) -> float:
        """All aims are at least 0 for every string, so one more than the cost of any one answer suffices."""
        return 1.0 + _chosen_cost(self, [0] * len(self.sequence))

    @property
    def dense_qubits(self) -> int:
        """Bits where each position's codon is a binary number: the least that any encoding needs."""
        return sum(math.ceil(math.log2(len(c))) for c in self.codons)


def parse(data: Mapping[str, Any]) -> Protein:
    """From a file's `instance`. Raises InputError, also for an amino acid that has no codon in use."""
    weights = ("usage_weight", "gc_weight", "repeat_weight")
    reader = Reader(data, ("sequence",), ("gc_target", *weights, "usage"))
    sequence = "".join(reader.text("sequence").split()).upper()
    wrong = [f"{letter} at {k}" for k, letter in enumerate(sequence) if letter not in OF]
    if wrong:
        reader.problems.append(f"sequence: {', '.join(wrong[:5])}: residues are {''.join(OF)} (* is a stop)")
    if not sequence:
        reader.problems.append("sequence is empty: give at least one residue")
    usage, gc, repeat = (reader.number(key, getattr(Protein, key), 0.0) for key in weights)
    target = reader.number("gc_target", 0.5, 0.0, 1.0)
    protein = Protein(sequence, target, usage, gc, repeat, read_usage(data.get("usage"), reader.problems))
    if not reader.problems:
        barren = sorted({a for a, c in zip(sequence, protein.codons, strict=True) if not c})
        reader.problems += [f"usage: no codon for {a} with a count above 0: infeasible" for a in barren]
    reader.done()
    return protein


def encode(protein: Protein) -> Encoding:
    """Usage, (GC - goal)^2, repeats, plus P (1 - bits of a position)^2."""
    groups = protein.groups
    gc: dict[Subset, float] = {(): -protein.goal}
    terms: dict[Subset, float] = {}
    for k, group in enumerate(groups):
        for option, bit in enumerate(group):
            gc[(bit,)] = float(gc_count(protein.codons[k][option]))
            terms[(bit,)] = protein.rarity(k, option)
    for k in range(len(groups) - 1):
        for (a, first), (b, second) in product(_named(protein, k), _named(protein, k + 1)):
            terms[a, b] = protein.repeat_weight * repeats(first, second)
    square = {s: protein.gc_weight * v for s, v in _squared(gc).items()}
    inside = total([terms, square])
    count, weight = sum(map(len, groups)), protein.penalty
    full = total([inside, *(exactly_one(g, weight) for g in groups)])
    labels = tuple(f"{a}{k + 1}: {c}" for k, a in enumerate(protein.sequence) for c in protein.codons[k])
    why = "1 + the cost of the most used codons: no aim is ever below 0, so a broken string costs more than that"
    return Encoding(Polynomial(count, full), Polynomial(count, inside), OneHot(groups), labels, weight, why)


def _named(protein: Protein, k: int) -> list[tuple[int, str]]:
    return list(zip(protein.groups[k], protein.codons[k], strict=True))


def _squared(linear: Mapping[Subset, float]) -> dict[Subset, float]:
    """Terms of (constant + sum of weighted bits)^2."""
    bits = [(s[0], v) for s, v in linear.items() if s]
    constant = linear[()]
    found: dict[Subset, float] = {(): constant**2}
    for k, (i, v) in enumerate(bits):
        found[(i,)] = v * v + 2 * constant * v
        found.update({(i, j): 2 * v * w for j, w in bits[k + 1 :]})
    return found


def _chosen_cost(protein: Protein, choice: list[int]) -> float:
    codons = [options[c] for options, c in zip(protein.codons, choice, strict=True)]
    found = sum(protein.rarity(k, c) for k, c in enumerate(choice))
    found += protein.gc_weight * (sum(map(gc_count, codons)) - protein.goal) ** 2
    return found + protein.repeat_weight * sum(repeats(a, b) for a, b in pairwise(codons))


def cost(protein: Protein, bits: Bits) -> float:
    """The three aims over all codons present, and the penalties."""
    present = [[c for c, bit in enumerate(group) if bits[bit]] for group in protein.groups]
    codons = [[protein.codons[k][c] for c in options] for k, options in enumerate(present)]
    found = sum(protein.rarity(k, c) for k, options in enumerate(present) for c in options)
    found += protein.gc_weight * (sum(gc_count(c) for here in codons for c in here) - protein.goal) ** 2
    for here, after in pairwise(codons):
        found += protein.repeat_weight * sum(repeats(a, b) for a in here for b in after)
    return found + protein.penalty * sum((1 - len(options)) ** 2 for options in present)


def violations(protein: Protein, bits: Bits) -> list[str]:
    """Positions without exactly one codon."""
    counts = [int(bits[list(g)].sum()) for g in protein.groups]
    return [
        f"{a}{k + 1} has {n} codons"
        for k, (a, n) in enumerate(zip(protein.sequence, counts, strict=True))
        if n != 1
    ]


def decode(protein: Protein, bits: Bits) -> dict[str, Any]:
    """The mRNA, its GC content and codon adaptation index (Sharp and Li 1987); None where a position has no codon."""
    if violations(protein, bits):
        return {"mrna": None, "gc": None, "cai": None}
    choice = [int(np.argmax(bits[list(group)])) for group in protein.groups]
    codons = [options[c] for options, c in zip(protein.codons, choice, strict=True)]
    used = dict(protein.usage)
    worth = [math.log(used[c] / used[options[0]]) for c, options in zip(codons, protein.codons, strict=True)]
    gc = sum(map(gc_count, codons)) / (3 * len(codons))
    return {"mrna": "".join(codons), "gc": gc, "cai": math.exp(sum(worth) / len(worth))}


def bits_of(protein: Protein, answer: Mapping[str, Any]) -> Bits:
    """From the mRNA. Raises InputError where it does not spell the protein."""
    mrna = str(answer["mrna"]).upper().replace("T", "U")
    if len(mrna) != 3 * len(protein.sequence):
        raise InputError(f"mrna has {len(mrna)} nucleotides, the protein needs {3 * len(protein.sequence)}")
    bits = np.zeros(sum(map(len, protein.groups)), np.uint8)
    for k, (group, codons) in enumerate(zip(protein.groups, protein.codons, strict=True)):
        codon = mrna[3 * k : 3 * k + 3]
        if codon not in codons:
            raise InputError(f"mrna: {codon} at {3 * k} is no codon in use for {protein.sequence[k]}")
        bits[group[codons.index(codon)]] = 1
    return bits


def exact(protein: Protein) -> Exact | None:
    """Dynamic programming over (position, GC count so far, codon)."""
    steps: list[dict[tuple[int, int], tuple[float, int]]] = []  # (GC, codon) -> (cost so far, codon before)
    for k, codons in enumerate(protein.codons):
        here: dict[tuple[int, int], tuple[float, int]] = {}
        before = steps[-1] if steps else {(0, 0): (0.0, 0)}
        for (gc, last), (so_far, _) in before.items():
            for option, codon in enumerate(codons):
                joined = protein.repeat_weight * repeats(protein.codons[k - 1][last], codon) if k else 0.0
                value = so_far + protein.rarity(k, option) + joined
                state = gc + gc_count(codon), option
                if state not in here or value < here[state][0]:
                    here[state] = value, last
        steps.append(here)
    ends = {s: v + protein.gc_weight * (s[0] - protein.goal) ** 2 for s, (v, _) in steps[-1].items()}
    state = min(ends, key=lambda s: (ends[s], s))
    choice = []
    for k in range(len(steps) - 1, -1, -1):
        choice.append(state[1])
        state = state[0] - gc_count(protein.codons[k][state[1]]), steps[k][state][1]
    bits = _bits(protein, choice[::-1])
    method = "dynamic programming over position, GC count and codon, proved"
    return Exact(cost(protein, bits), tuple(int(b) for b in bits), method)


def _bits(protein: Protein, choice: list[int]) -> Bits:
    bits = np.zeros(sum(map(len, protein.groups)), np.uint8)
    for group, option in zip(protein.groups, choice, strict=True):
        bits[group[option]] = 1
    return bits


def greedy(protein: Protein) -> Bits:
    """The most used codon everywhere."""
    return _bits(protein, [0] * len(protein.sequence))


def example() -> Protein:
    """MFVF: 9 one-hot qubits, 16 sequences."""
    return Protein("MFVF")


def sample(generator: np.random.Generator, qubits: int) -> Protein:
    """Random residues (no stop) while their codons fit; the GC target between 0.3 and 0.7."""
    residues, left = "", max(1, qubits)
    while True:
        fitting = [a for a in OF if a != "*" and len(OF[a]) <= left]
        if not fitting:
            return Protein(residues, gc_target=round(float(generator.uniform(0.3, 0.7)), 3))
        residues += fitting[int(generator.integers(len(fitting)))]
        left -= len(OF[residues[-1]])


PROBLEM = Problem(
    "codons", "codon optimisation of an mRNA", "Fox 2021 (PLoS ONE 16, e0259101)",
    parse, encode, cost, violations, decode, bits_of, exact, greedy, example, sample,
    keys={
        "sequence": "residues in one-letter code, * for a stop",
        "gc_target": "wanted share of G and C, 0 to 1; 0.5 if left out",
        "usage_weight": "weight of ln(most used / used); 1 if left out",
        "gc_weight": "weight of (GC nucleotides - wanted)^2; 0.1 if left out",
        "repeat_weight": "weight of (longest run in two neighbouring codons)^2 - 1; 0.1 if left out",
        "usage": "codons per thousand, a codon at 0 is not used; human (Kazusa) if left out",
    },
)  # fmt: skip
