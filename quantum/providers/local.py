"""`local`: Trine's own engines in this process, without noise."""

from __future__ import annotations

import numpy as np

from trine.quantum.providers import Immediate, Provider, state_vector_obstacles
from trine.quantum.samples import Samples
from trine.quantum.statevector import MAX_QUBITS, run_circuit
from trine.quantum.work import Outcome, Work


class LocalConnection(Immediate):
    """QAOA through the full-state engine, any other circuit gate by gate."""

    def obstacles(self, work: Work) -> list[str]:
        """Circuits to run, and few enough qubits for a state vector."""
        return state_vector_obstacles(work, "local", MAX_QUBITS)

    def run(self, work: Work) -> Outcome:
        """Seeded samples."""
        generator = np.random.default_rng(work.seed)
        found = []
        for circuit in work.circuits:
            if work.qaoa is not None and len(work.circuits) == 1 and circuit.measured is None:
                from trine.quantum.engines.full import FullEngine

                engine = FullEngine(work.qaoa.polynomial)
                found.append(engine.sample(work.qaoa.angles, work.shots, work.seed))
                continue
            state = run_circuit(circuit)
            chances = np.abs(state) ** 2
            drawn = generator.choice(len(chances), work.shots, p=chances / chances.sum())
            bits = (drawn[:, None] >> np.array(circuit.read)) & 1
            found.append(Samples.of(bits.astype(np.uint8)))
        return Outcome(tuple(found), {"simulator": "state vector, no noise"})


PROVIDER = Provider(
    "local", "Trine's engines in this process, no noise", "circuit", lambda argument: LocalConnection()
)
