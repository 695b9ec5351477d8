"""Problems for annealers: pairs, chains and coefficients that keep every cost; compile, simulate, submit, refuse."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_runner import run, tree
from test_engines import random_polynomial

from trine.devices import QuantumDevice, all_devices, load_device
from trine.devices.errors import InputError
from trine.quantum.annealing.embedding import embed, programmed
from trine.quantum.annealing.machines import (
    COUPLING_RANGE,
    H_RANGE,
    J_RANGE,
    access_s,
    annealer_of,
    family_of,
    lattice,
    scale_of,
)
from trine.quantum.annealing.model import in_pairs
from trine.quantum.annealing.run import annealed
from trine.quantum.polynomial import Polynomial, all_bits
from trine.quantum.problem import Stated, problems, write_problem

pytest.importorskip("minorminer")
pytest.importorskip("dwave.system")

MACHINES = ("dwave_advantage", "dwave_advantage2")


@pytest.fixture(autouse=True)
def own_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRINE_LEDGER", str(tmp_path / "ledger" / "jobs.sqlite"))


def machine(name: str) -> QuantumDevice:
    found = load_device(name)
    assert isinstance(found, QuantumDevice)
    return found


def stated(name: str, folder: Path) -> Path:
    path = folder / f"{name}.json"
    write_problem(Stated(problems()[name], problems()[name].example()), path)
    return path


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """RNA stems on Advantage2: chains of more than one qubit."""
    place = tmp_path_factory.mktemp("annealing")
    words = ("--device", "dwave_advantage2", "-o", place / "out", "--shots", "200")
    answer = run("compile", stated("rna_stems", place), *words)
    assert answer.code == 0, answer.err
    return place / "out"


def record(*words: object) -> Any:
    answer = run(*words, "--json")
    assert answer.code == 0, answer.err
    return json.loads(answer.out)


@pytest.mark.parametrize(("bits", "degree"), [(5, 2), (6, 3), (7, 4), (6, 6)])
def test_pairs_cost_what_the_polynomial_costs(bits: int, degree: int) -> None:
    """Lowest over the auxiliary bits, and reached where they are their products."""
    cost = random_polynomial(bits, degree, bits)
    pairs = in_pairs(cost)
    assert pairs.polynomial.degree <= 2
    rows, extra = all_bits(bits), len(pairs.products)
    np.testing.assert_allclose(pairs.polynomial.energy(pairs.extended(rows)), cost.energy(rows), atol=1e-9)
    if bits + extra <= 17:
        every = pairs.polynomial.diagonal().reshape(1 << extra, 1 << bits)
        np.testing.assert_allclose(every.min(axis=0), cost.diagonal(), atol=1e-9)
    assert (extra == 0) == (degree <= 2)
    assert in_pairs(Polynomial(3, {(): 2.0})).polynomial.terms == {(): 2.0}


@pytest.mark.parametrize("name", MACHINES)
def test_the_machine_computes_the_cost(name: str) -> None:
    """All coefficients in their ranges, chains whole and disjoint, costs equal for every string."""
    annealer, cost = annealer_of(machine(name)), random_polynomial(9, 2, 5)
    found = embed(cost, annealer, 0)
    graph = lattice(annealer)
    used = [q for chain in found.chains.values() for q in chain]
    assert len(used) == len(set(used)) == found.qubits > 9
    assert all(graph.has_edge(a, b) for a, b in found.j)
    rows = all_bits(9)
    np.testing.assert_allclose(found.costs(rows), cost.energy(rows), atol=1e-9)
    assert H_RANGE[0] <= min(found.h.values()) <= max(found.h.values()) <= H_RANGE[1]
    assert J_RANGE[0] <= min(found.j.values()) <= max(found.j.values()) <= J_RANGE[1]
    load = [sum(v for pair, v in found.j.items() if q in pair) for q in used]
    assert COUPLING_RANGE[0] <= min(load) <= max(load) <= COUPLING_RANGE[1]
    assert embed(cost, annealer, 0) == found
    with pytest.raises(InputError, match="do not embed"):
        programmed(cost, {**found.chains, 0: found.chains[1]}, annealer)


def test_scale_reaches_a_range() -> None:
    assert scale_of({0: 8.0}, {}) == 0.5
    assert scale_of({0: 1.0}, {(0, 1): -4.0}) == 0.5
    assert scale_of({}, {(0, 1): 0.25}) == 4.0
    assert scale_of({}, {(0, k): -2.0 for k in range(1, 19)}) == 0.5  # 18 couplers: -36 of -18
    assert scale_of({0: 0.0}, {}) == 1.0


def test_broken_chains_take_their_majority() -> None:
    """Chains whose qubits repel each other break; samples are still of the problem's bits."""
    from dataclasses import replace

    cost = random_polynomial(8, 2, 3)
    found = embed(cost, annealer_of(machine("dwave_advantage")), 0)
    inside = {q: v for v, chain in found.chains.items() for q in chain}
    loose = replace(found, j={p: v if inside[p[0]] != inside[p[1]] else 2.0 for p, v in found.j.items()})
    samples, broken, how = annealed(loose, 8, 50, 1)
    assert samples.bits.shape[1] == 8
    assert samples.shots == 50
    assert broken > 0.2
    assert "chains broken" in how
    whole, none, _ = annealed(found, 8, 50, 1)
    assert none < broken
    assert cost.energy(whole.bits).min() == pytest.approx(cost.diagonal().min())


