"""Ansatz families as circuits: excitations as Pauli exponentials, and layers of rotations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from trine.devices.errors import InputError
from trine.quantum.circuit import Angle, Circuit, Gate, gate
from trine.quantum.hamiltonian import PauliString
from trine.quantum.molecules.codes import Code
from trine.quantum.molecules.excitations import Excitation
from trine.quantum.molecules.fermions import as_hamiltonian

FAMILIES = {  # name -> what it is, and its paper
    "uccsd": "all singles and doubles of the reference, one product step (Peruzzo et al. 2014; Anand et al. 2022)",
    "k-upccgsd": "k layers of generalised paired doubles and singles (Lee et al. 2019, arXiv 1810.02327)",
    "adapt": "excitations chosen one by one by their gradient (Grimsley et al. 2019, arXiv 1812.11173)",
    "hardware-efficient": "layers of ry and a chain of cx (after Kandala et al. 2017, arXiv 1704.05018)",
}


@dataclass(frozen=True)
class ExcitationAnsatz:
    """exp(t_k A_k) ... exp(t_0 A_0) on the determinant of the lowest orbitals; one parameter an excitation."""

    name: str
    orbitals: int
    electrons: tuple[int, int]
    excitations: tuple[Excitation, ...]

    @property
    def reference(self) -> int:
        """Occupied spin orbitals as a mask."""
        return reference_of(self.orbitals, self.electrons)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the parameters, in order."""
        return tuple(f"t{k}" for k in range(len(self.excitations)))

    def circuit(self, code: Code | None = None) -> Circuit:
        """With free angles, on the code's qubits (Jordan-Wigner's without one).

        An excitation that flips a bit which the code fixes leaves the reference's symmetry and is left out: its
        parameter has no gate then.
        """
        qubits = 2 * self.orbitals if code is None else code.qubits
        bits = self.reference if code is None else code.bits(self.reference)
        gates = [gate("x", q) for q in range(qubits) if bits >> q & 1]
        for name, excitation in zip(self.names, self.excitations, strict=True):
            total: Mapping[tuple[int, int], complex] | None = excitation.generator()
            if code is not None and total is not None:
                total = code.terms(total)
            if total is None:
                continue
            for string, weight in as_hamiltonian(total, qubits).terms.items():
                gates += pauli_exponential(string, Angle(0.0, name, 2 * weight))
        return Circuit(qubits, tuple(gates))

    def values(self, parameters: tuple[float, ...]) -> dict[str, float]:
        """Parameters by name. Raises InputError for a wrong number of them."""
        if len(parameters) != len(self.excitations):
            raise InputError(f"{len(parameters)} parameters for {len(self.excitations)} excitations")
        return dict(zip(self.names, parameters, strict=True))


def reference_of(orbitals: int, electrons: tuple[int, int]) -> int:
    """Lowest orbitals filled, as a mask."""
    return ((1 << electrons[0]) - 1) | (((1 << electrons[1]) - 1) << orbitals)


def pauli_exponential(string: PauliString, angle: Angle) -> list[Gate]:
    """exp(-i angle/2 P): basis change, a ladder of cx, rz, and back (Nielsen and Chuang 4.7.3)."""
    if not string:
        return []  # a global phase
    into = measured_basis(string)
    back = [gate({"sdg": "s"}.get(g.name, g.name), *g.qubits) for g in reversed(into)]
    places = [q for q, _ in string]
    ladder = [gate("cx", a, b) for a, b in pairwise(places)]
    return [*into, *ladder, gate("rz", places[-1], angles=[angle]), *reversed(ladder), *back]


def measured_basis(string: PauliString) -> list[Gate]:
    """Gates after which each letter of the string is read as Z."""
    gates: list[Gate] = []
    for q, letter in string:
        if letter == "Y":
            gates.append(gate("sdg", q))
        if letter in "XY":
            gates.append(gate("h", q))
    return gates


def hardware_efficient(qubits: int, layers: int, reference: int) -> Circuit:
    """Bits, ry on all, then `layers` times a chain of cx and ry on all; real amplitudes, the reference at zero angles.

    Not cz: with a chain of them the states of 5 qubits reach 15 dimensions of 31 however many layers there are.
    Raises InputError for no layers.
    """
    if layers < 1:
        raise InputError(f"{layers} layers: give at least 1")
    bits = reference
    for _ in range(layers):  # the chain makes bit k the parity of bits 0..k: begin with what it takes back
        bits = (bits ^ bits << 1) & ((1 << qubits) - 1)
    gates = [gate("x", q) for q in range(qubits) if bits >> q & 1]
    for layer in range(layers + 1):
        if layer:
            gates += [gate("cx", q, q + 1) for q in range(qubits - 1)]
        gates += [gate("ry", q, angles=[Angle(0.0, f"t{layer * qubits + q}")]) for q in range(qubits)]
    return Circuit(qubits, tuple(gates))
