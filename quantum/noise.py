"""A device's circuit with its errors, on Aer: noise after each gate and at readout.

A catalogue's device: depolarising, at its median rates. A snapshot of one machine: each qubit's own rates, relaxation,
also while it waits. Errors are independent in both: no crosstalk, no drift, no leakage.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trine.devices import QuantumDevice
from trine.devices.errors import InputError, MissingExtra
from trine.quantum.circuit import QUBITS_OF, Circuit, Gate, gate
from trine.quantum.circuits.qiskit_bridge import to_qiskit
from trine.quantum.samples import Samples
from trine.quantum.twirling import FREE, Snapshot, schedule

if TYPE_CHECKING:
    from qiskit_aer.noise import NoiseModel

MAX_QUBITS = 22  # one trajectory a shot: about a minute for a thousand shots of some hundred gates


def noise_model(device: QuantumDevice) -> NoiseModel:
    """Depolarising errors of average gate infidelity = the device's error rates, readout flips.

    A depolarising channel of probability q on d levels has infidelity q (d - 1)/d. Raises InputError where the device
    states no two-qubit error.
    """
    try:
        from qiskit_aer.noise import NoiseModel, ReadoutError, depolarizing_error
    except ImportError:
        raise MissingExtra("qiskit-aer", "quantum", "noisy simulation") from None
    two, one, read = (device.figure(f"errors.{k}") for k in ("two_qubit", "one_qubit", "readout"))
    if two is None:
        raise InputError(f"{device.name}: its gate errors are not known, so there is no noise to simulate")
    model = NoiseModel(basis_gates=[g for g in QUBITS_OF if g not in ("xx_plus_yy",)])
    names = {
        size: [g for g, width in QUBITS_OF.items() if width == size and g not in FREE] for size in (1, 2)
    }
    model.add_all_qubit_quantum_error(depolarizing_error(float(two.si_value) * 4 / 3, 2), names[2])
    if one is not None:
        model.add_all_qubit_quantum_error(depolarizing_error(float(one.si_value) * 2, 1), names[1])
    if read is not None:
        p = float(read.si_value)
        model.add_all_qubit_readout_error(ReadoutError([[1 - p, p], [p, 1 - p]]))
    return model


def noisy_samples(circuit: Circuit, model: Any, shots: int, seed: int, method: str = "automatic") -> Samples:
    """Samples of a bound circuit under a noise model (None: without), column k the k-th qubit read.

    Raises InputError above MAX_QUBITS unless the method holds no full state.
    """
    try:
        from qiskit import transpile
        from qiskit_aer import AerSimulator
    except ImportError:
        raise MissingExtra("qiskit-aer", "quantum", "simulation by Aer") from None
    if model is not None and circuit.qubits > MAX_QUBITS and method in ("automatic", "statevector"):
        raise InputError(
            f"{circuit.qubits} qubits: noisy simulation goes to {MAX_QUBITS}; use fewer, or method=matrix_product_state"
        )
    simulator = AerSimulator(method=method, noise_model=model, seed_simulator=seed % (1 << 31))
    spelled = transpile(to_qiskit(circuit, measure=True), simulator, optimization_level=0)
    found = simulator.run(spelled, shots=shots).result()
    if not found.success:
        raise InputError(f"Aer: {found.status}")
    return Samples.from_strings(found.get_counts())


def snapshot_model(machine: Any, numbers: Sequence[int]) -> NoiseModel:
    """A qiskit backend's noise on some of its qubits, numbered from 0: depolarising and thermal errors as Aer builds
    them. A model of all 156 qubits takes most of a minute to build and holds nothing more for the answer."""
    from qiskit_aer.noise import NoiseModel
    from qiskit_aer.noise.device import basic_device_gate_errors, basic_device_readout_errors

    from trine.quantum.circuits.placing import target_of

    target = target_of(machine, tuple(numbers))
    model = NoiseModel(basis_gates=list(target.operation_names))
    for name, qubits, error in basic_device_gate_errors(target=target):
        model.add_quantum_error(error, name, qubits)
    for qubits, error in basic_device_readout_errors(target=target):
        model.add_readout_error(error, qubits)
    return model


def snapshot_samples(
    circuit: Circuit, machine: Any, numbers: Sequence[int], shots: int, seed: int
) -> Samples:
    """Samples of a circuit in a machine's gates whose qubit k is the machine's numbers[k]: one trajectory a shot, or a
    density matrix, as Aer chooses; relaxation while qubits wait included."""
    from qiskit import QuantumCircuit
    from qiskit_aer import AerSimulator
    from qiskit_aer.noise import thermal_relaxation_error

    spelled, known = played(circuit), Snapshot(machine)
    pauses: dict[int, list[tuple[int, float]]] = {}
    for place, q, seconds in schedule(spelled, numbers, known)[0]:
        pauses.setdefault(place, []).append((q, seconds))
    plain = to_qiskit(spelled, measure=True)
    made = QuantumCircuit(*plain.qregs, *plain.cregs)
    for place, instruction in enumerate(plain.data):
        made.append(instruction)
        for q, seconds in pauses.get(place, []):
            made.append(thermal_relaxation_error(*known.relaxation(numbers[q]), seconds), [q])
    model = snapshot_model(machine, numbers)
    found = AerSimulator(noise_model=model, seed_simulator=seed % (1 << 31)).run(made, shots=shots).result()
    if not found.success:
        raise InputError(f"Aer: {found.status}")
    return Samples.from_strings(found.get_counts())


def played(circuit: Circuit) -> Circuit:
    """Inverse root of X, which folding writes, as the pulse that machines play: a root of X between turns by pi."""
    gates: list[Gate] = []
    for g in circuit.gates:
        turn = gate("rz", *g.qubits, angles=[np.pi]) if g.name == "sxdg" else None
        gates += [g] if turn is None else [turn, gate("sx", *g.qubits), turn]
    return Circuit(circuit.qubits, tuple(gates), circuit.global_phase, circuit.measured)
