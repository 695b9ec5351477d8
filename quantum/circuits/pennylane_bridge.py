"""`Circuit` to and from PennyLane. Qubit k is wire k; PennyLane's matrices put wire 0 first (most significant)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trine.devices.errors import InputError, MissingExtra
from trine.quantum.circuit import Angle, Circuit, Gate, gate

if TYPE_CHECKING:
    from pennylane.tape import QuantumScript

PLAIN = {  # Trine's gate -> PennyLane's class, same angles, same order of qubits
    "id": "Identity", "x": "PauliX", "y": "PauliY", "z": "PauliZ", "h": "Hadamard", "s": "S", "t": "T", "sx": "SX",
    "rx": "RX", "ry": "RY", "rz": "RZ", "p": "PhaseShift", "u": "U3",
    "cx": "CNOT", "cy": "CY", "cz": "CZ", "ch": "CH", "swap": "SWAP", "iswap": "ISWAP", "ecr": "ECR",
    "crx": "CRX", "cry": "CRY", "crz": "CRZ", "cp": "ControlledPhaseShift",
    "rxx": "IsingXX", "ryy": "IsingYY", "rzz": "IsingZZ", "ccx": "Toffoli", "ccz": "CCZ", "cswap": "CSWAP",
}  # fmt: skip
ADJOINT = {"sdg": "S", "tdg": "T", "sxdg": "SX"}
BACK = {theirs: ours for ours, theirs in PLAIN.items()}
ADJOINT_BACK = {f"Adjoint({theirs})": ours for ours, theirs in ADJOINT.items()}
DEPTH = 12


def pennylane() -> Any:
    """The package. Raises MissingExtra."""
    try:
        import pennylane as qml
    except ImportError:
        raise MissingExtra("pennylane", "quantum", "PennyLane circuits") from None
    return qml


def to_pennylane(circuit: Circuit, values: Mapping[str, Any] | None = None) -> list[Any]:
    """PennyLane operations in order; free angles take their numbers or trainable tensors from `values`.

    Inside a qnode or a QuantumScript they act as if written there. Raises InputError for an angle without value.
    """
    qml, given = pennylane(), values or {}

    def angle(a: Angle) -> Any:
        if a.parameter is None:
            return a.offset
        if a.parameter not in given:
            raise InputError(f"angle {a.parameter} has no value; given: {', '.join(sorted(given)) or 'none'}")
        return a.offset + a.scale * given[a.parameter]

    made = []
    for g in circuit.gates:
        angles, wires = [angle(a) for a in g.angles], list(g.qubits)
        if g.name in PLAIN:
            made.append(getattr(qml, PLAIN[g.name])(*angles, wires=wires))
        elif g.name in ADJOINT:
            made.append(qml.adjoint(getattr(qml, ADJOINT[g.name])(wires=wires)))
        else:  # xx_plus_yy: the phase beta is a turn of the first qubit about z before and after
            theta, beta = angles
            made += [qml.RZ(beta, wires[0]), qml.IsingXY(-theta, wires), qml.RZ(-beta, wires[0])]
    if circuit.global_phase:
        made.append(qml.GlobalPhase(-circuit.global_phase))
    return made


def from_pennylane(script: QuantumScript | Sequence[Any]) -> Circuit:
    """A QuantumScript or a list of operations; wires in their order of appearance, or 0..n-1 where they are numbers.

    Operations that Trine does not have are replaced by their decompositions. Measurements are left to the reader.
    Raises InputError naming every operation that has none, or whose angle is no number.
    """
    operations = list(getattr(script, "operations", script))
    wires = list(dict.fromkeys(w for op in operations for w in op.wires))
    if all(type(w) is int and w >= 0 for w in wires):
        wires = list(range(max(wires, default=0) + 1))
    place = {w: k for k, w in enumerate(wires)}
    gates: list[Gate] = []
    problems: list[str] = []
    phase = sum(collect(op, place, gates, problems, 0) for op in operations)
    if problems:
        raise InputError("; ".join(dict.fromkeys(problems)))
    return Circuit(max(len(wires), 1), tuple(gates), phase)


def collect(
    operation: Any, place: Mapping[Any, int], gates: list[Gate], problems: list[str], depth: int
) -> float:
    """Append one operation's gates. Returns the global phase it adds, in radians."""
    name, qubits = operation.name, [place[w] for w in operation.wires]
    try:
        angles = [float(p) for p in operation.parameters] if name in BACK or name == "GlobalPhase" else []
    except (TypeError, ValueError):
        problems.append(f"{name} on wires {qubits}: its angle is no number; bind it first")
        return 0.0
    if name in ("Barrier", "Snapshot", "WireCut"):
        return 0.0
    if name == "GlobalPhase":
        return -angles[0]
    if name in BACK:
        if name != "Identity":
            gates.append(gate(BACK[name], *qubits, angles=angles))
        return 0.0
    if name in ADJOINT_BACK:
        gates.append(gate(ADJOINT_BACK[name], *qubits))
        return 0.0
    if depth >= DEPTH or not operation.has_decomposition:
        problems.append(
            f"{name} on wires {qubits}: Trine has no such gate and PennyLane no decomposition of it"
        )
        return 0.0
    return sum(collect(part, place, gates, problems, depth + 1) for part in operation.decomposition())
