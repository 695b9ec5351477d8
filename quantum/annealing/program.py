"""`Annealing`: a problem on its way to an annealer, and the pure steps that take it there."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from trine.compilers.report import Parity
from trine.compilers.target import Job
from trine.devices import QuantumDevice
from trine.devices.errors import InputError
from trine.quantum import lowering
from trine.quantum.annealing.embedding import Embedded, embed
from trine.quantum.annealing.machines import MOST_READS, annealer_of
from trine.quantum.annealing.model import Pairs, in_pairs
from trine.quantum.lowering import Program, QuantumOptions
from trine.quantum.proving import chosen_strings, compared


@dataclass(frozen=True)
class AnnealingOptions:
    """shots: reads. seed: of embedding and samples."""

    shots: int = 1000
    seed: int = 0

    def check(self) -> None:
        """Raise InputError for reads that no machine takes in one problem."""
        if not 1 <= self.shots <= MOST_READS:
            raise InputError(f"{self.shots:,} reads: an annealer takes 1 to {MOST_READS:,} a problem")


@dataclass(frozen=True)
class Annealing:
    """A problem on its way to an annealer; what is not there yet is None."""

    program: Program
    pairs: Pairs | None = None
    embedded: Embedded | None = None

    @property
    def model(self) -> Pairs:
        """The model of pairs. Raises InputError before its pass."""
        if self.pairs is None:
            raise InputError("the problem is no model of pairs yet")
        return self.pairs

    @property
    def placed(self) -> Embedded:
        """The embedded model. Raises InputError before its pass."""
        if self.embedded is None:
            raise InputError("the problem has not been embedded yet")
        return self.embedded


def options_of(job: Job) -> AnnealingOptions:
    """The job's options, or the defaults; checked."""
    options = job.options if isinstance(job.options, AnnealingOptions) else AnnealingOptions()
    options.check()
    return options


def encode(made: Annealing, job: Job) -> Annealing:
    """Problem -> polynomial of bits, and its optimum where that can be had."""
    return replace(made, program=lowering.encode(made.program, QuantumOptions()))


def reduce_degree(made: Annealing, job: Job) -> Annealing:
    """Polynomial -> pairs."""
    return replace(made, pairs=in_pairs(made.program.encoded.polynomial))


def place(made: Annealing, job: Job) -> Annealing:
    """Pairs -> coefficients on the machine's qubits."""
    found = embed(made.model.polynomial, annealer_of(machine_of(job)), options_of(job).seed)
    return replace(made, embedded=found)


def machine_of(job: Job) -> QuantumDevice:
    """The job's machine."""
    assert isinstance(job.device, QuantumDevice)
    return job.device


def parities(made: Annealing) -> list[Parity]:
    """Energies against plain costs; energies on the machine's qubits, chains whole, against those."""
    stated, encoding = made.program.stated, made.program.encoded
    rows = chosen_strings(encoding.qubits)
    plain = np.array([stated.problem.cost(stated.instance, row) for row in rows])
    return [
        compared(
            "energy against plain cost, bit string by bit string", encoding.polynomial.energy(rows), plain
        ),
        compared(
            "machine's coefficients with whole chains against plain cost",
            made.placed.costs(made.model.extended(rows)),
            plain,
        ),
    ]
