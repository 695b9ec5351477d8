"""Qiskit Aer as an engine: matrix-product states for circuits too wide for a full state, and noisy simulation.

It is also the independent check of our own engines.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from trine.devices.errors import InputError, MissingExtra
from trine.quantum.polynomial import Polynomial
from trine.quantum.samples import Angles, Samples

Method = Literal["statevector", "matrix_product_state", "density_matrix", "automatic"]


def memory_bytes(qubits: int, method: Method = "statevector", bond: int = 64) -> int:
    """Of the simulated state; a matrix-product state of bond dimension `bond`."""
    if method == "matrix_product_state":
        return 16 * 2 * bond * bond * qubits
    return 16 << (2 * qubits if method == "density_matrix" else qubits)


def plain_circuit(polynomial: Polynomial, angles: Angles) -> Any:
    """A qiskit QuantumCircuit from |0...0>: H, then each layer's phases of Z strings and RX; global phase included."""
    from qiskit import QuantumCircuit

    circuit = QuantumCircuit(polynomial.variables)
    circuit.h(range(polynomial.variables))
    spins = polynomial.spins()
    for gamma, beta in zip(angles.gammas, angles.betas, strict=True):
        for subset, value in spins.items():
            if not subset:
                circuit.global_phase -= gamma * value
                continue
            chain = list(pairwise(subset)) if len(subset) > 2 else []
            for a, b in chain:
                circuit.cx(a, b)
            if len(subset) == 2:
                circuit.rzz(2 * gamma * value, *subset)
            else:
                circuit.rz(2 * gamma * value, subset[-1])
            for a, b in reversed(chain):
                circuit.cx(a, b)
        circuit.rx(2 * beta, range(polynomial.variables))
    return circuit


class AerEngine:
    """QAOA as a circuit in Aer.

    method: statevector, matrix_product_state (bond: its largest dimension; a smaller one is faster and approximate),
    density_matrix. noise: a qiskit-aer NoiseModel. circuit: how angles become a circuit, `plain_circuit` by default.
    Raises MissingExtra without qiskit-aer.
    """

    name = "aer"

    def __init__(
        self, polynomial: Polynomial, method: Method = "matrix_product_state", noise: Any = None,
        bond: int | None = None, circuit: Callable[[Polynomial, Angles], Any] = plain_circuit,
    ) -> None:  # fmt: skip
        if find_spec("qiskit_aer") is None:
            raise MissingExtra("qiskit-aer", "quantum", "the aer engine")
        from qiskit_aer import AerSimulator

        self.polynomial, self.qubits, self._circuit = polynomial, polynomial.variables, circuit
        options: dict[str, Any] = {"method": method, "noise_model": noise}
        if bond is not None:
            options["matrix_product_state_max_bond_dimension"] = bond
        self.simulator = AerSimulator(**options)
        self._basis = ["h", "cx", "rz", "rx", "rzz"] if noise is None else noise.basis_gates

    def expectation(self, angles: Angles) -> float:
        """<C>, exact but for the bond dimension, with the noise averaged where the method can."""
        from qiskit.quantum_info import SparsePauliOp

        strings = [("Z" * len(s), list(s), v) for s, v in self.polynomial.spins().items()]
        operator = SparsePauliOp.from_sparse_list(strings or [("", [], 0.0)], self.qubits)
        circuit = self._ready(angles)
        circuit.save_expectation_value(operator, list(range(self.qubits)))
        return float(self._run(circuit, 1, 0).data(0)["expectation_value"])

    def sample(self, angles: Angles, shots: int, seed: int) -> Samples:
        """Measured strings; the same for the same seed. Raises InputError for fewer than one shot."""
        if shots < 1:
            raise InputError(f"{shots} shots: ask for at least one")
        circuit = self._ready(angles)
        circuit.measure_all()
        counts = {k: int(n) for k, n in self._run(circuit, shots, seed).get_counts(0).items()}
        return Samples.from_strings(counts)

    def _ready(self, angles: Angles) -> Any:
        from qiskit import transpile

        return transpile(
            self._circuit(self.polynomial, angles), basis_gates=self._basis, optimization_level=0
        )

    def _run(self, circuit: Any, shots: int, seed: int) -> Any:
        result = self.simulator.run(circuit, shots=shots, seed_simulator=np.int64(seed).item()).result()
        if not result.success:
            raise InputError(f"aer could not run {self.qubits} qubits: {result.status}; see choose_engine")
        return result
