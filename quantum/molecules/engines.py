"""Energies with all derivatives: excitations in the electrons' sector, or any circuit on all strings."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

from trine.devices.errors import InputError
from trine.quantum.circuit import Circuit, Gate
from trine.quantum.engines.state import free_memory
from trine.quantum.hamiltonian import Hamiltonian
from trine.quantum.molecules.ansatz import ExcitationAnsatz
from trine.quantum.molecules.excitations import Excitation, flat_pairs
from trine.quantum.molecules.integrals import Float
from trine.quantum.molecules.sector import Sector, refuse
from trine.quantum.statevector import Complex, act, matrix
from trine.quantum.work import circuit_json

TURNS = {  # gate -> the Pauli string of exp(-i angle/2 P), its first qubit least significant
    "rx": "x", "ry": "y", "rz": "z", "rxx": "xx", "ryy": "yy", "rzz": "zz",
}  # fmt: skip


def digest(hamiltonian: Hamiltonian, *more: Any) -> str:
    """Names a Hamiltonian and what acts on it: what a checkpoint belongs to."""
    terms = [[list(map(list, s)), w] for s, w in hamiltonian.terms.items()]
    return hashlib.sha256(json.dumps([hamiltonian.qubits, terms, *more]).encode()).hexdigest()[:16]


class SectorEngine:
    """A real Jordan-Wigner Hamiltonian among the determinants of given electrons (up, down).

    Holds the sparse Hamiltonian, and excitations as pairs of determinants: a gate touches only the pairs it turns.
    """

    def __init__(
        self, hamiltonian: Hamiltonian, electrons: tuple[int, int], memory: int | None = None
    ) -> None:
        """Raises InputError as `Sector` does, or for a complex Hamiltonian."""
        if hamiltonian.qubits % 2:
            raise InputError(
                f"{hamiltonian.qubits} qubits: spin orbitals come in two equal halves, up and down"
            )
        half = hamiltonian.qubits // 2
        self.memory = free_memory() if memory is None else memory
        self.hamiltonian, self.electrons, self.orbitals = hamiltonian, electrons, half
        self.sector = Sector((half, half), electrons, self.memory)
        self.matrix = self.sector.matrix(hamiltonian, self.memory)
        if np.iscomplexobj(self.matrix.data):
            raise InputError("the Hamiltonian is complex; molecules without magnetic fields have real ones")
        self.set_excitations(())

    def set_excitations(self, excitations: tuple[Excitation, ...]) -> None:
        """What the parameters belong to. Raises InputError with the memory that their pairs would take."""
        self.excitations = excitations
        self.flat = self.pairs_of(excitations)

    def pairs_of(self, excitations: tuple[Excitation, ...]) -> tuple[Any, ...]:
        """Their pairs of determinants, one after the other."""
        refuse(f"{len(excitations)} excitations", 3 * len(excitations) * self.sector.size, self.memory)
        return flat_pairs(excitations, self.sector)

    def state(self, parameters: Float) -> Float:
        """Amplitudes of the determinants [size]."""
        from trine.quantum.molecules import kernels

        found = np.zeros(self.sector.size)
        found[self.sector.reference] = 1.0
        kernels.evolve(found, np.asarray(parameters, np.float64), *self.flat)
        return found

    def gradient(self, parameters: Float) -> tuple[float, Float]:
        """(energy, its derivatives) by the adjoint method: about three evaluations for all of them."""
        from trine.quantum.molecules import kernels

        state = self.state(parameters)
        back = self.matrix @ state
        energy, slopes = float(state @ back), np.zeros(len(parameters))
        kernels.unwind(state, back, np.asarray(parameters, np.float64), *self.flat, slopes)
        return energy, slopes

    def slopes(self, parameters: Float, flat: tuple[Any, ...]) -> Float:
        """Derivatives by a further excitation at zero, for each of `pairs_of`."""
        from trine.quantum.molecules import kernels

        state, found = self.state(parameters), np.zeros(len(flat[0]) - 1)
        kernels.slopes_at(state, self.matrix @ state, *flat, found)
        return found

    def fingerprint(self) -> str:
        """Changes with the Hamiltonian, the electrons and the excitations."""
        return digest(self.hamiltonian, list(self.electrons), [e.label for e in self.excitations])


class CircuitEngine:
    """Any circuit whose free angles turn rx, ry, rz, rxx, ryy or rzz, for any Hamiltonian; all 2^n amplitudes."""

    def __init__(self, hamiltonian: Hamiltonian, circuit: Circuit, memory: int | None = None) -> None:
        """Raises InputError naming gates that have no derivative here, or the memory it would take."""
        if circuit.qubits != hamiltonian.qubits:
            raise InputError(f"a circuit on {circuit.qubits} qubits, a Hamiltonian on {hamiltonian.qubits}")
        wrong = {g.name for g in circuit.gates for a in g.angles if a.parameter is not None} - set(TURNS)
        if wrong:
            raise InputError(
                f"free angles of {', '.join(sorted(wrong))}: derivatives are known for {', '.join(TURNS)}"
            )
        self.hamiltonian, self.circuit, self.names = hamiltonian, circuit, circuit.parameters
        self.matrix = Sector((circuit.qubits,), (None,), memory).matrix(hamiltonian, memory)

    def bound(self, parameters: Float) -> tuple[Gate, ...]:
        """Gates with numbers."""
        return self.circuit.bind(dict(zip(self.names, map(float, parameters), strict=True))).gates

    def state(self, parameters: Float) -> Complex:
        """Amplitudes [2^n], without the circuit's global phase."""
        tensor = np.zeros((2,) * self.circuit.qubits, np.complex128)
        tensor[(0,) * self.circuit.qubits] = 1.0
        for g in self.bound(parameters):
            tensor = act(matrix(g), g.qubits, tensor)
        return tensor.reshape(-1)

    def gradient(self, parameters: Float) -> tuple[float, Float]:
        """(energy, its derivatives) by the adjoint method."""
        state = self.state(parameters)
        back = self.matrix @ state
        energy, found = float(np.vdot(state, back).real), dict.fromkeys(self.names, 0.0)
        shape = (2,) * self.circuit.qubits
        ket, bra = state.reshape(shape), back.reshape(shape)
        for free, g in zip(reversed(self.circuit.gates), reversed(self.bound(parameters)), strict=True):
            angle = free.angles[0] if free.angles else None
            if angle is not None and angle.parameter is not None:
                turned = ket
                for q, letter in zip(g.qubits, TURNS[g.name], strict=True):
                    turned = act(matrix(Gate(letter, (q,))), (q,), turned)
                # d/dt exp(-i t/2 P) = -i/2 P: 2 Re <bra| -i/2 P |ket> = Im <bra|P|ket>
                found[angle.parameter] += angle.scale * float(np.vdot(bra, turned).imag)
            undo = matrix(g).conj().T
            ket, bra = act(undo, g.qubits, ket), act(undo, g.qubits, bra)
        return energy, np.array([found[name] for name in self.names])

    def fingerprint(self) -> str:
        """Changes with the Hamiltonian and the circuit."""
        return digest(self.hamiltonian, circuit_json(self.circuit))


def sector_engine(
    hamiltonian: Hamiltonian, ansatz: ExcitationAnsatz, memory: int | None = None
) -> SectorEngine:
    """The engine of an ansatz. Raises InputError."""
    engine = SectorEngine(hamiltonian, ansatz.electrons, memory)
    engine.set_excitations(ansatz.excitations)
    return engine
