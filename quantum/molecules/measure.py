"""Measuring an energy on a machine: strings read together, circuits, shots for a precision, the price."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from trine.devices import QuantumDevice
from trine.devices.errors import InputError
from trine.quantum.circuit import Circuit
from trine.quantum.hamiltonian import Hamiltonian, PauliString
from trine.quantum.molecules.ansatz import measured_basis
from trine.quantum.molecules.integrals import Float
from trine.quantum.molecules.molecule import label
from trine.quantum.plan.plan import Odds, Plan, plan
from trine.quantum.plan.shots import for_precision
from trine.quantum.polynomial import Bits
from trine.quantum.samples import Samples
from trine.quantum.statevector import Complex, run_circuit
from trine.quantum.work import Work


@dataclass(frozen=True)
class Group:
    """Strings that one basis reads: `basis` has a letter for each qubit that any of them touches. deviation: of one
    shot's sum, hartree."""

    basis: PauliString
    terms: dict[PauliString, float] = field(repr=False)
    deviation: float = math.nan

    def values(self, bits: Bits) -> Float:
        """The sum of the group's terms for strings [k, n] read in its basis, hartree [k]."""
        spins = 1.0 - 2.0 * np.asarray(bits, np.float64)
        found = np.zeros(len(spins))
        for string, weight in self.terms.items():
            found += weight * spins[:, [q for q, _ in string]].prod(axis=1)
        return found


@dataclass(frozen=True)
class Measurements:
    """An energy as circuits, one a group. prepared: the circuit before the basis change. constant: hartree, not
    measured. shots: of each circuit, for `precision` (hartree, standard error) of the sum."""

    constant: float
    groups: tuple[Group, ...]
    prepared: Circuit = field(repr=False)
    precision: float
    shots: int

    def circuit(self, number: int) -> Circuit:
        """The state, then a group's basis."""
        turn = measured_basis(self.groups[number].basis)
        return replace(self.prepared, gates=(*self.prepared.gates, *turn))

    def work(self, seed: int = 0) -> Work:
        """What a provider runs. Raises InputError where there is nothing to measure."""
        return Work(self.shots, tuple(map(self.circuit, range(len(self.groups)))), seed=seed)

    def energy(self, samples: Sequence[Samples]) -> tuple[float, float]:
        """(energy, its standard error) in hartree from the samples of each circuit. Raises InputError for too few."""
        if len(samples) != len(self.groups):
            raise InputError(f"{len(samples)} circuits' samples for {len(self.groups)} groups")
        total, variance = self.constant, 0.0
        for group, drawn in zip(self.groups, samples, strict=True):
            values, shots = group.values(drawn.bits), drawn.shots
            if shots < 2:
                raise InputError("an energy's error needs at least two shots of each circuit")
            mean = float(values @ drawn.counts) / shots
            total += mean
            variance += float((values - mean) ** 2 @ drawn.counts) / (shots - 1) / shots
        return total, math.sqrt(variance)

    def as_json(self) -> dict[str, Any]:
        """What a command prints."""
        n = self.prepared.qubits
        return {
            "circuits": len(self.groups),
            "shots_each": self.shots,
            "shots": self.shots * len(self.groups),
            "precision_hartree": self.precision,
            "groups": [
                {"basis": label(g.basis, n), "strings": len(g.terms), "deviation_hartree": g.deviation}
                for g in self.groups
            ],
        }


def group_terms(hamiltonian: Hamiltonian) -> tuple[Group, ...]:
    """Qubit-wise commuting strings together, heavy first (sorted insertion, Crawford et al. 2021, Quantum 5, 385)."""
    found: list[tuple[dict[int, str], dict[PauliString, float]]] = []
    for string, weight in sorted(hamiltonian.terms.items(), key=lambda entry: (-abs(entry[1]), entry[0])):
        fitting = (pair for pair in found if all(pair[0].get(q, letter) == letter for q, letter in string))
        if not string:
            continue
        pair = next(fitting, None)
        if pair is None:
            pair = ({}, {})
            found.append(pair)
        pair[0].update(string)
        pair[1][string] = weight
    return tuple(Group(tuple(sorted(basis.items())), terms) for basis, terms in found)


def measurements(
    hamiltonian: Hamiltonian, circuit: Circuit, precision: float, state: Complex | None = None
) -> Measurements:
    """Of <H> after a bound circuit. state [2^n]: what the circuit makes, where known already.

    The same number of shots for each group, so that the sum of their variances in that state meets the precision.
    Raises InputError for free angles, other qubits, a precision that is not positive, or too many qubits to simulate.
    """
    if circuit.parameters:
        raise InputError(f"the circuit has free angles: {', '.join(circuit.parameters[:5])}; bind them first")
    if circuit.qubits != hamiltonian.qubits:
        raise InputError(f"a circuit on {circuit.qubits} qubits, a Hamiltonian on {hamiltonian.qubits}")
    state = run_circuit(circuit) if state is None else state
    bits = ((np.arange(len(state))[:, None] >> np.arange(circuit.qubits)) & 1).astype(np.uint8)
    groups, variance = [], 0.0
    for group in group_terms(hamiltonian):
        turn = tuple(measured_basis(group.basis))
        chances = np.abs(run_circuit(Circuit(circuit.qubits, turn), state)) ** 2
        values = group.values(bits)
        spread = max(0.0, float(chances @ values**2 - (chances @ values) ** 2))
        variance += spread
        groups.append(Group(group.basis, group.terms, math.sqrt(spread)))
    shots = max(2, for_precision(math.sqrt(variance), precision))
    constant = hamiltonian.terms.get((), 0.0)
    return Measurements(constant, tuple(groups), circuit, precision, shots)


def priced(
    device: QuantumDevice,
    made: Measurements,
    exact: str = "exact diagonalisation",
    seeds: Sequence[int] = (0, 1, 2),
) -> Plan:
    """Qubits, gates, fidelity, time and prices of all circuits on a device; the longest one is transpiled for all.

    exact: how the energy is known without a quantum machine, "" where it is not. Raises InputError as `transpile` does.
    """
    from trine.quantum.circuits.transpile import transpile

    if not made.groups:
        raise InputError("the Hamiltonian is a constant: nothing to measure")
    widest = max(range(len(made.groups)), key=lambda k: len(measured_basis(made.groups[k].basis)))
    circuit = made.circuit(widest)
    odds = Odds(None, 2.0**-circuit.qubits, None, exact)
    return plan(device, transpile(circuit, device, tuple(seeds)), made.shots, odds, len(made.groups))
