"""Counts of T gates and rotations by hand; the estimator's numbers follow them."""

from __future__ import annotations

import math

import pytest

from trine.devices.errors import InputError
from trine.quantum.circuit import Angle, Circuit, Gate, gate
from trine.quantum.circuits.qaoa import qaoa_circuit
from trine.quantum.plan.fault_tolerant import LogicalCounts, estimate, logical_counts
from trine.quantum.polynomial import Polynomial


def test_counts_by_hand() -> None:
    quarter, odd = math.pi / 2, 0.3
    circuit = Circuit(
        3,
        (
            gate("h", 0), gate("t", 0), gate("cx", 0, 1), gate("rz", 1, angles=[quarter]),
            gate("rz", 1, angles=[odd]), gate("cx", 1, 2), gate("rz", 2, angles=[odd]), gate("rz", 0, angles=[odd]),
        ),
    )  # fmt: skip
    # t joins the rotation of qubit 0 (through the control of cx), rz(quarter) that of qubit 1
    counts = logical_counts(circuit)
    assert counts.rotations == 3
    assert counts.rotation_depth == 2
    assert counts.measurements == 3
    toffoli = logical_counts(Circuit(3, (gate("ccx", 0, 1, 2),)))
    assert (toffoli.t_gates, toffoli.rotations) == (7, 0)
    assert logical_counts(Circuit(2, (gate("h", 0), gate("cx", 0, 1)))) == LogicalCounts(2, 0, 0, 0, 2)


def test_a_layer_of_qaoa() -> None:
    """A rotation each term and each qubit."""
    layer = qaoa_circuit(Polynomial(6, {(i, j): 1.0 for i in range(6) for j in range(i)}), 1)
    counts = logical_counts(layer.bind({"gamma0": 0.37, "beta0": 0.21}))
    assert counts.rotations == 15 + 6 + 6  # couplings, fields of x = (1 - s)/2, mixer


def test_bad_input() -> None:
    with pytest.raises(InputError, match="bind the angles"):
        logical_counts(Circuit(1, (Gate("rx", (0,), (Angle(parameter="a"),)),)))
    with pytest.raises(InputError, match="Clifford"):
        estimate(Circuit(1, (gate("h", 0),)))
    with pytest.raises(InputError, match=r"did you mean.*qubit_gate_ns_e3"):
        estimate(Circuit(1, (gate("t", 0),)), "qubit_gate_ns_e")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="error budget 2"):
        estimate(Circuit(1, (gate("t", 0),)), error_budget=2)


def test_estimates_follow_the_counts() -> None:
    pytest.importorskip("qdk")
    few = estimate(Circuit(4, tuple(gate("rz", q, angles=[0.1]) for q in range(4))))
    layers = [gate("h", q) if k % 2 else gate("rz", q, angles=[0.1]) for k in range(40) for q in range(4)]
    deep = estimate(Circuit(4, tuple(layers)))
    assert deep.runtime_s > few.runtime_s
    assert deep.t_states > few.t_states
    assert estimate(Circuit(4, tuple(layers)), "qubit_gate_ns_e4").physical_qubits < deep.physical_qubits
