"""Circuits to qiskit and PennyLane and back: the same unitary, phase included."""

from __future__ import annotations

import numpy as np
import pytest
from random_circuits import random_circuit

from trine.devices.errors import InputError
from trine.quantum.circuit import ANGLES_OF, QUBITS_OF, Circuit, gate
from trine.quantum.circuits.pennylane_bridge import from_pennylane, to_pennylane
from trine.quantum.circuits.qiskit_bridge import from_qiskit, to_qiskit
from trine.quantum.statevector import matrix, run_circuit

CIRCUITS = 500
VALUES = {"t0": 0.7, "t1": -1.1, "t2": 2.3}


def random_state(generator: np.random.Generator, qubits: int) -> np.ndarray:
    """A state that no gate leaves alone."""
    state = generator.normal(size=1 << qubits) + 1j * generator.normal(size=1 << qubits)
    return np.asarray(state / np.linalg.norm(state))


def qiskit_state(circuit: object, start: np.ndarray) -> np.ndarray:
    from qiskit.quantum_info import Statevector

    return np.asarray(Statevector(start).evolve(circuit).data)


def pennylane_state(operations: list, qubits: int, start: np.ndarray) -> np.ndarray:
    """PennyLane's wire 0 is most significant: axes are turned round on both sides."""
    import pennylane as qml

    shape, turned = (2,) * qubits, range(qubits)[::-1]
    first = start.reshape(shape).transpose(turned).ravel()
    script = qml.tape.QuantumScript([qml.StatePrep(first, wires=range(qubits)), *operations], [qml.state()])
    found = qml.device("default.qubit", wires=qubits).execute(script)
    return np.asarray(found).reshape(shape).transpose(turned).ravel()


@pytest.mark.parametrize("name", sorted(QUBITS_OF))
def test_matrices_are_qiskits(name: str) -> None:
    from qiskit.quantum_info import Operator

    angles = np.random.default_rng(1).normal(size=ANGLES_OF.get(name, 0)).tolist()
    one = gate(name, *range(QUBITS_OF[name]), angles=angles)
    unitary = Operator(to_qiskit(Circuit(QUBITS_OF[name], (one,)))).data
    np.testing.assert_allclose(matrix(one), unitary, atol=1e-12)


def test_qiskit_both_ways() -> None:
    generator = np.random.default_rng(11)
    for number in range(CIRCUITS):
        circuit = random_circuit(generator, 1 + number % 5, 25, free=bool(number % 2))
        made = to_qiskit(circuit)
        back = from_qiskit(made)
        assert set(back.parameters) == set(circuit.parameters)
        start = random_state(generator, circuit.qubits)
        plain = run_circuit(circuit.bind(VALUES), start)
        bound = made.assign_parameters({p: VALUES[p.name] for p in made.parameters})
        np.testing.assert_allclose(qiskit_state(bound, start), plain, atol=1e-10)
        np.testing.assert_allclose(run_circuit(back.bind(VALUES), start), plain, atol=1e-10)


def test_pennylane_both_ways() -> None:
    import pennylane as qml

    generator = np.random.default_rng(12)
    for number in range(CIRCUITS):
        circuit = random_circuit(generator, 1 + number % 5, 25, free=bool(number % 2))
        operations = to_pennylane(circuit, VALUES)
        start = random_state(generator, circuit.qubits)
        plain = run_circuit(circuit.bind(VALUES), start)
        np.testing.assert_allclose(pennylane_state(operations, circuit.qubits, start), plain, atol=1e-10)
        back = from_pennylane([*operations, qml.Identity(circuit.qubits - 1)])
        np.testing.assert_allclose(run_circuit(back, start), plain, atol=1e-10)


def test_qiskit_to_pennylane() -> None:
    """Library circuits of qiskit in PennyLane, and PennyLane templates in qiskit."""
    import pennylane as qml
    from qiskit.circuit import QuantumCircuit
    from qiskit.circuit.library import QFTGate, efficient_su2

    theirs = QuantumCircuit(4)
    theirs.append(QFTGate(4), range(4))
    ansatz = efficient_su2(4, reps=1)
    theirs.compose(ansatz.assign_parameters(np.linspace(0, 1, ansatz.num_parameters)), inplace=True)
    start = random_state(np.random.default_rng(2), 4)
    circuit = from_qiskit(theirs)
    expected = qiskit_state(theirs, start)
    np.testing.assert_allclose(pennylane_state(to_pennylane(circuit), 4, start), expected, atol=1e-10)
    template = [
        qml.QFT(wires=range(4)),
        qml.PauliRot(0.3, "XYZX", wires=range(4)),
        qml.MultiRZ(0.2, wires=[0, 3]),
    ]
    made = to_qiskit(from_pennylane(template))
    np.testing.assert_allclose(qiskit_state(made, start), pennylane_state(template, 4, start), atol=1e-10)


def test_measurements() -> None:
    made = to_qiskit(Circuit(3, (gate("h", 0),), measured=(2, 0)), measure=True)
    assert from_qiskit(made).measured == (2, 0)


def test_what_has_no_place_is_named() -> None:
    from qiskit import QuantumCircuit
    from qiskit.circuit import Parameter

    a, b = Parameter("a"), Parameter("b")
    theirs = QuantumCircuit(2, 2)
    theirs.measure(0, 0)
    theirs.h(0)
    theirs.x(1)
    theirs.reset(1)
    theirs.rx(a * b, 1)
    theirs.ry(a * a, 1)
    with theirs.if_test((theirs.clbits[0], 1)):
        theirs.x(1)
    with pytest.raises(InputError) as caught:
        from_qiskit(theirs)
    for text in ("h on [0]: qubit 0 is used after", "reset on [1]", "a*b", "a*a", "if_else"):
        assert text in str(caught.value)


def test_free_angles_need_values() -> None:
    circuit = random_circuit(np.random.default_rng(0), 3, 30, free=True)
    with pytest.raises(InputError, match="has no value"):
        to_pennylane(circuit)
