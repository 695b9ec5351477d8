"""The conformance suite: every provider that needs no network samples the right distribution, the same each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from random_circuits import random_circuit

from trine.devices.errors import InputError
from trine.quantum import jobs
from trine.quantum.circuit import Circuit, gate
from trine.quantum.circuits.placing import placed
from trine.quantum.circuits.qaoa import angle_values, qaoa_circuit
from trine.quantum.ledger import Ledger
from trine.quantum.mitigation.readout import calibration
from trine.quantum.polynomial import Polynomial
from trine.quantum.problem import problems
from trine.quantum.providers import provider_named, providers
from trine.quantum.samples import Angles
from trine.quantum.statevector import run_circuit
from trine.quantum.work import Qaoa, Work

EXACT = ("local", "qiskit", "aer", "pennylane", "braket-local")
NOISY = ("aer:ibm_heron_r2", "ibm-fake:fez", "ibm-fake:manila")
ANNEALERS = ("dwave-local", "dwave-local:tabu", "dwave-mock", "dwave-mock:pegasus")
SHOTS = 4000


def distribution(circuit: Circuit) -> np.ndarray:
    """Exact chances of what is read [2^len(read)]."""
    chances = np.abs(run_circuit(circuit)) ** 2
    index = np.arange(len(chances))
    read = sum(((index >> q) & 1) << k for k, q in enumerate(circuit.read))
    return np.bincount(read, chances, minlength=1 << len(circuit.read))


def drawn(samples: object, width: int) -> np.ndarray:
    """Shares of all strings [2^width]."""
    index = samples.bits.astype(np.int64) @ (1 << np.arange(width))  # type: ignore[attr-defined]
    return np.bincount(index, samples.counts, minlength=1 << width) / samples.shots  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", EXACT)
def test_distribution(name: str) -> None:
    """Total variation within what 4,000 shots leave to chance; columns in the order asked for."""
    generator = np.random.default_rng(6)
    circuits = [random_circuit(generator, 4, 20) for _ in range(3)]
    circuits.append(Circuit(3, (gate("x", 0), gate("ry", 2, angles=[1.0])), measured=(2, 0)))
    outcome = jobs.connect(name).fetch("", Work(SHOTS, tuple(circuits), seed=5))
    for circuit, samples in zip(circuits, outcome.samples, strict=True):
        assert samples.shots == SHOTS
        difference = np.abs(drawn(samples, len(circuit.read)) - distribution(circuit)).sum() / 2
        assert difference < 3 * np.sqrt(2 ** len(circuit.read) / SHOTS) / 2


@pytest.mark.parametrize("name", [*EXACT, *NOISY])
def test_the_same_seed_gives_the_same(name: str) -> None:
    circuit = Circuit(3, (gate("h", 0), gate("cx", 0, 1), gate("cx", 1, 2)))
    connection = jobs.connect(name)
    first, again = (connection.fetch("", Work(200, (circuit,), seed=3)).samples[0] for _ in range(2))
    assert first.strings() == again.strings()
    other = connection.fetch("", Work(200, (circuit,), seed=4)).samples[0]
    assert other.strings() != first.strings()


@pytest.mark.parametrize("name", NOISY)
def test_noise_is_small_and_there(name: str) -> None:
    circuit = Circuit(4, (gate("x", 0), gate("h", 1), gate("cx", 1, 2), gate("cx", 2, 3)))
    samples = jobs.connect(name).fetch("", Work(SHOTS, (circuit,), seed=1)).samples[0]
    difference = np.abs(drawn(samples, 4) - distribution(circuit)).sum() / 2
    right = drawn(samples, 4)[distribution(circuit) > 0].sum()
    assert 0.7 < right < 0.9999
    assert difference < 0.3


def test_calibrations_read_the_qubits_of_the_circuit() -> None:
    """Bit by bit: result k of the calibration is the machine's qubit that result k of the circuit comes from."""
    circuit = Circuit(
        3, (gate("h", 0), gate("cx", 0, 1), gate("cx", 1, 2), gate("cx", 0, 2)), measured=(2, 0, 1)
    )
    connection = jobs.connect("ibm-fake:fez")
    first = placed(circuit, connection.machine, 0, 26)  # type: ignore[attr-defined]
    _, ones = calibration(3, circuit.read)
    assert placed(ones, connection.machine, 0, 26, first).read == first.read  # type: ignore[attr-defined]
    outcome = connection.fetch("", Work(50, (circuit, ones), scales=(1.0, 1.0)))
    told = outcome.metadata["circuits"]
    assert told[0]["placed"] != told[1]["placed"] == "the same qubits"


