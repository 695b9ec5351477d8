"""A circuit in a device's gates on its qubits: what will really run. qiskit's transpiler does the work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from trine.devices import QuantumDevice
from trine.devices.errors import InputError, MissingExtra
from trine.quantum.circuit import Circuit
from trine.quantum.circuits.qiskit_bridge import from_qiskit, to_qiskit

SEEDS = 5


@dataclass(frozen=True)
class Transpiled:
    """A circuit on physical qubits. used: those that carry a gate. layout: physical qubit of each logical one, at the
    beginning; measured in `circuit` says where each is read at the end."""

    circuit: Circuit
    used: tuple[int, ...]
    layout: tuple[int, ...]
    one_qubit_gates: int
    two_qubit_gates: int
    depth: int
    two_qubit_depth: int
    duration_s: float | None
    topology: str

    def compact(self) -> Circuit:
        """The same circuit with only the used qubits, numbered from 0: what a simulator should be given."""
        number = {q: k for k, q in enumerate(self.used)}
        gates = tuple(replace(g, qubits=tuple(number[q] for q in g.qubits)) for g in self.circuit.gates)
        read = tuple(number[q] for q in self.circuit.read)
        return Circuit(len(self.used), gates, self.circuit.global_phase, read)


QISKIT_NAMES = {  # of a machine's own gates; the same number of two-qubit gates
    "prx": "r", "phasedxz": "u", "u1q": "r", "gpi": "r", "gpi2": "r", "ms": "rxx", "zz": "rzz", "zzphase": "rzz",
    "zzmax": "rzz",
}  # fmt: skip
ONE_QUBIT = ("r", "rx", "ry", "rz", "sx", "x", "u", "p", "h")
TWO_QUBIT = ("cz", "cx", "ecr", "iswap", "rzz", "rxx")


def basis_of(device: QuantumDevice) -> tuple[str, ...]:
    """qiskit's names of the gates that the device runs. Raises InputError for a machine without (known) gates."""
    found = dict.fromkeys(QISKIT_NAMES.get(g.lower(), g.lower()) for g in device.native_gates)
    one, two = [g for g in found if g in ONE_QUBIT], [g for g in found if g in TWO_QUBIT]
    if not one or not two:
        raise InputError(
            f"{device.name}: no set of gates is known ({device.topology}); see trine devices {device.name}, or give a "
            ".toml file with machine.native_gates"
        )
    return (*two, *one) if {"rz", "u"} & set(one) else (*two, *one, "rz")


def couplings(device: QuantumDevice) -> tuple[tuple[int, int], ...] | None:
    """Pairs of neighbours; None for all-to-all.

    Heavy hex and square lattices are laid out by their sizes where no map is bundled with qiskit-ibm-runtime: a lattice
    of the device's kind and size, not its very map. Raises InputError for a topology that is no graph of gates.
    """
    topology = device.topology.lower()
    if "all-to-all" in topology or "full" in topology:
        return None
    from trine.quantum.circuits.lattices import heavy_hex, square

    if "heavy-hex" in topology or "heavy hex" in topology:
        return heavy_hex(device.qubits)
    if "square" in topology or "grid" in topology or "lattice" in topology:
        return square(device.qubits)
    raise InputError(f"{device.name}: its topology is {device.topology}; gates cannot be routed there")


def transpile(
    circuit: Circuit, device: QuantumDevice, seeds: Sequence[int] = tuple(range(SEEDS)), level: int = 3
) -> Transpiled:
    """The best of several seeds by two-qubit gates, then depth.

    Raises InputError for too many qubits, free angles, or a device without gates.
    """
    problems = []
    if circuit.parameters:
        problems.append(f"free angles: {', '.join(circuit.parameters[:5])}")
    if circuit.qubits > device.qubits:
        problems.append(f"{circuit.qubits} qubits, {device.name} has {device.qubits}")
    if problems:
        raise InputError("; ".join(problems))
    try:
        from qiskit import transpile as qiskit_transpile
        from qiskit.transpiler import CouplingMap
    except ImportError:
        raise MissingExtra("qiskit", "quantum", "transpiling") from None
    pairs = couplings(device)
    mapping = None if pairs is None else CouplingMap([p for a, b in pairs for p in ((a, b), (b, a))])
    source, best = to_qiskit(circuit, measure=True), None
    for seed in seeds:
        made = qiskit_transpile(
            source, basis_gates=list(basis_of(device)), coupling_map=mapping, optimization_level=level,
            seed_transpiler=seed,
        )  # fmt: skip
        key = (made.num_nonlocal_gates(), made.depth())
        if best is None or key < best[0]:
            best = (key, made)
    assert best is not None
    return describe(best[1], device, circuit.qubits)


def describe(made: Any, device: QuantumDevice, logical: int) -> Transpiled:
    """Counts, depth and time of a transpiled qiskit circuit."""
    place = {bit: k for k, bit in enumerate(made.qubits)}
    used = sorted({place[q] for i in made.data for q in i.qubits if i.operation.name != "barrier"})
    one = sum(
        i.operation.num_qubits == 1 and i.operation.name not in ("measure", "rz", "p") for i in made.data
    )
    two_depth = made.depth(lambda i: len(i.qubits) == 2)
    layout = made.layout
    begin = (
        tuple(range(logical)) if layout is None else tuple(layout.initial_index_layout(filter_ancillas=True))
    )
    return Transpiled(
        from_qiskit(made), tuple(used), begin, one, made.num_nonlocal_gates(), made.depth(), two_depth,
        duration(device, made.depth() - two_depth, two_depth), device.topology,
    )  # fmt: skip


def duration(device: QuantumDevice, one_qubit_layers: int, two_qubit_layers: int) -> float | None:
    """Seconds of one shot: layers times gate times, and the readout; None where the device's times are not known."""
    times = [device.figure(f"times.{name}") for name in ("one_qubit_gate", "two_qubit_gate", "readout")]
    if any(t is None for t in times):
        return None
    one, two, read = (float(t.si_value) for t in times if t is not None)
    return one_qubit_layers * one + two_qubit_layers * two + read
