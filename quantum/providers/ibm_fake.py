"""`ibm-fake:NAME`: a snapshot of an IBM machine that comes with qiskit-ibm-runtime, simulated offline with its noise.

The circuit is transpiled for the whole machine; the noise model is then cut to the qubits in use, since one of all 133
or 156 qubits takes most of a minute to build and holds nothing more for the answer.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

from trine.devices.errors import InputError, MissingExtra, nearest
from trine.quantum.circuits.qiskit_bridge import from_qiskit, to_qiskit
from trine.quantum.mitigation.zne import folded
from trine.quantum.providers import Immediate, Provider
from trine.quantum.samples import Samples
from trine.quantum.work import Outcome, Work

MOST = 24  # qubits in use


@cache
def snapshots() -> dict[str, Any]:
    """Classes of the bundled snapshots by short name, `torino` for FakeTorino."""
    try:
        from qiskit_ibm_runtime import fake_provider
    except ImportError:
        raise MissingExtra("qiskit-ibm-runtime", "cloud", "IBM's snapshots") from None
    names = [
        n
        for n in dir(fake_provider)
        if n.startswith("Fake") and hasattr(getattr(fake_provider, n), "backend_name")
    ]
    return {n.removeprefix("Fake").removesuffix("V2").lower(): getattr(fake_provider, n) for n in names}


class FakeConnection(Immediate):
    """One snapshot."""

    def __init__(self, argument: str) -> None:
        if not argument:
            raise InputError("ibm-fake needs a machine, as in ibm-fake:torino or ibm-fake:fez")
        if argument.lower() not in snapshots():
            raise InputError(f"ibm-fake:{argument}: no such snapshot; {nearest(argument, snapshots())}")
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # Nighthawk's says that its errors are not representative: metadata says so
            self.machine = snapshots()[argument.lower()]()
        self.name = argument.lower()

    def obstacles(self, work: Work) -> list[str]:
        """Circuits of few enough qubits for a state vector of those in use."""
        if not work.circuits:
            return ["ibm-fake runs circuits; for a polynomial take dwave-local"]
        found = []
        if work.qubits > self.machine.num_qubits:
            found.append(f"{work.qubits} qubits, {self.name} has {self.machine.num_qubits}")
        if work.qubits > MOST:
            found.append(f"{work.qubits} qubits: the noisy simulation goes to {MOST}")
        return found

    def run(self, work: Work) -> Outcome:
        """Seeded samples with the snapshot's gate, readout and thermal errors."""
        from qiskit import transpile
        from qiskit_aer import AerSimulator

        samples, counts = [], []
        for number, circuit in enumerate(work.circuits):
            isa = transpile(
                to_qiskit(circuit, measure=True),
                self.machine,
                optimization_level=3,
                seed_transpiler=work.seed,
            )
            compact, used = cut(isa)
            if len(used) > MOST:
                raise InputError(
                    f"{work.qubits} qubits are routed over {len(used)} of {self.name}'s; each noisy shot is a state of "
                    f"its own, and {MOST} qubits are the most that end in minutes. Take local, or aer without noise"
                )
            if work.scale(number) != 1:
                compact = to_qiskit(folded(from_qiskit(compact), work.scale(number)), measure=True)
            simulator = AerSimulator(noise_model=noise_of(self.machine, used), seed_simulator=work.seed)
            found = simulator.run(compact, shots=work.shots).result()
            if not found.success:
                raise InputError(f"Aer: {found.status}")
            samples.append(Samples.from_strings(found.get_counts()))
            counts.append({"two_qubit_gates": isa.num_nonlocal_gates(), "depth": isa.depth(), "qubits": used})
        about = {
            "machine": self.machine.name,
            "noise": "of the snapshot, qubits in use only",
            "circuits": counts,
        }
        return Outcome(tuple(samples), about)


def cut(circuit: Any) -> tuple[Any, list[int]]:
    """A transpiled circuit on the qubits that it uses, in ascending order, and their numbers on the machine."""
    from qiskit import QuantumCircuit

    place = {bit: k for k, bit in enumerate(circuit.qubits)}
    kept = [i for i in circuit.data if i.operation.name not in ("barrier", "delay")]
    used = sorted({place[q] for i in kept for q in i.qubits})
    number = {q: k for k, q in enumerate(used)}
    made = QuantumCircuit(len(used), name=circuit.name, global_phase=circuit.global_phase)
    for register in circuit.cregs:
        made.add_register(register)
    for i in kept:
        made.append(i.operation, [number[place[q]] for q in i.qubits], i.clbits)
    return made, used


def noise_of(machine: Any, used: list[int]) -> Any:
    """The machine's noise on the used qubits, numbered from 0: depolarising and thermal errors as Aer builds them."""
    from qiskit.transpiler import InstructionProperties, Target
    from qiskit_aer.noise import NoiseModel

    number = {q: k for k, q in enumerate(used)}
    whole = machine.target
    target = Target(
        num_qubits=len(used), dt=whole.dt,
        qubit_properties=None if whole.qubit_properties is None else [whole.qubit_properties[q] for q in used],
    )  # fmt: skip
    for name in whole.operation_names:
        if name in (
            "delay",
            "reset",
            "if_else",
            "for_loop",
            "while_loop",
            "switch_case",
            "break_loop",
            "continue_loop",
        ):
            continue
        kept = {
            tuple(number[q] for q in qubits): InstructionProperties(p.duration, p.error)
            if p is not None
            else None
            for qubits, p in (whole[name] or {}).items()
            if qubits is not None and all(q in number for q in qubits)
        }
        if kept:
            target.add_instruction(whole.operation_from_name(name), kept)
    from qiskit.providers import BackendV2

    class Cut(BackendV2):  # type: ignore[misc]  # qiskit carries no types
        """A machine of the used qubits, as `NoiseModel.from_backend` wants one."""

        target = None
        max_circuits = None

        @classmethod
        def _default_options(cls) -> Any:
            from qiskit.providers import Options

            return Options()

        def run(self, run_input: Any, **options: Any) -> Any:
            raise NotImplementedError

    cut_machine = Cut(name=machine.name)
    cut_machine.target = target
    return NoiseModel.from_backend(cut_machine)


PROVIDER = Provider(
    "ibm-fake", "a bundled snapshot of an IBM machine, simulated offline with its noise", "circuit", FakeConnection,
    argument="the machine, as torino or fez", extra="cloud",
)  # fmt: skip
