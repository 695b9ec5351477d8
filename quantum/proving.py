"""Comparisons that a deployment must pass, and the chances that its plan rests on."""

from __future__ import annotations

from itertools import islice

import numpy as np

from trine.compilers.report import Parity
from trine.quantum.circuit import Circuit
from trine.quantum.engines.state import StateEngine
from trine.quantum.feasible import Feasible, IndependentSets
from trine.quantum.lowering import Program
from trine.quantum.plan.plan import Odds
from trine.quantum.polynomial import Bits, Float, all_bits
from trine.quantum.statevector import run_circuit

COMPARED_QUBITS = 16  # two state vectors gate by gate
CHANCES = 1 << 20  # strings whose probabilities an engine gives in seconds
SPARE = 2  # qubits that routing may add
CLOSE = 1e-9
COUNTED = 200_000  # independent sets, listed in a second


def chosen_strings(qubits: int, seed: int = 0) -> Bits:
    """All bit strings to 12 qubits, else 10,000 random ones [k, n]."""
    if qubits <= 12:
        return all_bits(qubits)
    return np.random.default_rng(seed).integers(0, 2, (10_000, qubits), dtype=np.uint8)


def parities(program: Program) -> list[Parity]:
    """Energies against plain costs; for few qubits circuit against engine, and the device's circuit against that."""
    problem, instance, encoding = program.stated.problem, program.stated.instance, program.encoded
    rows = chosen_strings(encoding.qubits)
    plain = np.array([problem.cost(instance, row) for row in rows])
    found = [
        compared(
            "energy against plain cost, bit string by bit string", encoding.polynomial.energy(rows), plain
        )
    ]
    reduction, circuit = program.ansatz.reduction, program.circuit
    if reduction is not None:
        rows = chosen_strings(len(reduction.kept))
        whole = encoding.polynomial.energy(reduction.expand(rows))
        found.append(
            compared(
                "core's energy against the whole's, fixed bits put back", reduction.core.energy(rows), whole
            )
        )
    if circuit is None or circuit.qubits > COMPARED_QUBITS or program.angles is None:
        return found
    ideal = ideal_chances(program)
    engine = program.engine(program.angles.layers)
    assert isinstance(engine, StateEngine)
    states = engine.strings(np.arange(engine.size)).astype(np.int64) @ (1 << np.arange(circuit.qubits))
    expected = np.zeros(len(ideal))
    expected[states] = engine.probabilities(program.angles)
    found.append(compared("circuit against engine, probabilities", ideal, expected))
    there = program.device_circuit
    if there is not None and there.qubits <= COMPARED_QUBITS + SPARE:
        measured = logical(there, np.abs(run_circuit(there)) ** 2, circuit.qubits)
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
    circuit reaches too many strings."""
    if program.exact is None or program.angles is None or program.ansatz.states(program.encoded) > CHANCES:
        return None
    engine = program.engine(program.angles.layers)
    assert isinstance(engine, StateEngine)
    return float(f"{engine.optimum_probability(program.angles, program.exact.cost):.12g}")


def odds(program: Program) -> Odds:
    """Chances of an optimal string; for random strings as if there were one."""
    encoding = program.encoded
    strings = counted(encoding.feasible)
    exact = program.exact.method if program.exact is not None and program.exact.proved else ""
    return Odds(
        chance_of_optimum(program),
        2.0 ** -program.ansatz.qubits(encoding),
        None if strings is None else 1 / strings,
        exact,
    )


def counted(feasible: Feasible) -> int | None:
    """How many strings are feasible; None where they would have to be listed one by one and are too many."""
    if not isinstance(feasible, IndependentSets):
        return feasible.size
    found = sum(1 for _ in islice(feasible.sets(), COUNTED + 1))
    return found if found <= COUNTED else None
