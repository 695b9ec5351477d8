"""Problems stated by one sequence: RNA structure, codons, folding, HP chains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trine.devices.errors import InputError, nearest
from trine.quantum.formulate.record import Formulation, Option, one_of, read_fasta, read_text, source, stated
from trine.quantum.problem import Stated

FASTA = Option("fasta", Path, "FASTA file with the sequence.")
SEQUENCE = Option("sequence", str, "Instead: the sequence itself.")
RECORD = Option("record", str, "Name of the record, where the file has several.")
SINGLE = (FASTA, SEQUENCE, RECORD)


def one_sequence(fasta: Path | None, sequence: str | None, record: str | None) -> tuple[str, dict[str, Any]]:
    """The sequence, and where it comes from. Raises InputError."""
    if one_of(fasta=fasta, sequence=sequence) == "sequence":
        return "".join(str(sequence).split()).upper(), {"sequence": "given"}
    assert fasta is not None
    records = dict(read_fasta(fasta))
    if record is None and len(records) > 1:
        raise InputError(
            f"{fasta}: holds {len(records)} records; choose one by --record: {', '.join(list(records)[:8])}"
        )
    name = record or next(iter(records))
    if name not in records:
        raise InputError(f"{fasta}: no record {name!r}: {nearest(name, records)}")
    return records[name], {"fasta": {**source(fasta), "record": name}}


def from_sequence(problem: str, title: str, *options: Option) -> Formulation:
    """A problem whose instance is a sequence and numbers of the same names as the options."""

    def state(fasta: Path | None, sequence: str | None, record: str | None, **numbers: Any) -> Stated:
        letters, notes = one_sequence(fasta, sequence, record)
        given = {key: value for key, value in numbers.items() if value is not None}
        return stated(problem, {"sequence": letters, **given}, notes)

    return Formulation(problem, title, (*SINGLE, *options), state)


def codons(
    fasta: Path | None, sequence: str | None, record: str | None, usage: Path | None, **numbers: float | None
) -> Stated:
    """From a protein sequence, and codon usage as JSON."""
    letters, notes = one_sequence(fasta, sequence, record)
    instance: dict[str, Any] = {"sequence": letters, **{k: v for k, v in numbers.items() if v is not None}}
    if usage is not None:
        try:
            instance["usage"] = json.loads(read_text(usage))
        except json.JSONDecodeError as error:
            raise InputError(f"{usage}: line {error.lineno}, column {error.colno}: {error.msg}") from None
        notes["usage"] = source(usage)
    return stated("codons", instance, notes)


def hp_lattice(
    fasta: Path | None, sequence: str | None, record: str | None, width: int | None, height: int | None
) -> Stated:
    """From an HP chain; by default on the smallest square with room for one turn more than the chain needs."""
    letters, notes = one_sequence(fasta, sequence, record)
    side = 1
    while side * side < len(letters):
        side += 1
    return stated(
        "hp_lattice", {"sequence": letters, "width": width or side, "height": height or side}, notes
    )


def folding(
    fasta: Path | None,
    sequence: str | None,
    record: str | None,
    side_chains: str | None,
    **penalties: float | None,
) -> Stated:
    """From a peptide; side chains of single beads as R,,K,,, with one entry a residue."""
    letters, notes = one_sequence(fasta, sequence, record)
    instance: dict[str, Any] = {"sequence": letters, **{k: v for k, v in penalties.items() if v is not None}}
    if side_chains is not None:
        instance["side_chains"] = [bead.strip().upper() for bead in side_chains.split(",")]
    return stated("folding", instance, notes)


FORMULATIONS = (
    from_sequence(
        "rna_stems",
        "from an RNA sequence",
        Option("min_stem", int, "Fewest pairs of a stem (3)."),
        Option("min_loop", int, "Fewest nucleotides between two that pair (2)."),
        Option("pseudoknot", float, "Cost of two crossing stems (0.3)."),
    ),
    from_sequence("rna_quartets", "from an RNA sequence"),
    Formulation(
        "codons",
        "from a protein sequence",
        (
            *SINGLE,
            Option("usage", Path, "Codons per thousand, JSON; human by default."),
            Option("gc_target", float, "Wanted share of G and C (0.5)."),
            Option("usage_weight", float, "Weight of rare codons (1)."),
            Option("gc_weight", float, "Weight of the distance from the wanted GC (0.1)."),
            Option("repeat_weight", float, "Weight of repeated nucleotides (0.1)."),
        ),
        codons,
    ),
    Formulation(
        "folding",
        "from a peptide's sequence",
        (
            *SINGLE,
            Option(
                "side_chains",
                str,
                "One entry a residue, empty for none, as ,,R,,; by default no side chains.",
            ),
            Option("penalty_back", float, "For turning back, RT (10)."),
            Option("penalty_chiral", float, "For a side chain of the wrong hand, RT (10)."),
            Option("penalty_contact", float, "For overlaps beside contacts, RT (10)."),
        ),
        folding,
    ),
    Formulation(
        "hp_lattice",
        "from a chain of H and P",
        (
            *SINGLE,
            Option("width", int, "Sites along x; by default the smallest square that holds the chain."),
            Option("height", int, "Sites along y."),
        ),
        hp_lattice,
    ),
)
