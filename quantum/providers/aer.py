"""`aer`: qiskit-aer in this process, without noise; `aer:DEVICE` with that device's median errors."""

from __future__ import annotations

from typing import Any

from trine.devices import QuantumDevice, load_device
from trine.devices.errors import InputError
from trine.quantum.circuit import Circuit
from trine.quantum.mitigation.zne import folded
from trine.quantum.noise import MAX_QUBITS, noise_model, noisy_samples
from trine.quantum.providers import Immediate, Provider, state_vector_obstacles
from trine.quantum.work import Outcome, Work

MOST = 28
METHODS = (
    "automatic",
    "statevector",
    "density_matrix",
    "matrix_product_state",
    "stabilizer",
    "extended_stabilizer",
)


class AerConnection(Immediate):
    """AerSimulator; work.options["method"] as Aer names it, matrix_product_state for wide shallow circuits."""

    def __init__(self, argument: str) -> None:
        self.device: QuantumDevice | None = None
        if argument:
            device = load_device(argument)
            if not isinstance(device, QuantumDevice):
                raise InputError(
                    f"aer:{argument}: {device.name} is a {device.kind} device; name a quantum one"
                )
            self.device = device

    def obstacles(self, work: Work) -> list[str]:
        """A method of Aer's; few enough qubits where a full state is held."""
        method = work.options.get("method", "automatic")
        if method not in METHODS:
            return [f"method {method!r} is none of Aer's: {', '.join(METHODS)}"]
        if method == "matrix_product_state":
            return [] if work.circuits else ["aer runs circuits; for a polynomial take dwave-local"]
        return state_vector_obstacles(work, "aer", MAX_QUBITS if self.device else MOST)

    def run(self, work: Work) -> Outcome:
        """Seeded samples; with noise the circuit is first put into the device's gates."""
        import qiskit_aer

        method = str(work.options.get("method", "automatic"))
        model, circuits, what = None, work.circuits, "no noise"
        if self.device is not None:
            model, what = noise_model(self.device), f"median errors of {self.device.name}, independent"
            circuits = tuple(folded(on_device(c, self.device), work.scale(k)) for k, c in enumerate(circuits))
        samples = tuple(noisy_samples(c, model, work.shots, work.seed, method) for c in circuits)
        return Outcome(samples, {"simulator": f"qiskit-aer {qiskit_aer.__version__}, {method}, {what}"})


def on_device(circuit: Circuit, device: QuantumDevice) -> Circuit:
    """In the device's gates on its used qubits."""
    from trine.quantum.circuits.transpile import transpile

    return transpile(circuit, device).compact()


def connect(argument: str) -> Any:
    """Open."""
    return AerConnection(argument)


PROVIDER = Provider(
    "aer", "qiskit-aer in this process, with a device's noise as aer:DEVICE", "circuit", connect,
    argument="a quantum device of the catalogue, for its noise",
)  # fmt: skip
