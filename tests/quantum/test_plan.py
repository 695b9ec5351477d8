"""Prices against the worked example, fidelity, shots, budget and verdict."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from trine.devices import QuantumDevice, load_device
from trine.devices.errors import AnswerIsNo, InputError
from trine.quantum.circuits.qaoa import angle_values, qaoa_circuit
from trine.quantum.circuits.transpile import Transpiled, transpile
from trine.quantum.plan.fidelity import fidelity
from trine.quantum.plan.plan import Odds, enforce, plan
from trine.quantum.plan.price import Usage, hqc, machine_s, price, prices
from trine.quantum.plan.shots import for_precision, to_see
from trine.quantum.problem import problems
from trine.quantum.samples import Angles

# TACE-AS, one layer, 1,000 shots: quantum fact sheet, section 9, computed from the sellers' rules.
TACE = Usage(1000, 72, 114, 24, 24, shot_s=50e-6)


def machine(name: str) -> QuantumDevice:
    device = load_device(name)
    assert isinstance(device, QuantumDevice)
    return device


@pytest.mark.parametrize(
    ("name", "seller", "expected"),
    [("ionq_forte", "azure", 139.64), ("ionq_forte", "braket", 80.30), ("rigetti_ankaa3", "braket", 1.20)],
)
def test_worked_example(name: str, seller: str, expected: float) -> None:
    found = price(machine(name), seller, TACE)
    assert found.estimate is not None
    assert found.estimate.value == pytest.approx(expected, abs=0.005)


def test_quantinuum_and_ibm() -> None:
    assert hqc(TACE) == pytest.approx(295.4)
    seconds = machine_s(machine("ibm_heron_r2"), TACE)
    assert seconds is not None
    assert seconds.value == pytest.approx(2.3, abs=0.05)
    assert price(machine("ibm_heron_r2"), "ibm", TACE).estimate.value == pytest.approx(
        96 / 60 * seconds.value
    )  # type: ignore[union-attr]


def test_minimum_and_order() -> None:
    one = replace(TACE, shots=1)
    assert price(machine("ionq_forte"), "azure", one).estimate.value == 25.7899  # type: ignore[union-attr]
    assert [p.seller for p in prices(machine("ionq_forte"), TACE)] == ["braket", "azure"]
    assert price(machine("iqm_garnet"), "scaleway", TACE).currency == "EUR"


def made(name: str, layers: int = 1) -> Transpiled:
    problem = problems()["maxcut"]
    circuit = qaoa_circuit(problem.encode(problem.example()).polynomial, layers)
    return transpile(
        circuit.bind(angle_values(Angles((0.4,) * layers, (0.3,) * layers))), machine(name), (0,)
    )


def test_fidelity_of_one_gate_is_its_error() -> None:
    device, circuit = machine("ionq_forte"), made("ionq_forte")
    found = fidelity(device, replace(circuit, one_qubit_gates=0, two_qubit_gates=1))
    assert found is not None
    assert found.value == pytest.approx(1 - 0.00464)
    deeper = fidelity(device, made("ionq_forte", 3))
    shallow = fidelity(device, circuit)
    assert deeper is not None
    assert shallow is not None
    assert deeper.value < shallow.value
    assert shallow.low <= shallow.value <= shallow.high


def test_waiting_costs() -> None:
    device, circuit = machine("ibm_heron_r2"), made("ibm_heron_r2")
    assert circuit.duration_s is not None
    longer = replace(circuit, duration_s=circuit.duration_s + 100e-6)
    kept, less = fidelity(device, circuit), fidelity(device, longer)
    assert kept is not None
    assert less is not None
    rate = (1 / 282.820799e-6 + 1 / 144.229488e-6) / 2
    assert less.value / kept.value == pytest.approx(math.exp(-5 * 100e-6 * rate), rel=0.05)


def test_shots() -> None:
    assert for_precision(2.0, 0.1) == 400
    assert to_see(0.5) == 7
    assert (1 - 0.01) ** (to_see(0.01) or 0) <= 0.01
    assert to_see(0.0) is None
    with pytest.raises(InputError, match="precision is 0"):
        for_precision(1.0, 0.0)


@pytest.mark.parametrize(
    ("odds", "words", "worth"),
    [
        (
            Odds(0.5, 1 / 32, 1 / 32, "all 32 bit strings"),
            "not worth it: the optimum is known without a quantum machine (all 32 bit strings)",
            False,
        ),
        (Odds(1 / 32, 1 / 32, 1 / 32), "no better than random", False),
        (Odds(0.5, 1 / 32, 1 / 32), "may be worth it", True),
        (Odds(1e-4, 1e-9, 1e-9), "too few shots", False),
        (Odds(None, 1e-9, None), "nobody can tell", False),
    ],
)
def test_verdict(odds: Odds, words: str, worth: bool) -> None:
    found = plan(machine("ionq_forte"), made("ionq_forte"), 1000, odds)
    assert words in found.verdict
    assert found.worth is worth


def test_budget() -> None:
    found = prices(machine("ionq_forte"), TACE)
    assert enforce(None, found) is found[0]
    assert enforce(81.0, found) is found[0]
    with pytest.raises(
        AnswerIsNo, match=r"--max-cost 80 USD: braket would take up to 80.30 USD.*nothing was sent"
    ):
        enforce(80.0, found)
    with pytest.raises(AnswerIsNo, match=r"139\.64"):
        enforce(100.0, found, "azure")
    with pytest.raises(AnswerIsNo, match="EUR, which is not converted"):
        enforce(100.0, prices(machine("aqt_ibex"), TACE))
