"""Random circuits over all gates, bound or with free angles."""

from __future__ import annotations

import numpy as np

from trine.quantum.circuit import ANGLES_OF, QUBITS_OF, Angle, Circuit, Gate


def random_circuit(generator: np.random.Generator, qubits: int, gates: int, free: bool = False) -> Circuit:
    """Gates and qubits uniform; free: every second angle is 0.3 + scale * one of three parameters."""
    names = [name for name, width in QUBITS_OF.items() if width <= qubits]
    made = []
    for _ in range(gates):
        name = str(generator.choice(names))
        places = tuple(int(q) for q in generator.choice(qubits, QUBITS_OF[name], replace=False))
        angles = []
        for _ in range(ANGLES_OF.get(name, 0)):
            parameter = f"t{generator.integers(3)}" if free and generator.random() < 0.5 else None
            angles.append(
                Angle(float(generator.normal()), parameter, float(generator.normal()) if parameter else 1.0)
            )
        made.append(Gate(name, places, tuple(angles)))
    return Circuit(qubits, tuple(made), float(generator.normal()))
