"""Comparisons that a deployment must pass, and the chances that its plan rests on."""

from __future__ import annotations

from itertools import islice

import numpy as np

from trine.compilers.report import Parity
from trine.quantum.circuit import Circuit
from trine.quantum.feasible import Feasible, IndependentSets
from trine.quantum.lowering import Program, QuantumOptions, engine_of
from trine.quantum.plan.plan import Odds
from trine.quantum.polynomial import Bits, Float, all_bits
from trine.quantum.statevector import run_circuit

COMPARED_QUBITS = 16  # two state vectors gate by gate
SPARE = 2  # qubits that routing may add
CLOSE = 1e-9
COUNTED = 200_000  # independent sets, listed in a second


def chosen_strings(qubits: int, seed: int = 0) -> Bits:
    """All bit strings to 12 qubits, else 10,000 random ones [k, n]."""
    if qubits <= 12:
        return all_bits(qubits)
    return np.random.default_rng(seed).integers(0, 2, (10_000, qubits), dtype=np.uint8)


def parities(program: Program, options: QuantumOptions) -> list[Parity]:
    """Energies against plain costs; for few qubits circuit against engine, and the device's circuit against that."""
    problem, instance, encoding = program.stated.problem, program.stated.instance, program.encoded
    rows = chosen_strings(encoding.qubits)
    plain = np.array([problem.cost(instance, row) for row in rows])
    found = [
        compared(
            "energy against plain cost, bit string by bit string", encoding.polynomial.energy(rows), plain
        )
    ]
    if encoding.qubits > COMPARED_QUBITS or program.angles is None:
        return found
    ideal = ideal_chances(program)
    if options.mixer == "x":
        engine = engine_of(program, options)
        found.append(
            compared("circuit against engine, probabilities", ideal, engine.probabilities(program.angles))
        )
    there = program.device_circuit
    if there is not None and there.qubits <= COMPARED_QUBITS + SPARE:
        measured = logical(there, np.abs(run_circuit(there)) ** 2, encoding.qubits)
        found.append(compared("device's circuit against circuit, probabilities", measured, ideal))
    return found


def compared(against: str, found: Float, expected: Float) -> Parity:
    """Equal within 1e-9 of the largest value."""
    scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
    differing = int((np.abs(found - expected) > CLOSE * scale).sum())
    return Parity(f"{against} (to 1e-9)", len(expected), len(expected), differing, int(differing > 0))


def ideal_chances(program: Program) -> Float:
    """Probabilities of all strings [2^n], without noise."""
    assert program.circuit is not None
    return np.asarray(np.abs(run_circuit(program.circuit)) ** 2)


def logical(circuit: Circuit, chances: Float, qubits: int) -> Float:
    """Probabilities of what is read [2^qubits], from those of all qubits."""
    index = np.arange(len(chances))
    read = np.zeros(len(chances), np.int64)
    for place, qubit in enumerate(circuit.read):
        read |= ((index >> qubit) & 1) << place
    return np.bincount(read, chances, minlength=1 << qubits).astype(np.float64)


def chance_of_optimum(program: Program) -> float | None:
    """Of one noiseless sample, over all strings at the optimum's cost; None where the optimum is not known or the
    circuit is too large to simulate."""
    if program.exact is None or program.encoded.qubits > COMPARED_QUBITS:
        return None
    values = program.encoded.polynomial.diagonal()
    best = values <= program.exact.cost + CLOSE * max(1.0, abs(program.exact.cost))
    return float(ideal_chances(program)[best].sum())


def odds(program: Program) -> Odds:
    """Chances of an optimal string; for random strings as if there were one."""
    encoding = program.encoded
    strings = counted(encoding.feasible)
    exact = program.exact.method if program.exact is not None and program.exact.proved else ""
    return Odds(
        chance_of_optimum(program),
        2.0**-encoding.qubits,
        None if strings is None else 1 / strings,
        exact,
    )


def counted(feasible: Feasible) -> int | None:
    """How many strings are feasible; None where they would have to be listed one by one and are too many."""
    if not isinstance(feasible, IndependentSets):
        return feasible.size
    found = sum(1 for _ in islice(feasible.sets(), COUNTED + 1))
    return found if found <= COUNTED else None
