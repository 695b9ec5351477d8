"""A circuit on the qubits of one known machine where it is expected to survive best.

The candidates: qiskit's transpiler over the whole machine; a swap network on good rows of qubits
(`trine.quantum.circuits.swap_network`); qiskit's transpiler over a patch of just as many qubits as the circuit has, so
that a simulator need hold no more. Which survives best is judged with every qubit's own errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from trine.devices.errors import InputError
from trine.quantum.circuit import Circuit
from trine.quantum.circuits.qiskit_bridge import from_qiskit, to_qiskit
from trine.quantum.circuits.swap_network import on_a_line, rows
from trine.quantum.twirling import Snapshot, pauli_noise

WIDE = 12  # qubits, below which qiskit's search over the whole machine is taken as it is
ROWS = 3  # rows of qubits tried
USES = 25.0  # two-qubit gates of a row's neighbours, to weigh their error against their qubits'
RUN_S = 10e-6  # of a circuit, to weigh relaxation
FAULTY = 0.5  # error of a gate that the machine reports as broken
CONTROL = (
    "delay", "reset", "if_else", "for_loop", "while_loop", "switch_case", "break_loop", "continue_loop",
)  # fmt: skip


@dataclass(frozen=True)
class Placed:
    """A circuit in a machine's gates. Its qubit k is the machine's numbers[k]; how: which candidate it is."""

    circuit: Circuit
    numbers: tuple[int, ...]
    how: str

    @property
    def read(self) -> tuple[int, ...]:
        """The machine's qubit of each result bit."""
        return tuple(self.numbers[q] for q in self.circuit.read)


def placed(circuit: Circuit, machine: Any, seed: int, most: int, like: Placed | None = None) -> Placed:
    """A bound circuit on a qiskit backend, on at most `most` qubits.

    like: take the qubits that another circuit is read from (calibrations of readout). Raises InputError where nothing
    fits.
    """
    there = {} if like is None else dict(zip(circuit.read, like.read))
    if len(there) == circuit.qubits:
        layout = [there[q] for q in range(circuit.qubits)]
        return transpiled(circuit, machine, seed, "the same qubits", initial_layout=layout)
    found = [transpiled(circuit, machine, seed, "qiskit level 3, whole machine")]
    if circuit.qubits >= WIDE:
        found += in_rows(circuit, machine, seed)
        if patch := patch_of(machine, circuit.qubits):
            found.append(transpiled(circuit, machine, seed, "qiskit level 3, a patch", numbers=patch))
    fitting = [p for p in found if len(p.numbers) <= most]
    if not fitting:
        least = min(len(p.numbers) for p in found)
        raise InputError(
            f"{circuit.qubits} qubits are routed over {least}, and {most} are the most held here"
        )
    known = Snapshot(machine)
    return max(fitting, key=lambda p: pauli_noise(p.circuit, p.numbers, known).untouched)


def transpiled(
    circuit: Circuit, machine: Any, seed: int, how: str, initial_layout: list[int] | None = None,
    numbers: tuple[int, ...] | None = None, level: int = 3,
) -> Placed:  # fmt: skip
    """By qiskit; numbers: only on these qubits of the machine."""
    from qiskit import transpile

    target = machine.target if numbers is None else target_of(machine, numbers)
    isa = transpile(
        to_qiskit(circuit, measure=True), target=target, optimization_level=level, seed_transpiler=seed,
        initial_layout=initial_layout,
    )  # fmt: skip
    compact, used = cut(isa)
    there = tuple(used) if numbers is None else tuple(numbers[q] for q in used)
    return Placed(from_qiskit(compact), there, how)


def in_rows(circuit: Circuit, machine: Any, seed: int) -> list[Placed]:
    """The swap network on the machine's best rows; nothing where the circuit has other gates, or no row is as long."""
    row = on_a_line(circuit, seed)
    if row is None:
        return []
    # level 1: higher ones find next to nothing here, and resynthesis leaves turns that no trajectory can tell apart
    return [
        transpiled(row, machine, seed, "swap network on a row", initial_layout=list(path), level=1)
        for path in rows_of(machine, circuit.qubits)
    ]


def links(machine: Any) -> dict[tuple[int, int], float]:
    """Errors of pairs that share a two-qubit gate, without broken ones."""
    names = [
        n for n in machine.target.operation_names if machine.target.operation_from_name(n).num_qubits == 2
    ]
    found: dict[tuple[int, int], float] = {}
    for name in names:
        for pair, entry in (machine.target[name] or {}).items():
            error = 0.0 if entry is None or entry.error is None else entry.error
            if error < FAULTY:
                found[min(pair), max(pair)] = min(error, found.get((min(pair), max(pair)), 1.0))
    return found


@cache
def rows_of(machine: Any, length: int) -> tuple[tuple[int, ...], ...]:
    """The best rows of a machine."""
    errors, known = links(machine), Snapshot(machine)

    def own(qubit: int) -> float:
        return sum(known.readout(qubit)) / 2 + RUN_S / known.relaxation(qubit)[1] / 2

    def cost(a: int, b: int) -> float:
        return USES * errors[min(a, b), max(a, b)] + (own(a) + own(b)) / 2

    return tuple(rows(errors, length, cost, ROWS))


@cache
def patch_of(machine: Any, size: int) -> tuple[int, ...]:
    """Connected qubits with few errors and many links, ascending; empty where there are not as many.

    Grown from each qubit by the neighbour whose links err least, a second link counting as a gain.
    """
    errors = links(machine)
    beside: dict[int, dict[int, float]] = {}
    for (a, b), error in sorted(errors.items()):
        beside.setdefault(a, {})[b] = error
        beside.setdefault(b, {})[a] = error
    best: tuple[float, tuple[int, ...]] | None = None
    for first in sorted(beside):
        chosen = {first}
        while len(chosen) < size:
            around = {q for c in chosen for q in beside[c]} - chosen
            if not around:
                break
            inside = {q: [e for c, e in beside[q].items() if c in chosen] for q in around}
            chosen.add(min(around, key=lambda q: (min(inside[q]) - 0.02 * (len(inside[q]) - 1), q)))
        held = [e for (a, b), e in errors.items() if a in chosen and b in chosen]
        grade = sum(held) / len(held) - 1e-4 * len(held) if held else 1.0
        if len(chosen) == size and (best is None or grade < best[0]):
            best = (grade, tuple(sorted(chosen)))
    return best[1] if best else ()


def cut(circuit: Any) -> tuple[Any, list[int]]:
    """A transpiled qiskit circuit on the qubits that it uses, in ascending order, and their numbers before."""
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


def target_of(machine: Any, numbers: tuple[int, ...]) -> Any:
    """qiskit's Target of some qubits of a machine, numbered from 0; gates only."""
    from qiskit.transpiler import InstructionProperties, Target

    number = {q: k for k, q in enumerate(numbers)}
    whole = machine.target
    known = whole.qubit_properties
    made = Target(
        num_qubits=len(numbers),
        dt=whole.dt,
        qubit_properties=None if known is None else [known[q] for q in numbers],
    )
    for name in whole.operation_names:
        if name in CONTROL:
            continue
        kept = {
            tuple(number[q] for q in qubits): None
            if p is None
            else InstructionProperties(p.duration, p.error)
            for qubits, p in (whole[name] or {}).items()
            if qubits is not None and all(q in number for q in qubits)
        }
        if kept:
            made.add_instruction(whole.operation_from_name(name), kept)
    return made
