"""`qiskit`: qiskit's StatevectorSampler in this process, without noise."""

from __future__ import annotations

from trine.devices.errors import MissingExtra
from trine.quantum.circuits.qiskit_bridge import to_qiskit
from trine.quantum.providers import Immediate, Provider, state_vector_obstacles
from trine.quantum.samples import Samples
from trine.quantum.work import Outcome, Work

MOST = 24


class QiskitConnection(Immediate):
    """qiskit.primitives.StatevectorSampler."""

    def obstacles(self, work: Work) -> list[str]:
        """Circuits of few enough qubits."""
        return state_vector_obstacles(work, "qiskit", MOST)

    def run(self, work: Work) -> Outcome:
        """Seeded samples."""
        try:
            import qiskit
            from qiskit.primitives import StatevectorSampler
        except ImportError:
            raise MissingExtra("qiskit", "quantum", "the provider qiskit") from None
        sampler = StatevectorSampler(default_shots=work.shots, seed=work.seed)
        found = sampler.run([to_qiskit(c, measure=True) for c in work.circuits]).result()
        samples = tuple(Samples.from_strings(one.data.meas.get_counts()) for one in found)
        return Outcome(samples, {"simulator": f"qiskit {qiskit.__version__} StatevectorSampler, no noise"})


PROVIDER = Provider(
    "qiskit",
    "qiskit's state-vector sampler in this process, no noise",
    "circuit",
    lambda argument: QiskitConnection(),
)
