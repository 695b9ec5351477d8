"""`ibm-fake:NAME`: a snapshot of an IBM machine that comes with qiskit-ibm-runtime, simulated offline with its noise.

The circuit is placed on the machine's qubits where it survives best, and the noise is that of the qubits in use. To 16
qubits Aer simulates each shot with relaxation as it is. Wider circuits hold too large a state for that: their noise
is twirled to Pauli errors, drawn for every shot, and some tens of states stand for all (`trine.quantum.trajectories`).
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

from trine.devices.errors import InputError, MissingExtra, nearest
from trine.quantum import trajectories
from trine.quantum.circuit import Circuit
from trine.quantum.circuits.placing import Placed, cut, placed
from trine.quantum.mitigation.zne import folded
from trine.quantum.noise import snapshot_samples
from trine.quantum.providers import Immediate, Provider
from trine.quantum.samples import Samples
from trine.quantum.twirling import Snapshot, pauli_noise
from trine.quantum.work import Outcome, Work

__all__ = ["PROVIDER", "FakeConnection", "cut", "snapshots"]
MOST = trajectories.MOST_QUBITS
A_STATE_A_SHOT = 16  # qubits in use: 1,000 shots in some ten seconds
STATES = (1, 10_000)


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
    """One snapshot: `fez`, or `fez,states=80`."""

    def __init__(self, argument: str) -> None:
        name, *options = argument.lower().split(",")
        if not name:
            raise InputError("ibm-fake needs a machine, as in ibm-fake:torino or ibm-fake:fez")
        if name not in snapshots():
            raise InputError(f"ibm-fake:{name}: no such snapshot; {nearest(name, snapshots())}")
        self.states = states_of(options)
        with warnings.catch_warnings():
            # Nighthawk's says that its errors are not representative: metadata says so
            warnings.simplefilter("ignore")
            self.machine = snapshots()[name]()
        self.name = name

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
        samples, about = [], []
        places: dict[Circuit, Placed] = {}
        for number, circuit in enumerate(work.circuits):
            if circuit not in places:
                first = next(iter(places.values()), None)
                calibrates = first is not None and not circuit.two_qubit_gates()
                places[circuit] = placed(
                    circuit, self.machine, work.seed, MOST, first if calibrates else None
                )
            there = places[circuit]
            run = folded(there.circuit, work.scale(number))
            found, said = self.sampled(work, run, there.numbers)
            samples.append(found)
            about.append(
                {"two_qubit_gates": run.two_qubit_gates(), "depth": run.depth(), "qubits": list(there.numbers),
                 "placed": there.how, **said}
            )  # fmt: skip
        about_all = {
            "machine": self.machine.name,
            "noise": "of the snapshot, qubits in use only, waiting included",
            "circuits": about,
        }
        return Outcome(tuple(samples), about_all)

    def sampled(
        self, work: Work, circuit: Circuit, numbers: tuple[int, ...]
    ) -> tuple[Samples, dict[str, Any]]:
        """(samples, what to say of them)."""
        noise = pauli_noise(circuit, numbers, Snapshot(self.machine))
        said: dict[str, Any] = {"untouched": round(noise.untouched, 6), "circuit_s": noise.seconds}
        if circuit.qubits <= A_STATE_A_SHOT:
            found = snapshot_samples(circuit, self.machine, numbers, work.shots, work.seed)
            return found, {**said, "method": "Aer, a trajectory a shot or a density matrix"}
        drawn = trajectories.sample(circuit, noise, work.shots, work.seed, self.states)
        said |= {
            "method": "Pauli-twirled trajectories, single precision", "states": drawn.states,
            "effective_shots_at_least": round(drawn.effective, 1),
        }  # fmt: skip
        if work.qaoa is not None:
            mean, error = drawn.mean(work.qaoa.polynomial.energy(drawn.bits))
            said |= {"mean_cost": mean, "mean_cost_error": error}
        return drawn.samples, said


def states_of(options: list[str]) -> int:
    """From ["states=80"]. Raises InputError for anything else."""
    found = trajectories.STATES
    for option in options:
        key, _, value = option.partition("=")
        if key != "states" or not value.isdigit() or not STATES[0] <= int(value) <= STATES[1]:
            raise InputError(
                f"ibm-fake: {option!r} is no option; states=N takes 1 to 10,000 states, as in fez,states=80"
            )
        found = int(value)
    return found


PROVIDER = Provider(
    "ibm-fake", "a bundled snapshot of an IBM machine, simulated offline with its noise", "circuit", FakeConnection,
    argument="the machine, as torino or fez; fez,states=80 for more noisy states of a wide circuit", extra="cloud",
)  # fmt: skip
