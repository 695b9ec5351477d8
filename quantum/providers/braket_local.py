"""`braket-local`: Amazon Braket's simulator in this process, without noise. Circuits go over as OpenQASM 3."""

from __future__ import annotations

from typing import Any

import numpy as np

from trine.devices.errors import MissingExtra
from trine.quantum.circuit import Circuit
from trine.quantum.providers import Immediate, Provider, state_vector_obstacles
from trine.quantum.samples import Samples
from trine.quantum.work import Outcome, Work

MOST = 22
NAMES = {  # Trine's gate -> Braket's function
    "id": "i", "x": "x", "y": "y", "z": "z", "h": "h", "s": "s", "sdg": "si", "t": "t", "tdg": "ti", "sx": "v",
    "sxdg": "vi", "rx": "rx", "ry": "ry", "rz": "rz", "p": "phaseshift", "u": "u", "cx": "cnot", "cy": "cy",
    "cz": "cz", "swap": "swap", "iswap": "iswap", "ecr": "ecr", "cp": "cphaseshift", "rxx": "xx", "ryy": "yy",
    "rzz": "zz", "ccx": "ccnot", "cswap": "cswap",
}  # fmt: skip


def braket_circuit(circuit: Circuit) -> Any:
    """The same circuit in Braket's own class; gates it lacks go through qiskit's definitions."""
    try:
        from braket.circuits import Circuit as Theirs
    except ImportError:
        raise MissingExtra("amazon-braket-sdk", "braket", "Braket circuits") from None
    made = Theirs()
    for q in range(circuit.qubits):
        made.i(q)  # Braket drops qubits without gates, and numbers by first use
    for gate in spelled(circuit).gates:
        angles = [a.value({}) for a in gate.angles]
        getattr(made, NAMES[gate.name])(*gate.qubits, *angles)
    return made


def spelled(circuit: Circuit) -> Circuit:
    """In gates that Braket has."""
    if all(g.name in NAMES for g in circuit.gates):
        return circuit
    from qiskit import transpile

    from trine.quantum.circuits.qiskit_bridge import from_qiskit, to_qiskit

    basis = ["rx", "ry", "rz", "h", "cx", "rzz", "rxx", "ryy", "p"]
    return from_qiskit(transpile(to_qiskit(circuit), basis_gates=basis, optimization_level=0))


def braket_samples(measurements: Any, measured_qubits: list[int], read: tuple[int, ...]) -> Samples:
    """Rows [shots, qubits] of a Braket result, columns put in the order of `read`."""
    column = {int(q): k for k, q in enumerate(measured_qubits)}
    rows = np.asarray(measurements, np.uint8)[:, [column[q] for q in read]]
    return Samples.of(rows)


class BraketLocal(Immediate):
    """braket.devices.LocalSimulator("braket_sv")."""

    def obstacles(self, work: Work) -> list[str]:
        """Circuits of few enough qubits."""
        return state_vector_obstacles(work, "braket-local", MOST)

    def run(self, work: Work) -> Outcome:
        """Samples drawn here from the simulator's state vector, since its own draws cannot be seeded."""
        try:
            from braket.devices import LocalSimulator
        except ImportError:
            raise MissingExtra("amazon-braket-sdk", "braket", "the provider braket-local") from None
        found, generator = [], np.random.default_rng(work.seed)
        for circuit in work.circuits:
            state = (
                LocalSimulator("braket_sv")
                .run(braket_circuit(circuit).state_vector(), shots=0)
                .result()
                .values[0]
            )
            chances = np.abs(np.asarray(state)) ** 2
            drawn = generator.choice(len(chances), work.shots, p=chances / chances.sum())
            places = circuit.qubits - 1 - np.array(circuit.read)  # Braket's qubit 0 is most significant
            found.append(Samples.of(((drawn[:, None] >> places) & 1).astype(np.uint8)))
        return Outcome(tuple(found), {"simulator": "Amazon Braket local state vector, no noise"})


PROVIDER = Provider(
    "braket-local", "Amazon Braket's simulator in this process, no noise", "circuit", lambda argument: BraketLocal(),
    extra="braket",
)  # fmt: skip
