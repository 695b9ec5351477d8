"""Haplotype phasing: which alleles of heterozygous SNPs lie on the same chromosome, from reads that span several.

Two SNPs on one read are evidence for cis (equal alleles) or trans; the phasing that contradicts least is a maximum cut.
Weight of an observation: the log odds ln((1 - e) / e) of the read being right about the pair, with error probability
e = e_i (1 - e_j) + e_j (1 - e_i) from the Phred qualities. Each block of linked SNPs has its first SNP fixed, since the
two chromosomes have no names. Max-Cut form: Duitama et al. 2010 (HapCUT line, ReFHap); QHap (arXiv 2603.25762).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from trine.devices.errors import InputError
from trine.quantum.feasible import AllStates
from trine.quantum.optima import linear_programs
from trine.quantum.polynomial import Bits, Polynomial, Subset, total
from trine.quantum.problem import Encoding, Exact, Problem, Reader


@dataclass(frozen=True)
class Reads:
    """reads: one text a read over 0, 1 and - (not covered), one place a SNP.

    qualities: for each read, the Phred quality of each covered place; empty where `error_rate` holds for all.
    """

    snps: tuple[str, ...]
    reads: tuple[str, ...]
    qualities: tuple[tuple[float, ...], ...] = ()
    error_rate: float = 0.01

    def as_json(self) -> dict[str, Any]:
        """The instance's object."""
        return {
            "snps": list(self.snps),
            "reads": list(self.reads),
            "qualities": [list(q) for q in self.qualities],
            "error_rate": self.error_rate,
        }

    @cached_property
    def observations(self) -> tuple[tuple[int, int, bool, float], ...]:
        """(SNP i, SNP j > i, whether the read has them cis, weight in nats) for each pair of each read."""
        found = []
        for k, read in enumerate(self.reads):
            covered = [i for i, allele in enumerate(read) if allele != "-"]
            phred = self.qualities[k] if self.qualities else None
            errors = [10 ** (-q / 10) for q in phred] if phred else [self.error_rate] * len(covered)
            for a, i in enumerate(covered):
                for b, j in enumerate(covered[a + 1 :], a + 1):
                    e = errors[a] * (1 - errors[b]) + errors[b] * (1 - errors[a])
                    found.append((i, j, read[i] == read[j], math.log((1 - e) / e)))
        return tuple(found)

    @cached_property
    def blocks(self) -> tuple[tuple[int, ...], ...]:
        """SNPs linked by reads, each block ascending."""
        root = list(range(len(self.snps)))

        def top(i: int) -> int:
            while root[i] != i:
                i = root[i]
            return i

        for i, j, _, _ in self.observations:
            low, high = sorted((top(i), top(j)))
            root[high] = low
        members: dict[int, list[int]] = {}
        for i in range(len(self.snps)):
            members.setdefault(top(i), []).append(i)
        return tuple(tuple(m) for _, m in sorted(members.items()))

    @cached_property
    def bit(self) -> dict[int, int]:
        """The bit of each SNP but the first of its block."""
        free = sorted(i for block in self.blocks for i in block[1:])
        return {snp: k for k, snp in enumerate(free)}


def parse(data: Mapping[str, Any]) -> Reads:
    """From a file's `instance`. Raises InputError."""
    reader = Reader(data, ("snps", "reads"), ("qualities", "error_rate"))
    snps, reads = reader.texts("snps"), reader.texts("reads")
    error_rate = reader.number("error_rate", 0.01, 1e-9, 0.499)
    if not reader.problems and len(set(snps)) != len(snps):
        reader.problems.append("snps: a name is repeated")
    for k, read in enumerate(reads):
        if len(read) != len(snps) or set(read) - set("01-"):
            reader.problems.append(f"reads[{k}] is {read!r}: give {len(snps)} characters of 0, 1 and -")
    qualities = data.get("qualities") or []
    if not isinstance(qualities, list) or (qualities and len(qualities) != len(reads)):
        reader.problems.append(f"qualities: give one list a read ({len(reads)}), or leave it out")
        qualities = []
    rows = []
    for k, row in enumerate(qualities):
        inner = Reader({"row": row}, ("row",))
        covered = len(reads[k].replace("-", "")) if k < len(reads) else 0
        phred = inner.numbers("row", covered)
        if inner.problems or any(not 3.02 <= q <= 90 for q in phred):
            reader.problems.append(
                f"qualities[{k}]: give {covered} Phred numbers from 3.02 (an error probability below 1/2) to 90"
            )
        rows.append(phred)
    reader.done()
    found = Reads(snps, reads, tuple(rows), error_rate)
    if not found.bit:
        raise InputError("no read covers two SNPs: nothing links them, so there is nothing to phase")
    return found


def encode(data: Reads) -> Encoding:
    """Weight w on x_i != x_j where the read has them cis, on x_i = x_j where trans; the block's first SNP is 0."""
    polynomial = Polynomial(len(data.bit), total(contradictions(data)))
    first = {i: data.snps[block[0]] for block in data.blocks for i in block[1:]}
    labels = tuple(f"{data.snps[i]}: other allele than {first[i]} on chromosome A" for i in data.bit)
    return Encoding(polynomial, polynomial, AllStates(len(data.bit)), labels)