def test_compiling_states_what_it_takes(compiled: Path, tmp_path: Path) -> None:
    found = json.loads((compiled / "deployment.json").read_text())
    assert found["target"] == "annealing"
    assert [p["name"] for p in found["passes"]] == ["encode", "pairs", "embed"]
    assert [p["differing"] for p in found["parity"]] == [0, 0]
    cost = {c["name"]: c for c in found["cost"]}
    assert cost["chains"]["value"] == 9
    assert cost["qubits"]["value"] > 9
    assert cost["longest_chain"]["value"] >= 2
    assert cost["cost_blur"]["value"] > 0
    assert "2026" in cost["price_usd"]["source"]
    line = found["passes"][2]["changed"]
    assert "chain strength" in line
    assert "below the control error" in line
    plan = json.loads((compiled / "plan.json").read_text())
    assert plan["worth_it"] is False
    assert "known without a quantum machine" in plan["verdict"]
    dimod = pytest.importorskip("dimod")
    model = dimod.BinaryQuadraticModel.from_serializable(json.loads((compiled / "bqm.json").read_text()))
    problem = problems()["rna_stems"]
    bits = problem.exact(problem.example()).bits
    assert model.energy(dict(enumerate(bits))) == pytest.approx(-29.5)
    again = ("--device", "dwave_advantage2", "-o", tmp_path / "out", "--shots", "200")
    assert run("compile", compiled.parent / "rna_stems.json", *again).code == 0
    for path in sorted(compiled.iterdir()):
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes(), path.name


def test_simulated_on_its_chains(compiled: Path, tmp_path: Path) -> None:
    found = record("simulate", compiled, "--plots", tmp_path / "plots")["results"]
    rows = {row["sampler"]: row for row in found["samplers"]}
    assert rows.keys() == {"annealer", "random", "greedy", "annealing", "tabu", "exact"}
    assert {row["shots"] for row in rows.values()} == {200}
    assert rows["annealer"]["best"] == pytest.approx(-29.5)
    assert "of chains broken" in rows["annealer"]["method"]
    assert 0 <= found["chain_break_fraction"] < 0.5
    assert [p.name for p in (tmp_path / "plots").iterdir()] == ["costs.png"]
    assert "annealer: " in run("simulate", compiled).out


@pytest.mark.parametrize("provider", ["dwave-local", "dwave-mock"])
def test_submitted(provider: str, compiled: Path) -> None:
    found = record("submit", compiled, "--provider", provider, "--shots", "50", "--wait")
    assert found["state"] == "done"
    assert found["results"]["samplers"][0]["sampler"] == "annealer"
    assert found["results"]["optimum"]["cost"] == pytest.approx(-29.5)


def test_products_of_three_and_more(tmp_path: Path) -> None:
    """Auxiliary bits on the machine, none in the answers."""
    source = stated("unfolding", tmp_path)
    made = record("compile", source, "--device", "dwave_advantage2", "-o", tmp_path / "out", "--shots", "60")
    assert "auxiliary (from degree 3)" in made["passes"][1]["changed"]
    for found in (
        record("simulate", tmp_path / "out"),
        record("submit", tmp_path / "out", "--provider", "dwave-local", "--wait"),
    ):
        first = found["results"]["samplers"][0]
        assert (first["sampler"], first["shots"]) == ("annealer", 60)
        assert len(found["results"]["best"]["bits"]) == 9


