"""`Circuit` to and from qiskit's QuantumCircuit. Qubit k is qubit k on both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trine.devices.errors import InputError, MissingExtra
from trine.quantum.circuit import ANGLES_OF, QUBITS_OF, Angle, Circuit, Gate

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

IGNORED = ("barrier", "delay")
SAME = {"cu1": "cp", "u1": "p", "u3": "u", "id": "id"}  # qiskit's older names of equal gates
DEPTH = 12  # of definitions within definitions


def to_qiskit(circuit: Circuit, measure: bool = False) -> QuantumCircuit:
    """The same gates, free angles as qiskit parameters; measure: read `circuit.read` into a register "meas"."""
    try:
        from qiskit import ClassicalRegister, QuantumCircuit
        from qiskit.circuit import Parameter
        from qiskit.circuit.library import XXPlusYYGate
    except ImportError:
        raise MissingExtra("qiskit", "quantum", "qiskit circuits") from None
    named = {name: Parameter(name) for name in circuit.parameters}

    def angle(a: Angle) -> Any:
        return a.offset if a.parameter is None else a.scale * named[a.parameter] + a.offset

    made = QuantumCircuit(circuit.qubits, global_phase=circuit.global_phase)
    for g in circuit.gates:
        angles = [angle(a) for a in g.angles]
        if g.name == "xx_plus_yy":
            made.append(XXPlusYYGate(*angles), g.qubits)
        else:
            getattr(made, g.name)(*angles, *g.qubits)
    if measure:
        made.add_register(ClassicalRegister(len(circuit.read), "meas"))
        made.measure(list(circuit.read), range(len(circuit.read)))
    return made


def from_qiskit(circuit: QuantumCircuit) -> Circuit:
    """The same gates; those that Trine does not have are replaced by their definitions. Measurements at the end become
    `measured`.

    Raises InputError naming every operation that has no place in a `Circuit`: classical control, reset, measurements
    followed by gates, angles that are not linear in one parameter.
    """
    gates: list[Gate] = []
    problems: list[str] = []
    measured: dict[int, int] = {}
    place = {bit: k for k, bit in enumerate(circuit.qubits)}
    slot = {bit: k for k, bit in enumerate(circuit.clbits)}
    phase = collect(circuit, [place[q] for q in circuit.qubits], slot, gates, measured, problems, 0)
    if problems:
        raise InputError("; ".join(dict.fromkeys(problems)))
    read = tuple(measured[k] for k in sorted(measured)) if measured else None
    return Circuit(circuit.num_qubits, tuple(gates), phase, read)


def collect(
    circuit: Any, wires: list[int], slot: dict[Any, int], gates: list[Gate],
    measured: dict[int, int], problems: list[str], depth: int,
) -> float:  # fmt: skip
    """Append a circuit's gates with its qubits renamed to `wires`. Returns its global phase in radians."""
    place = {bit: wires[k] for k, bit in enumerate(circuit.qubits)}
    phase = number(circuit.global_phase, "global phase", problems)
    for instruction in circuit.data:
        operation, qubits = instruction.operation, tuple(place[q] for q in instruction.qubits)
        name = SAME.get(operation.name, operation.name)
        where = f"{operation.name} on {list(qubits)}"
        if name in IGNORED:
            continue
        if name == "measure":
            if qubits[0] in measured.values():
                problems.append(f"qubit {qubits[0]} is measured twice")
            measured[slot[instruction.clbits[0]]] = qubits[0]
            continue
        busy = sorted(set(qubits) & set(measured.values()))
        if busy:
            problems.append(
                f"{where}: qubit {busy[0]} is used after its measurement (no mid-circuit measurement)"
            )
            continue
        if name == "reset" and not any(qubits[0] in g.qubits for g in gates):
            continue  # a qubit begins in |0>
        if name in (
            "reset",
            "initialize",
            "if_else",
            "while_loop",
            "for_loop",
            "switch_case",
            "store",
            "box",
        ):
            problems.append(f"{where}: {name} is no gate")
        elif name == "gphase" or name == "global_phase":
            phase += number(operation.params[0], where, problems)
        elif name in QUBITS_OF and getattr(operation, "ctrl_state", None) in (
            None,
            (1 << operation_controls(operation)) - 1,
        ):
            angles = tuple(linear(p, where, problems) for p in operation.params[: ANGLES_OF.get(name, 0)])
            gates.append(Gate(name, qubits, angles))
        elif operation.definition is None or depth >= DEPTH:
            problems.append(f"{where}: Trine has no such gate and qiskit no definition of it")
        else:
            phase += collect(operation.definition, list(qubits), slot, gates, measured, problems, depth + 1)
    return phase


def operation_controls(operation: Any) -> int:
    """How many controls a controlled gate has, 0 for others."""
    return int(getattr(operation, "num_ctrl_qubits", 0))


def number(value: Any, where: str, problems: list[str]) -> float:
    """A bound angle in radians."""
    try:
        return float(value)
    except TypeError:
        problems.append(f"{where}: {value} is free; only gates' angles may be")
        return 0.0


def linear(value: Any, where: str, problems: list[str]) -> Angle:
    """offset + scale * parameter of a number or a qiskit expression."""
    if not getattr(value, "parameters", None):
        return Angle(number(value, where, problems))
    names = list(value.parameters)
    if len(names) == 1:
        zero, one, two = (float(value.bind({names[0]: v})) for v in (0.0, 1.0, 2.0))
        if abs(two - 2 * one + zero) <= 1e-12 * max(1.0, abs(one), abs(two)):
            return Angle(zero, names[0].name, one - zero)
    problems.append(f"{where}: the angle {value} is not linear in one parameter; bind it first")
    return Angle()
