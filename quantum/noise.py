"""A device's circuit with its errors, on Aer: depolarising noise after each gate, confusion at readout.

A model of independent errors at the device's median rates: no crosstalk, no drift, no leakage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trine.devices import QuantumDevice
from trine.devices.errors import InputError, MissingExtra
from trine.quantum.circuit import QUBITS_OF, Circuit
from trine.quantum.circuits.qiskit_bridge import to_qiskit
from trine.quantum.samples import Samples

if TYPE_CHECKING:
    from qiskit_aer.noise import NoiseModel

MAX_QUBITS = 22  # one trajectory a shot: about a minute for a thousand shots of some hundred gates
FREE = ("rz", "p", "id", "z", "s", "sdg", "t", "tdg")  # done in software: no pulse, no error


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
