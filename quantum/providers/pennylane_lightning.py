"""`pennylane`: PennyLane's lightning.qubit in this process, without noise."""

from __future__ import annotations

import numpy as np

from trine.quantum.circuit import Circuit
from trine.quantum.circuits.pennylane_bridge import pennylane, to_pennylane
from trine.quantum.providers import Immediate, Provider, state_vector_obstacles
from trine.quantum.samples import Samples
from trine.quantum.work import Outcome, Work

MOST = 26


class PennylaneConnection(Immediate):
    """lightning.qubit, sampling the computational basis."""

    def obstacles(self, work: Work) -> list[str]:
        """Circuits of few enough qubits."""
        return state_vector_obstacles(work, "pennylane", MOST)

    def run(self, work: Work) -> Outcome:
        """Seeded samples."""
        samples = tuple(self.sampled(circuit, work.shots, work.seed) for circuit in work.circuits)
        return Outcome(
            samples, {"simulator": f"PennyLane {pennylane().__version__} lightning.qubit, no noise"}
        )

    def sampled(self, circuit: Circuit, shots: int, seed: int) -> Samples:
        """Columns in the order of `circuit.read`."""
        qml = pennylane()
        device = qml.device("lightning.qubit", wires=circuit.qubits, seed=seed)
        script = qml.tape.QuantumScript(
            to_pennylane(circuit), [qml.sample(wires=list(circuit.read))], shots=shots
        )
        (ready,), _ = device.preprocess_transforms()([script])
        found = np.asarray(device.execute(ready)).reshape(shots, len(circuit.read))
        return Samples.of(found.astype(np.uint8))


PROVIDER = Provider(
    "pennylane", "PennyLane's lightning.qubit in this process, no noise", "circuit",
    lambda argument: PennylaneConnection(),
)  # fmt: skip