def test_verify(compiled: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(compiled, copy)
    answer = run("verify", copy)
    assert answer.code == 0
    assert "machine's coefficients with whole chains" in answer.out
    (copy / "embedding.json").write_text((copy / "embedding.json").read_text().replace("12", "13", 1))
    answer = run("verify", copy)
    assert answer.code == 1
    assert "embedding.json: changed" in answer.err


def test_check_says_what_it_takes(tmp_path: Path) -> None:
    found = record("check", stated("rna_stems", tmp_path), "--device", "dwave_advantage")
    (fit,) = found["fit"]
    assert fit["how"] == "embedded"
    assert 9 < fit["used"] < 40
    assert fit["available"] == 5000


def test_too_large_or_too_dense(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More bits than qubits; more pairs than any chains can join; both before anything is written."""
    from trine.quantum.annealing import embedding

    qubo, before = problems()["qubo"], None
    long = [0.0] * 4500
    write_problem(
        Stated(qubo, qubo.parse({"linear": long, "pairs": [], "couplings": []})), tmp_path / "long.json"
    )
    pairs = [[i, j] for i in range(200) for j in range(i)]
    dense = {"linear": [1.0] * 200, "pairs": [sorted(p) for p in pairs], "couplings": [1.0] * len(pairs)}
    write_problem(Stated(qubo, qubo.parse(dense)), tmp_path / "dense.json")
    before = tree(tmp_path)
    for name, message in (
        ("long", "4500 bits after products"),
        ("dense", "no embedding of 200 bits with 19900 couplings into Zephyr Z12"),
    ):
        for verb in (("check",), ("compile", "-o", tmp_path / "out")):
            answer = run(verb[0], tmp_path / f"{name}.json", "--device", "dwave_advantage2", *verb[1:])
            assert answer.code == 2
            assert message in answer.err
    assert tree(tmp_path) == before
    assert embedding.MANY < 200  # dense problems do not wait for minorminer


REFUSED = {
    "layers": (("compile", "{p}", "--layers", "2"), "--layers: for circuits"),
    "angles": (("compile", "{p}", "--angles", "ramp", "--mixer", "x"), "--angles, --mixer: for circuits"),
    "reads": (("compile", "{p}", "--shots", "20000"), "1 to 10,000"),
    "mitigation": (("simulate", "{out}", "--mitigate", "zne"), "--mitigate: for circuits"),
    "circuits": (("submit", "{out}", "--provider", "local"), "compiled for an annealer"),
    "mitigated": (("submit", "{out}", "--provider", "dwave-mock", "--mitigate", "zne"), "corrects circuits"),
    "credentials": (("submit", "{out}", "--provider", "dwave"), "DWAVE_API_TOKEN"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what: str, compiled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DWAVE_API_TOKEN", raising=False)
    monkeypatch.setenv("DWAVE_CONFIG_FILE", str(tmp_path / "none.conf"))
    (tmp_path / "none.conf").write_text("")
    words, message = REFUSED[what]
    filled = [str(compiled) if w == "{out}" else str(compiled.parent / "rna_stems.json") if w == "{p}" else w
              for w in words]  # fmt: skip
    if words[0] == "compile":
        filled += ["--device", "dwave_advantage2", "-o", str(tmp_path / "out")]
    answer = run(*filled)
    assert answer.code == 2, answer.err
    assert message in answer.err
    assert "Traceback" not in answer.err
    assert not (tmp_path / "out").exists()
    if words[0] == "submit":
        assert record("jobs")["jobs"] == []


def test_a_budget(compiled: Path) -> None:
    answer = run("submit", compiled, "--provider", "dwave", "--max-cost", "0.001")
    assert answer.code == 1
    assert "nothing was sent" in answer.err
    assert record("jobs")["jobs"] == []


def test_analogue_machines_are_refused_with_what_would_do(tmp_path: Path) -> None:
    answer = run("check", stated("docking", tmp_path), "--device", "quera_aquila")
    assert answer.code == 2
    assert "runs no gates" in answer.err
    assert "dwave_advantage, dwave_advantage2" in answer.err
    annealers = [d.name for d in all_devices("quantum") if isinstance(d, QuantumDevice) and family_of(d)]
    assert annealers == list(MACHINES)


def test_time_on_the_machine() -> None:
    """Programming takes 14 ms; a read of many qubits takes longer than one of few."""
    few, many = access_s(10, 1000), access_s(5000, 1000)
    assert 0.1 < few.value < many.value < 0.3
    assert access_s(10, 1).value == pytest.approx(0.0142, abs=2e-4)
