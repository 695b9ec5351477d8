"""`Circuit`: gates on numbered qubits, angles that may still be free. Small on purpose; front ends convert to it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from trine.devices.errors import InputError, nearest

QUBITS_OF = {  # gate -> qubits; meanings as in qiskit's circuit library
    "id": 1, "x": 1, "y": 1, "z": 1, "h": 1, "s": 1, "sdg": 1, "t": 1, "tdg": 1, "sx": 1, "sxdg": 1,
    "rx": 1, "ry": 1, "rz": 1, "p": 1, "u": 1,
    "cx": 2, "cy": 2, "cz": 2, "ch": 2, "swap": 2, "iswap": 2, "ecr": 2,
    "crx": 2, "cry": 2, "crz": 2, "cp": 2, "rxx": 2, "ryy": 2, "rzz": 2, "xx_plus_yy": 2,
    "ccx": 3, "ccz": 3, "cswap": 3,
}  # fmt: skip
ANGLES_OF = {
    **dict.fromkeys(("rx", "ry", "rz", "p", "crx", "cry", "crz", "cp", "rxx", "ryy", "rzz"), 1),
    "u": 3,
    "xx_plus_yy": 2,
}


@dataclass(frozen=True)
class Angle:
    """offset + scale * parameter, in radians; a plain number where `parameter` is None."""

    offset: float = 0.0
    parameter: str | None = None
    scale: float = 1.0

    def value(self, values: Mapping[str, float]) -> float:
        """In radians. Raises InputError where its parameter is not given."""
        if self.parameter is None:
            return self.offset
        if self.parameter not in values:
            raise InputError(
                f"angle {self.parameter} has no value; given: {', '.join(sorted(values)) or 'none'}"
            )
        return self.offset + self.scale * values[self.parameter]


@dataclass(frozen=True)
class Gate:
    """One gate by name, on ordered qubits (controls first)."""

    name: str
    qubits: tuple[int, ...]
    angles: tuple[Angle, ...] = ()


@dataclass(frozen=True)
class Circuit:
    """Gates in order on `qubits` qubits from |0...0>, `global_phase` in radians.

    measured: qubits read at the end, all of them by default; the result's bit k is measured[k].
    Raises InputError naming every gate that cannot be.
    """

    qubits: int
    gates: tuple[Gate, ...] = field(repr=False)
    global_phase: float = 0.0
    measured: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        problems = []
        for k, gate in enumerate(self.gates):
            where = f"gate {k} ({gate.name} on {gate.qubits})"
            if gate.name not in QUBITS_OF:
                problems.append(f"{where}: unknown, {nearest(gate.name, QUBITS_OF)}")
                continue
            if len(gate.qubits) != QUBITS_OF[gate.name] or len(set(gate.qubits)) != len(gate.qubits):
                problems.append(f"{where}: needs {QUBITS_OF[gate.name]} different qubits")
            if any(not 0 <= q < self.qubits for q in gate.qubits):
                problems.append(f"{where}: qubits go from 0 to {self.qubits - 1}")
            if len(gate.angles) != ANGLES_OF.get(gate.name, 0):
                problems.append(f"{where}: needs {ANGLES_OF.get(gate.name, 0)} angles")
            if any(not math.isfinite(a.offset) or not math.isfinite(a.scale) for a in gate.angles):
                problems.append(f"{where}: an angle is no finite number")
        if problems:
            raise InputError("; ".join(problems[:5]))

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the free angles in order of first use."""
        names = (a.parameter for g in self.gates for a in g.angles if a.parameter is not None)
        return tuple(dict.fromkeys(names))

    @property
    def read(self) -> tuple[int, ...]:
        """The qubits read at the end."""
        return tuple(range(self.qubits)) if self.measured is None else self.measured

    def bind(self, values: Mapping[str, float]) -> Circuit:
        """All free angles given numbers. Raises InputError where one is missing."""
        gates = tuple(replace(g, angles=tuple(Angle(a.value(values)) for a in g.angles)) for g in self.gates)
        return replace(self, gates=gates)

    def depth(self) -> int:
        """Longest chain of gates that share qubits."""
        level = [0] * self.qubits
        for gate in self.gates:
            reached = 1 + max(level[q] for q in gate.qubits)
            for q in gate.qubits:
                level[q] = reached
        return max(level, default=0)

    def counts(self) -> dict[str, int]:
        """Gates by name."""
        return dict(sorted(Counter(g.name for g in self.gates).items()))

    def two_qubit_gates(self) -> int:
        """Gates on two qubits; those on three are not counted (decompose first)."""
        return sum(len(g.qubits) == 2 for g in self.gates)


def gate(name: str, *qubits: int, angles: Sequence[float | Angle] = ()) -> Gate:
    """A gate with plain or free angles: gate("rz", 3, angles=[0.5])."""
    return Gate(name, qubits, tuple(a if isinstance(a, Angle) else Angle(float(a)) for a in angles))
