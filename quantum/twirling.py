"""A machine's errors as Pauli channels: after each gate, while a qubit waits, and at readout.

Gate: thermal relaxation for the gate's time and, up to the gate's stated error, depolarising noise, as Qiskit Aer
builds them from a machine; both twirled, which leaves the diagonal of the transfer matrix (Geller and Zhou 2013, arXiv
1305.2021). What a twirl loses: relaxation pulls towards |0>, its Pauli channel flips both ways alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol

import numpy as np

from trine.quantum.circuit import Circuit
from trine.quantum.polynomial import Float

FREE = ("rz", "p", "id", "z", "s", "sdg", "t", "tdg")  # done in software: no pulse, no error, no time
LIKE = {
    "sxdg": "sx",
    "rx": "sx",
    "ry": "sx",
    "y": "x",
    "h": "sx",
    "u": "sx",
}  # where the machine states none of its own
# Pauli j against Pauli i: 1 where they commute, -1 where not; I, X, Y, Z
COMMUTE = np.array([[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]], float)


class Machine(Protocol):
    """What is known of a machine's gates; qubits are its own numbers, times in s."""

    def gate(self, name: str, qubits: tuple[int, ...]) -> tuple[float, float]:
        """(1 - average fidelity, duration)."""

    def relaxation(self, qubit: int) -> tuple[float, float]:
        """(T1, T2)."""

    def readout(self, qubit: int) -> tuple[float, float]:
        """(chance to read 1 from |0>, 0 from |1>)."""


class Snapshot:
    """A qiskit backend's target as a `Machine`."""

    def __init__(self, backend: Any) -> None:
        self.target = backend.target

    def gate(self, name: str, qubits: tuple[int, ...]) -> tuple[float, float]:
        """Of the gate, or of the one that is played in its place, either way round. No error where none is stated."""
        known = name if name in self.target.operation_names else LIKE.get(name, name)
        for order in (qubits, qubits[::-1]):
            found = self.target[known].get(order) if known in self.target.operation_names else None
            if found is not None:
                return found.error or 0.0, found.duration or 0.0
        return 0.0, 0.0

    def relaxation(self, qubit: int) -> tuple[float, float]:
        """T2 at most 2 T1; infinite where not stated."""
        known = self.target.qubit_properties
        if known is None or known[qubit] is None:
            return math.inf, math.inf
        t1, t2 = known[qubit].t1 or math.inf, known[qubit].t2 or math.inf
        return t1, min(t2, 2 * t1)

    def readout(self, qubit: int) -> tuple[float, float]:
        """The two rates where the snapshot has both, else one error for both."""
        found = self.target["measure"].get((qubit,))
        if found is None:
            return 0.0, 0.0
        error = found.error or 0.0
        return getattr(found, "prob_meas1_prep0", error), getattr(found, "prob_meas0_prep1", error)


def relaxed(times: tuple[float, float], seconds: float) -> Float:
    """Diagonal of relaxation's transfer matrix for I, X, Y, Z [4]."""
    decay, blur = math.exp(-seconds / times[0]), math.exp(-seconds / times[1])
    return np.array([1.0, blur, blur, decay])


def gate_diagonal(relax: Sequence[Float], error: float) -> Float:
    """Diagonal [4^k] of relaxation on k qubits (first least significant) and what depolarising the error leaves room
    for: average fidelity (d f + 1)/(d + 1), f the mean of the diagonal (Nielsen 2002, quant-ph/0205035)."""
    found: Float = np.ones(1)
    for each in relax:
        found = np.asarray(np.kron(each, found), np.float64)
    dimension = 2 ** len(relax)
    wanted = max(0.0, ((1 - error) * (dimension + 1) - 1) / dimension)
    rest = found[1:].sum()
    share = (wanted * dimension**2 - 1) / rest if rest > 0 else 1.0
    found[1:] *= min(1.0, max(0.0, share))
    return found


def chances(diagonal: Float) -> Float:
    """Probabilities of the Paulis [4^k] of a Pauli channel with that transfer matrix."""
    table = np.ones((1, 1))
    while len(table) < len(diagonal):
        table = np.kron(COMMUTE, table)
    return np.asarray(np.clip(table @ diagonal / len(diagonal), 0.0, None))


@dataclass(frozen=True)
class Spot:
    """Where an error may come: after gate `gate`, on the circuit's qubits `qubits`, with chances [4^k] of I, X, Y, Z
    on each (first qubit least significant)."""

    gate: int
    qubits: tuple[int, ...]
    chances: Float = field(repr=False)

    @property
    def error(self) -> float:
        """The chance that anything comes."""
        return float(1 - self.chances[0])


@dataclass(frozen=True)
class PauliNoise:
    """Of one circuit on one machine. flips: (0 read as 1, 1 read as 0) of each result bit. seconds: of the circuit
    before readout; waiting: sum of what its qubits wait."""

    spots: tuple[Spot, ...]
    flips: tuple[tuple[float, float], ...]
    seconds: float
    waiting: float

    @property
    def untouched(self) -> float:
        """The chance that no gate, wait or readout errs."""
        kept = sum(math.log(max(s.chances[0], 1e-300)) for s in self.spots)
        return math.exp(kept + sum(math.log1p(-(a + b) / 2) for a, b in self.flips))


def schedule(
    circuit: Circuit, numbers: Sequence[int], machine: Machine
) -> tuple[list[tuple[int, int, float]], float]:
    """(waits, seconds before readout) of a circuit in the machine's gates whose qubit k is the machine's numbers[k].

    A wait is (gate after which, qubit, seconds). Gates begin as late as they can, the vendor's default; a qubit that
    has not begun is in its ground state and does not wait.
    """
    found: list[tuple[int, int, float]] = []
    later = [0.0] * circuit.qubits  # from the end back to where the qubit is next needed
    for place in range(len(circuit.gates) - 1, -1, -1):
        gate = circuit.gates[place]
        if gate.name in FREE:
            continue
        seconds = machine.gate(gate.name, tuple(numbers[q] for q in gate.qubits))[1]
        ends = max(later[q] for q in gate.qubits)
        for q in gate.qubits:
            if ends > later[q]:
                found.append((place, q, ends - later[q]))
            later[q] = ends + seconds
    return found[::-1], max(later, default=0.0)


def pauli_noise(circuit: Circuit, numbers: Sequence[int], machine: Machine) -> PauliNoise:
    """Errors of a circuit in the machine's gates whose qubit k is the machine's numbers[k]; waits are those of
    `schedule`."""

    @cache
    def after(name: str, qubits: tuple[int, ...]) -> Float:
        error, seconds = machine.gate(name, qubits)
        return chances(gate_diagonal([relaxed(machine.relaxation(q), seconds) for q in qubits], error))

    waits, seconds = schedule(circuit, numbers, machine)
    found = [
        Spot(place, g.qubits, after(g.name, tuple(numbers[q] for q in g.qubits)))
        for place, g in enumerate(circuit.gates)
        if g.name not in FREE
    ]
    found += [
        Spot(place, (q,), chances(relaxed(machine.relaxation(numbers[q]), wait))) for place, q, wait in waits
    ]
    flips = tuple(machine.readout(numbers[q]) for q in circuit.read)
    return PauliNoise(
        tuple(s for s in found if s.error > 0), flips, seconds, sum(wait for _, _, wait in waits)
    )
