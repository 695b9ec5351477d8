"""Any `Circuit` on a state vector, gate by gate in NumPy: the definition that bridges are held to."""

from __future__ import annotations

import cmath
import math

import numpy as np
from numpy.typing import NDArray

from trine.devices.errors import InputError
from trine.quantum.circuit import Circuit, Gate

Complex = NDArray[np.complex128]
MAX_QUBITS = 26  # 2^26 complex doubles are 1 GiB; two are alive at a time

I = 1j  # noqa: E741  as the equations write it
FIXED: dict[str, list[list[complex]]] = {
    "id": [[1, 0], [0, 1]],
    "x": [[0, 1], [1, 0]],
    "y": [[0, -I], [I, 0]],
    "z": [[1, 0], [0, -1]],
    "h": [[2**-0.5, 2**-0.5], [2**-0.5, -(2**-0.5)]],
    "s": [[1, 0], [0, I]],
    "sdg": [[1, 0], [0, -I]],
    "t": [[1, 0], [0, cmath.exp(I * math.pi / 4)]],
    "tdg": [[1, 0], [0, cmath.exp(-I * math.pi / 4)]],
    "sx": [[(1 + I) / 2, (1 - I) / 2], [(1 - I) / 2, (1 + I) / 2]],
    "sxdg": [[(1 - I) / 2, (1 + I) / 2], [(1 + I) / 2, (1 - I) / 2]],
}
CONTROLLED = {"cx": "x", "cy": "y", "cz": "z", "ch": "h", "crx": "rx", "cry": "ry", "crz": "rz", "cp": "p"}
PAULI_ROTATIONS = {"rxx": "x", "ryy": "y", "rzz": "z"}


def matrix(gate: Gate) -> Complex:
    """The unitary [2^k, 2^k] of a bound gate; its first qubit is least significant in the index.

    Meanings as in qiskit's circuit library. Raises InputError for a free angle.
    """
    name, a = gate.name, [angle.value({}) for angle in gate.angles]
    if name in FIXED:
        return np.array(FIXED[name], np.complex128)
    if name in ("rx", "ry", "rz", "p", "u"):
        return one_qubit(name, a)
    if name in CONTROLLED:
        return controlled(matrix(Gate(CONTROLLED[name], (0,), gate.angles)))
    if name in PAULI_ROTATIONS:
        pauli = np.array(FIXED[PAULI_ROTATIONS[name]], np.complex128)
        return np.asarray(math.cos(a[0] / 2) * np.eye(4) - I * math.sin(a[0] / 2) * np.kron(pauli, pauli))
    if name in ("ccx", "ccz"):
        return controlled(controlled(matrix(Gate(name[2:], (0,)))))
    found = np.eye(8 if name == "cswap" else 4, dtype=np.complex128)
    if name == "cswap":  # control is the least significant: swap 011 and 101
        found[[3, 5]] = found[[5, 3]]
    elif name == "swap":
        found[[1, 2]] = found[[2, 1]]
    elif name == "iswap":
        found[1:3, 1:3] = [[0, I], [I, 0]]
    elif name == "ecr":
        found = np.array(
            [[0, 1, 0, I], [1, 0, -I, 0], [0, I, 0, 1], [-I, 0, 1, 0]], np.complex128
        ) / math.sqrt(2)
    elif name == "xx_plus_yy":
        theta, beta = a
        c, s = math.cos(theta / 2), math.sin(theta / 2)
        found[1:3, 1:3] = [[c, -I * s * cmath.exp(-I * beta)], [-I * s * cmath.exp(I * beta), c]]
    else:
        raise InputError(f"gate {name} has no matrix")
    return found


def one_qubit(name: str, a: list[float]) -> Complex:
    """rx, ry, rz, p, u by their angles in radians."""
    if name == "p":
        return np.array([[1, 0], [0, cmath.exp(I * a[0])]])
    if name == "rz":
        return np.array([[cmath.exp(-I * a[0] / 2), 0], [0, cmath.exp(I * a[0] / 2)]])
    c, s = math.cos(a[0] / 2), math.sin(a[0] / 2)
    if name == "rx":
        return np.array([[c, -I * s], [-I * s, c]])
    if name == "ry":
        return np.array([[c, -s], [s, c]], np.complex128)
    phi, lam = a[1], a[2]
    return np.array([[c, -cmath.exp(I * lam) * s], [cmath.exp(I * phi) * s, cmath.exp(I * (phi + lam)) * c]])


def controlled(inner: Complex) -> Complex:
    """One control, which is the least significant qubit."""
    found = np.eye(2 * len(inner), dtype=np.complex128)
    found[1::2, 1::2] = inner
    return found


def act(unitary: Complex, qubits: tuple[int, ...], tensor: Complex) -> Complex:
    """A matrix [2^k, 2^k] on k qubits (first least significant) of a state [2] * n whose axis j is qubit n - 1 - j."""
    n, k = tensor.ndim, len(qubits)
    axes = [n - 1 - q for q in reversed(qubits)]
    turned = np.tensordot(unitary.reshape((2,) * (2 * k)), tensor, axes=(range(k, 2 * k), axes))
    return np.moveaxis(turned, range(k), axes)


def run_circuit(circuit: Circuit, state: Complex | None = None) -> Complex:
    """The state [2^n] after a bound circuit from |0...0> or from `state`.

    Raises InputError above MAX_QUBITS, naming the memory it would take.
    """
    n = circuit.qubits
    if n > MAX_QUBITS:
        raise InputError(
            f"{n} qubits need {16 * 2**n / 2**30:,.0f} GiB; the state vector goes to {MAX_QUBITS}"
        )
    if state is None:
        state = np.zeros(1 << n, np.complex128)
        state[0] = 1
    tensor = state.reshape((2,) * n)  # axis k is qubit n - 1 - k
    for gate in circuit.gates:
        tensor = act(matrix(gate), gate.qubits, tensor)
    return np.asarray(tensor.reshape(-1) * cmath.exp(I * circuit.global_phase))
