"""Problems stated by reads: reads to be put in order, aligned reads to be phased."""

from __future__ import annotations

from pathlib import Path

from trine.devices.errors import InputError
from trine.quantum.formulate.record import Formulation, Option, read_fasta, source, stated
from trine.quantum.problem import Stated


def assembly(fasta: Path, linear: bool, all_starts: bool, least_overlap: int) -> Stated:
    """From reads of one strand."""
    records = read_fasta(fasta)
    instance = {
        "names": [name for name, _ in records],
        "reads": [read for _, read in records],
        "circular": not linear,
        "first_fixed": not linear and not all_starts,
        "least_overlap": least_overlap,
    }
    return stated("assembly", instance, {"fasta": source(fasta)})


def haplotype(fasta: Path, error_rate: float, least_reads: int) -> Stated:
    """From aligned reads: equal lengths, - where a read has nothing.

    A column with exactly two letters, each in at least `least_reads` reads, is a heterozygous SNP; its more frequent
    letter is allele 0. Reads that cover no two SNPs are left out.
    """
    records = read_fasta(fasta)
    lengths = {len(read) for _, read in records}
    if len(lengths) != 1:
        raise InputError(
            f"{fasta}: the reads are {min(lengths)} to {max(lengths)} letters long; align them first, with -"
        )
    snps, columns = [], []
    for position, column in enumerate(zip(*(read for _, read in records), strict=True), 1):
        counts = {letter: column.count(letter) for letter in sorted(set(column) & set("ACGT"))}
        alleles = [x for x in sorted(counts, key=lambda x: (-counts[x], x)) if counts[x] >= least_reads]
        if len(alleles) == 2:
            snps.append(f"{position}{alleles[0]}>{alleles[1]}")
            columns.append(["-" if c not in alleles else str(alleles.index(c)) for c in column])
    if not snps:
        raise InputError(
            f"{fasta}: no column has two letters in {least_reads} reads each: nothing is heterozygous"
        )
    rows = ["".join(row) for row in zip(*columns, strict=True)]
    reads = [row for row in rows if len(row.replace("-", "")) > 1]
    notes = {"fasta": source(fasta), "reads left out": len(rows) - len(reads)}
    try:
        return stated("haplotype", {"snps": snps, "reads": reads, "error_rate": error_rate}, notes)
    except InputError as error:
        raise InputError(f"{fasta}: {error}") from None


READS = Option("fasta", Path, "FASTA file with the reads.", required=True)
FORMULATIONS = (
    Formulation(
        "assembly",
        "from reads",
        (
            READS,
            Option("linear", bool, "The genome is no ring.", False),
            Option("all_starts", bool, "A ring may begin at any read: R^2 qubits and not (R-1)^2.", False),
            Option("least_overlap", int, "Shorter overlaps count as none.", 1),
        ),
        assembly,
    ),
    Formulation(
        "haplotype",
        "from aligned reads",
        (
            READS,
            Option("error_rate", float, "Probability that a letter is read wrongly.", 0.01),
            Option("least_reads", int, "Reads that must show each of a SNP's two letters.", 2),
        ),
        haplotype,
    ),
)