def test_wide_circuits_share_states_and_say_so() -> None:
    """18 qubits of a ring on Fez, five states: the best of the samples is near the ring's optimum, clusters counted."""
    ring = Polynomial.from_spins(18, {tuple(sorted((k, (k + 1) % 18))): 0.5 for k in range(18)})
    angles = Angles((0.785398,), (0.392699,))
    circuit = qaoa_circuit(ring, 1).bind(angle_values(angles))
    work = Work(400, (circuit,), qaoa=Qaoa(ring, angles), seed=3)
    outcome = jobs.connect("ibm-fake:fez,states=5").fetch("", work)
    (about,) = outcome.metadata["circuits"]
    assert about["states"] <= 5
    assert about["effective_shots_at_least"] < 400
    mean = float(np.average(ring.energy(outcome.samples[0].bits), weights=outcome.samples[0].counts))
    assert about["mean_cost"] == pytest.approx(mean)
    assert abs(mean) > 1.5
    assert 0 < about["mean_cost_error"] < 2.5


@pytest.mark.parametrize("name", ANNEALERS)
def test_annealers_find_the_optimum(name: str) -> None:
    problem = problems()["maxcut"]
    encoding = problem.encode(problem.example())
    outcome = jobs.connect(name).fetch("", Work(50, polynomial=encoding.polynomial, seed=2))
    assert outcome.samples[0].shots == 50
    assert encoding.polynomial.energy(outcome.samples[0].bits).min() == -4
    if name.startswith("dwave-mock"):
        assert outcome.metadata["qubits"] >= 5
        assert outcome.usage["machine_s"] > 0


def test_qaoa_through_the_engine_is_the_circuit() -> None:
    problem = problems()["maxcut"]
    polynomial = problem.encode(problem.example()).polynomial
    angles = Angles((0.4, 0.6), (-0.5, -0.2))
    circuit = qaoa_circuit(polynomial, 2).bind(angle_values(angles))
    for qaoa in (None, Qaoa(polynomial, angles)):
        samples = jobs.connect("local").fetch("", Work(SHOTS, (circuit,), qaoa=qaoa, seed=1)).samples[0]
        assert np.abs(drawn(samples, 5) - distribution(circuit)).sum() / 2 < 0.07


@pytest.mark.parametrize("name", [*EXACT, "dwave-local", "dwave-mock", "ibm-fake:manila"])
def test_through_the_ledger(name: str, tmp_path: Path) -> None:
    problem = problems()["maxcut"]
    polynomial = problem.encode(problem.example()).polynomial
    circuit = qaoa_circuit(polynomial, 1).bind({"gamma0": 0.4, "beta0": -0.4})
    ledger = Ledger(tmp_path / "ledger.sqlite")
    work = (
        Work(100, (circuit,), seed=1)
        if provider_named(name)[0].runs == "circuit"
        else Work(100, (), polynomial)
    )
    (job,) = jobs.wait(ledger, [ledger.prepare(work, name, "none", "a")])
    assert job.state == "done"
    assert ledger.outcome(job).samples[0].shots == 100


def test_what_cannot_run_is_said() -> None:
    wide = Work(1, (Circuit(60, ()),))
    for name in EXACT:
        assert "60 qubits need 17,179,869,184 GiB" in jobs.connect(name).obstacles(wide)[0]
    assert (
        jobs.connect("aer").obstacles(Work(1, wide.circuits, options={"method": "matrix_product_state"}))
        == []
    )
    assert (
        "method 'magic'"
        in jobs.connect("aer").obstacles(Work(1, wide.circuits, options={"method": "magic"}))[0]
    )
    cubic = Work(1, polynomial=problems()["maxcut"].encode(problems()["maxcut"].example()).polynomial)
    assert jobs.connect("local").obstacles(cubic) == [
        "local runs circuits; for a polynomial take dwave-local"
    ]
    assert jobs.connect("dwave-local").obstacles(wide) == ["dwave-local takes a polynomial, not circuits"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("locale", "did you mean local"),
        ("local:x", "takes nothing after the colon"),
        ("ibm-fake", "needs a machine"),
        ("ibm-fake:torin", "did you mean torino"),
        ("ibm-fake:fez,states=0", "states=N takes 1 to 10,000"),
        ("ibm-fake:fez,magic", "'magic' is no option"),
        ("aer:loihi1", "name a quantum one"),
        ("dwave-local:magic", "annealing, tabu"),
    ],
)
def test_bad_names(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        jobs.connect(name)


def test_every_provider_has_a_record() -> None:
    for name, provider in providers().items():
        assert provider.name == name
        assert provider.title
        assert provider.runs in ("circuit", "polynomial")