def contradictions(data: Reads) -> Iterator[dict[Subset, float]]:
    """Terms that are w where the phasing contradicts an observation and 0 where it agrees."""
    for i, j, cis, w in data.observations:
        places = [data.bit[s] for s in (i, j) if s in data.bit]
        differs: dict[Subset, float] = {(p,): 1.0 for p in places}
        if len(places) == 2:
            differs[places[0], places[1]] = -2.0
        if not cis:
            differs = {(): 1.0, **{s: -v for s, v in differs.items()}}
        yield {s: w * v for s, v in differs.items()}


def alleles(data: Reads, bits: Bits) -> list[int]:
    """Chromosome A's allele at each SNP."""
    return [int(bits[data.bit[i]]) if i in data.bit else 0 for i in range(len(data.snps))]


def cost(data: Reads, bits: Bits) -> float:
    """Weight of the observations that the phasing contradicts."""
    a = alleles(data, bits)
    return math.fsum(w for i, j, cis, w in data.observations if (a[i] == a[j]) != cis)


def decode(data: Reads, bits: Bits) -> dict[str, Any]:
    """The phase of each SNP as in a VCF (A|B), by block, and the evidence against it."""
    a = alleles(data, bits)
    return {
        "phases": {name: f"{v}|{1 - v}" for name, v in zip(data.snps, a, strict=True)},
        "blocks": [[data.snps[i] for i in block] for block in data.blocks],
        "contradicted_evidence_nats": round(cost(data, bits), 9),
    }


def bits_of(data: Reads, answer: Mapping[str, Any]) -> Bits:
    """From the phases; a block given the other way round is turned."""
    phases = answer["phases"]
    wrong = [name for name in data.snps if phases.get(name) not in ("0|1", "1|0")]
    if wrong:
        raise InputError(f"phases: {', '.join(wrong[:5])} must be 0|1 or 1|0")
    bits = np.zeros(len(data.bit), np.uint8)
    for block in data.blocks:
        for i in block[1:]:
            bits[data.bit[i]] = phases[data.snps[i]] != phases[data.snps[block[0]]]
    return bits


def switch_errors(data: Reads, bits: Bits, truth: str) -> int:
    """Places inside blocks where the phasing changes from one true chromosome to the other.

    truth: the allele of one chromosome at each SNP.
    """
    a = alleles(data, bits)
    same = [str(v) == t for v, t in zip(a, truth, strict=True)]
    return sum(same[i] != same[j] for block in data.blocks for i, j in pairwise(block))


def exact(data: Reads) -> Exact | None:
    """All strings to 24 bits, then elimination along the chromosome, then HiGHS."""
    found = linear_programs.lowest(encode(data).polynomial)
    return found and replace(found, cost=cost(data, np.array(found.bits, np.uint8)))


def greedy(data: Reads) -> Bits:
    """Each SNP in turn takes the side that the evidence with the SNPs before it favours."""
    a = [0] * len(data.snps)
    before: dict[int, list[tuple[int, bool, float]]] = {}
    for i, j, cis, w in data.observations:
        before.setdefault(j, []).append((i, cis, w))
    for j in data.bit:
        a[j] = int(sum(w if (a[i] == 1) == cis else -w for i, cis, w in before.get(j, ())) > 0)
    return np.array([a[i] for i in data.bit], np.uint8)


def example() -> Reads:
    """Five SNPs, true chromosomes 01101 and 10010; the third read has an error at snp3."""
    reads = ("011--", "-1101", "0111-", "1001-", "--010")
    return Reads(tuple(f"snp{i}" for i in range(1, 6)), reads, (), 0.02)


def sample(generator: np.random.Generator, qubits: int) -> Reads:
    """Planted chromosomes, reads of 2 to 5 neighbouring SNPs, one allele in fifty read wrongly."""
    count = qubits + 1
    truth = generator.integers(0, 2, count)
    reads = []
    for start in [*range(count - 1), *generator.integers(0, count - 1, 2 * count).tolist()]:
        end = min(count, start + int(generator.integers(2, 6)))
        seen = truth[start:end] ^ generator.integers(0, 2) ^ (generator.random(end - start) < 0.02)
        reads.append("-" * start + "".join(map(str, seen.astype(int))) + "-" * (count - end))
    return Reads(tuple(f"snp{i + 1}" for i in range(count)), tuple(reads), (), 0.02)


PROBLEM = Problem(
    "haplotype", "phasing of SNPs from reads", "Duitama et al. 2010 (ReFHap); QHap (arXiv 2603.25762)",
    parse, encode, cost, lambda data, bits: [], decode, bits_of, exact, greedy, example, sample,
    unit="nats of contradicted evidence",
    keys={
        "snps": "names of the heterozygous SNPs, in order",
        "reads": "one text a read: 0 or 1 for its allele at each SNP, - where it has none",
        "qualities": "for each read, the Phred quality of each allele; left out: error_rate for all",
        "error_rate": "probability that an allele is read wrongly; 0.01 if left out",
    },
)  # fmt: skip
