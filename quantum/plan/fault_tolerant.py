"""What a circuit beyond today's devices would take on an error-corrected one: by Microsoft's resource estimator (qdk).

Beverland et al. 2022, arXiv 2211.07629: surface code, T states distilled, rotations synthesised. The estimator's
first interface (qdk.estimator, LogicalCounts) is used; qdk 1.33 says that qdk.qre will replace it.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from trine.devices.errors import InputError, MissingExtra, nearest
from trine.quantum.circuit import Circuit

QubitModel = Literal[
    "qubit_gate_ns_e3", "qubit_gate_ns_e4", "qubit_gate_us_e3", "qubit_gate_us_e4"
]  # ns: superconducting or spin; us: ions; error 1e-3 or 1e-4 (arXiv 2211.07629, table IV)
EXACT = 1e-12  # radians within which an angle is a multiple of pi/4


@dataclass(frozen=True)
class LogicalCounts:
    """Of a circuit: T gates, other rotations, layers of rotations, measurements. Clifford gates are not counted."""

    qubits: int
    t_gates: int
    rotations: int
    rotation_depth: int
    measurements: int


@dataclass(frozen=True)
class FaultTolerant:
    """An estimate. runtime_s: of one shot. code_distance: of the surface code. error_budget: chance of a wrong shot."""

    qubit_model: str
    error_budget: float
    physical_qubits: int
    runtime_s: float
    logical_qubits: int
    code_distance: int
    t_states: int
    t_factories: int
    source: str

    def as_json(self) -> dict[str, Any]:
        """All fields."""
        return asdict(self)


def logical_counts(circuit: Circuit) -> LogicalCounts:
    """Counts after qiskit writes the circuit in CX, H, X, SX and Rz; a three-qubit gate costs its T gates.

    Raises InputError for free angles, MissingExtra.
    """
    if circuit.parameters:
        raise InputError(f"bind the angles first: {', '.join(circuit.parameters[:5])}")
    try:
        from qiskit import transpile
    except ImportError:
        raise MissingExtra("qiskit", "quantum", "fault-tolerant estimates") from None
    from trine.quantum.circuits.qiskit_bridge import to_qiskit

    spelled = transpile(to_qiskit(circuit), basis_gates=["cx", "h", "x", "sx", "rz"], optimization_level=1)
    number = {bit: k for k, bit in enumerate(spelled.qubits)}
    level = [0] * circuit.qubits
    t_gates = rotations = 0
    for instruction in spelled.data:
        places = [number[q] for q in instruction.qubits]
        here = max((level[q] for q in places), default=0)
        if instruction.operation.name == "rz":
            eighths = float(instruction.operation.params[0]) / (math.pi / 4)
            if abs(eighths - round(eighths)) > EXACT:
                rotations += 1
                here += 1
            elif round(eighths) % 2:
                t_gates += 1
        for q in places:
            level[q] = here
    return LogicalCounts(circuit.qubits, t_gates, rotations, max(level, default=0), len(circuit.read))


def estimate(
    circuit: Circuit, qubit_model: QubitModel = "qubit_gate_ns_e3", error_budget: float = 1e-3
) -> FaultTolerant:
    """Physical qubits and time of one shot. Raises InputError, MissingExtra."""
    models = get_args(QubitModel)
    if qubit_model not in models:
        raise InputError(f"qubit model {qubit_model!r} is unknown: {nearest(qubit_model, models)}")
    if not 0 < error_budget < 1:
        raise InputError(f"error budget {error_budget:g}: give a chance between 0 and 1")
    counts = logical_counts(circuit)
    if counts.t_gates + counts.rotations == 0:
        raise InputError("no T gate and no rotation: a Clifford circuit, which ordinary computers run")
    try:
        from qdk import estimator
    except ImportError:
        raise MissingExtra("qdk", "estimate", "fault-tolerant estimates") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        given = estimator.LogicalCounts(
            {
                "numQubits": counts.qubits, "tCount": counts.t_gates, "rotationCount": counts.rotations,
                "rotationDepth": counts.rotation_depth, "cczCount": 0, "measurementCount": counts.measurements,
            }
        )  # fmt: skip
        asked = estimator.EstimatorParams()
        asked.error_budget = error_budget
        asked.qubit_params.name = qubit_model
        found = dict(given.estimate(asked))
    physical, parts = found["physicalCounts"], found["physicalCounts"]["breakdown"]
    return FaultTolerant(
        qubit_model, error_budget, int(physical["physicalQubits"]), physical["runtime"] * 1e-9,
        int(parts["algorithmicLogicalQubits"]), int(found["logicalQubit"]["codeDistance"]), int(parts["numTstates"]),
        int(parts["numTfactories"]), "modelled: qdk resource estimator, surface code (arXiv 2211.07629)",
    )  # fmt: skip
