"""Ways to find angles, through the command line: each compiles, proves itself and says where it does not apply."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_runner import run, tree
from test_angles import HEAWOOD, maxcut

from trine.compilers.deploy import deploy
from trine.compilers.target import Job
from trine.devices import load_device
from trine.devices.errors import InputError
from trine.quantum.angle_choice import find_angles, obstacle, usual
from trine.quantum.angles.fixed import fixed_angles, fixed_for, regular_cut
from trine.quantum.angles.recursive import Reduction, Step, recursive
from trine.quantum.angles.transfer import transferred
from trine.quantum.ansatz import Ansatz
from trine.quantum.engines.depth_one import DepthOneEngine
from trine.quantum.engines.full import FullEngine
from trine.quantum.engines.state import StateEngine
from trine.quantum.lowering import AnglesBy, Program, QuantumOptions, encode
from trine.quantum.polynomial import Polynomial, all_bits
from trine.quantum.problem import Stated, problems, write_problem
from trine.quantum.proving import parities
from trine.quantum.samples import Samples
from trine.quantum.target import TARGET, checkpoint_of

DEVICE = "ibm_heron_r2"


@pytest.fixture(autouse=True)
def own_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRINE_LEDGER", str(tmp_path / "ledger" / "jobs.sqlite"))


def cut(nodes: int, edges: list[tuple[int, int]], weights: list[float] | None = None) -> Stated:
    problem = problems()["maxcut"]
    data: dict[str, Any] = {"nodes": nodes, "edges": [sorted(e) for e in edges]}
    return Stated(problem, problem.parse(data | ({"weights": weights} if weights else {})))


def circulant(nodes: int) -> list[tuple[int, int]]:
    """Each node with its neighbours and the one across: 3-regular."""
    return [(i, (i + 1) % nodes) for i in range(nodes)] + [(i, i + nodes // 2) for i in range(nodes // 2)]


def example(name: str) -> Stated:
    return Stated(problems()[name], problems()[name].example())


def program(stated: Stated, options: QuantumOptions) -> Program:
    return encode(Program(stated, core=0 if options.angles == "recursive" else None), options)


@pytest.fixture
def k33(tmp_path: Path) -> Path:
    """Three nodes joined to three others: 3-regular without triangles, so the fixed angles of p = 1 are its optimum."""
    path = tmp_path / "k33.json"
    write_problem(cut(6, [(i, j) for i in range(3) for j in range(3, 6)]), path)
    return path


@pytest.fixture
def heawood(tmp_path: Path) -> Path:
    path = tmp_path / "heawood.json"
    write_problem(cut(14, HEAWOOD), path)
    return path


def record(*words: object) -> Any:
    answer = run(*words, "--json")
    assert answer.code == 0, answer.err
    return json.loads(answer.out)


MEAN = {  # of 9 edges; 4.5 are cut by chance
    "fixed": -9 * 0.6925,
    "transfer": -9 * 0.6925,
    "optimise": -9 * 0.6925,
    "tuned": -5.0133,
    "ramp": -5.0133,
    "warm-start": -7.7357,
    "recursive": -8.6925,
}


@pytest.mark.parametrize("by", sorted(MEAN))
def test_each_way_compiles_and_proves_itself(by: str, k33: Path, tmp_path: Path) -> None:
    found = record("compile", k33, "--device", DEVICE, "-o", tmp_path / "out", "--angles", by)
    assert [p["differing"] for p in found["parity"]] == [0] * (4 if by == "recursive" else 3)
    angles = json.loads((tmp_path / "out" / "angles.json").read_text())
    assert angles["convention"].startswith("exp(-i gamma C)")
    assert angles["expectation"] == pytest.approx(MEAN[by], abs=1e-3)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["k33.json", "out"]  # no checkpoint is left


def test_recursive_answers_are_of_the_whole_problem(heawood: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ("--angles", "recursive", "--core", 5)
    made = record("compile", heawood, "--device", DEVICE, "-o", out, *words)
    angles = json.loads((out / "angles.json").read_text())["recursive"]
    assert len(angles["kept"]) == 5
    assert len(angles["fixed"]) == 9
    assert "fixed 9 of 14 spins" in next(p["changed"] for p in made["passes"] if p["name"] == "angles")
    assert {c["name"]: c["value"] for c in made["cost"]}["qubits"] == 5
    found = record("simulate", out, "--shots", 300, "--mitigate", "readout")
    rows = {row["sampler"]: row for row in found["results"]["samplers"]}
    assert rows["qaoa"]["best"] == rows["qaoa, noisy"]["best"] == -21
    assert rows["qaoa"]["optimum"] > 10 * rows["random"]["optimum"]
    assert len(found["results"]["best"]["bits"]) == 14
    better = found["results"]["mitigated"]
    assert better["circuits"] == 3
    assert better["mean"] < better["mean_raw"]
    assert "after readout (3 circuits)" in run("simulate", out, "--shots", 50, "--mitigate", "readout").out
    sent = record("submit", out, "--provider", "local", "--shots", 300, "--wait")["results"]
    assert sent["samplers"][0]["best"] == -21
    assert run("verify", out).code == 0


def test_a_device_smaller_than_the_problem_takes_its_core(tmp_path: Path) -> None:
    stated = cut(26, circulant(26))
    write_problem(stated, tmp_path / "p.json")
    words = ("compile", tmp_path / "p.json", "--device", "iqm_garnet", "-o", tmp_path / "out")
    refused = run(*words)
    assert refused.code == 2
    assert "26 qubits needed" in refused.err
    assert run(*words, "--angles", "recursive").code == 0
    rows = record("simulate", tmp_path / "out", "--shots", 200)["results"]["samplers"]
    best = stated.problem.greedy(stated.instance)
    assert rows[0]["best"] <= 0.9 * stated.problem.cost(stated.instance, best)


def test_cvar_lowers_the_tail_not_the_mean(tmp_path: Path) -> None:
    source, found = tmp_path / "p.json", {}
    write_problem(example("rna_stems"), source)
    for share in ("1", "0.1"):
        words = ("--angles", "optimise", "--cvar", share, "--layers", 2)
        assert run("compile", source, "--device", DEVICE, "-o", tmp_path / share, *words).code == 0
        found[share] = json.loads((tmp_path / share / "angles.json").read_text())
        assert found[share]["cvar"] == float(share)
    assert "CVaR 0.1" in found["0.1"]["source"]
    assert found["1"]["expectation"] < found["0.1"]["expectation"]
    engine = FullEngine(program(example("rna_stems"), QuantumOptions()).encoded.polynomial)
    from trine.quantum.work import angles_from

    tails = {share: engine.cvar(angles_from(data), 0.1) for share, data in found.items()}
    assert tails["0.1"] < tails["1"]


REFUSED = {
    "not a cut": ("docking", ("--angles", "fixed"), "no MaxCut", "transfer, ramp, tuned, optimise, warm-start, rec"),
    "a ring": ("maxcut", ("--angles", "fixed"), "no fixed angles for degree 2", "transfer"),
    "too deep": ("k33", ("--angles", "fixed", "--layers", "12"), "no fixed angles for degree 3", "transfer"),
    "mixer": ("side_chains", ("--angles", "warm-start", "--mixer", "xy"), "mixer x,", "ramp, tuned, optimise"),
    "recursive xy": ("side_chains", ("--angles", "recursive", "--mixer", "xy"), "mixer x,", "ramp, tuned"),
    "flip": ("k33", ("--mixer", "flip"), "is not made of such", ""),
    "cvar": ("k33", ("--angles", "fixed", "--cvar", "0.2"), "no samples", "tuned, optimise, warm-start"),
    "cvar 0": ("k33", ("--cvar", "0"), "above 0", ""),
    "core alone": ("k33", ("--core", "3"), "--angles recursive leaves", ""),
    "core": ("k33", ("--angles", "recursive", "--core", "6"), "nothing is left to fix", "fixed"),
    "core too large": ("k33", ("--angles", "recursive", "--core", "21"), "1 to 20", ""),
    "resume": ("k33", ("--resume",), "no optimisation was interrupted", ""),
    "resume a ramp": ("k33", ("--angles", "ramp", "--resume"), "keeps no checkpoint", "optimise, warm-start"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_does_not_apply_says_what_does(what: str, tmp_path: Path, k33: Path) -> None:
    name, words, reason, others = REFUSED[what]
    source = tmp_path / f"{name}.json"
    if name != "k33":
        write_problem(example(name), source)
    before = tree(tmp_path)
    answer = run("compile", source, "--device", DEVICE, "-o", tmp_path / "out", *words)
    assert answer.code == 2, answer.err
    assert reason in answer.err
    assert others in answer.err.partition("applies here: ")[2]
    assert tree(tmp_path) == before


def test_an_interrupted_optimisation_is_resumed(tmp_path: Path) -> None:
    """Stopped at its fourth evaluation; the second run gives the bytes of one never stopped."""
    source = tmp_path / "ring.json"
    write_problem(example("maxcut"), source)

    class Stopped(Exception):
        pass

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "optimise" and done == 4:
            raise Stopped

    options = QuantumOptions(layers=2, angles="optimise")
    job = Job(source, load_device(DEVICE), tmp_path / "out", options=options, progress=stop)
    with pytest.raises(Stopped):
        deploy(job, TARGET)
    left = checkpoint_of(job)
    assert len(left.read_text().splitlines()) == 5
    words = ("compile", source, "--device", DEVICE, "--layers", 2, "--angles", "optimise")
    refused = run(*words, "-o", tmp_path / "out")
    assert refused.code == 2
    assert "--resume goes on with it" in refused.err
    other = run(*words, "-o", tmp_path / "out", "--resume", "--cvar", "0.5")
    assert other.code == 2
    assert "another optimisation" in other.err
    assert run(*words, "-o", tmp_path / "out", "--resume").code == 0
    assert not left.exists()
    assert run(*words, "-o", tmp_path / "whole").code == 0
    assert (tmp_path / "out" / "angles.json").read_bytes() == (
        tmp_path / "whole" / "angles.json"
    ).read_bytes()


def test_engines_by_size() -> None:
    """A state, the formula of one layer, or nothing; the feasible strings where the mixer keeps to them."""
    wide = program(cut(40, circulant(40)), QuantumOptions())
    assert isinstance(wide.engine(1), DepthOneEngine)
    assert usual(wide, QuantumOptions()) == "optimise"
    assert usual(wide, QuantumOptions(layers=2)) == "ramp"
    for by in ("optimise", "tuned", "warm-start"):
        assert "40.0 GiB" not in obstacle(by, wide, QuantumOptions(layers=2))
        assert "it needs a state" in obstacle(by, wide, QuantumOptions(layers=2))
    assert "a formula for one layer" in obstacle("recursive", wide, QuantumOptions(layers=2))
    with pytest.raises(InputError, match="only a matrix-product state holds that"):
        wide.engine(2)
    wider = program(cut(70, circulant(70)), QuantumOptions())
    with pytest.raises(InputError, match=r"no engine fits 70 qubits and 2 layers: .* GiB are free"):
        wider.engine(2)
    small = program(cut(14, HEAWOOD), QuantumOptions())
    assert isinstance(small.engine(1), FullEngine)
    rotamers = problems()["side_chains"]
    instance = rotamers.sample(np.random.default_rng(0), 30)
    inside = program(Stated(rotamers, instance), QuantumOptions(mixer="xy"))
    found = find_angles(inside, QuantumOptions(mixer="xy", angles="tuned"))
    engine = found.engine(1)
    assert isinstance(engine, StateEngine)
    assert engine.size == inside.encoded.feasible.size < 1 << 30
    assert found.expectation is not None


@pytest.mark.parametrize("layers", [1, 2])
def test_one_hot_engine_makes_the_circuits_exchanges(layers: int) -> None:
    """In groups of one to four members, against the circuit gate by gate."""
    problem = problems()["qubo"]
    feasible = problems()["side_chains"]
    stated = Stated(feasible, feasible.sample(np.random.default_rng(4), 9))
    options = QuantumOptions(layers=layers, mixer="xy", angles="tuned")
    from trine.quantum.lowering import build

    made = build(find_angles(program(stated, options), options), options)
    found = parities(made)
    assert [p.against.split(",")[0] for p in found][1] == "circuit against engine"
    assert [p.differing for p in found] == [0, 0]
    assert problem.name == "qubo"


@pytest.mark.parametrize("conflicts", [(), ((0, 1),), ((0, 1), (0, 2), (0, 3), (1, 2), (3, 4))])
def test_flips_of_independent_sets_are_the_circuits(conflicts: tuple[tuple[int, int], ...]) -> None:
    """Bits with none to three rivals, gate by gate: the same chances, and none outside the independent sets."""
    from trine.quantum.circuits.qaoa import angle_values, independent_set_circuit
    from trine.quantum.engines.subspace import SubspaceEngine
    from trine.quantum.feasible import IndependentSets
    from trine.quantum.samples import Angles
    from trine.quantum.statevector import run_circuit

    feasible, rng = IndependentSets(5, conflicts), np.random.default_rng(3)
    cost = Polynomial(5, {(i,): float(rng.normal()) for i in range(5)} | {(0, 4): 0.7})
    angles = Angles((0.4, 0.9), (0.6, 0.3))
    circuit = independent_set_circuit(cost, feasible, 2).bind(angle_values(angles))
    chances = np.abs(run_circuit(circuit)) ** 2
    engine = SubspaceEngine(cost, feasible, "bit-flip", start="empty")
    numbers = engine.strings(np.arange(engine.size)) @ (1 << np.arange(5))
    np.testing.assert_allclose(chances[numbers], engine.probabilities(angles), atol=1e-12)
    assert chances[numbers].sum() == pytest.approx(1.0)
    assert chances[numbers].max() < 0.9


def test_independent_sets_on_the_command_line(tmp_path: Path) -> None:
    write_problem(example("docking"), tmp_path / "p.json")
    words = ("--device", DEVICE, "-o", tmp_path / "out", "--mixer", "flip", "--layers", 2, "--shots", 200)
    made = record("compile", tmp_path / "p.json", *words)
    assert "circuit against engine" in made["parity"][1]["against"]
    rows = {row["sampler"]: row for row in record("simulate", tmp_path / "out")["results"]["samplers"]}
    assert rows["qaoa"]["feasible"] == 1.0
    assert "subspace" in rows["qaoa"]["method"]
    assert rows["qaoa, noisy"]["feasible"] < 1.0
    assert (
        record("submit", tmp_path / "out", "--provider", "local", "--wait")["results"]["samplers"][0][
            "feasible"
        ]
        == 1
    )
    star = {"nodes": 11, "edges": [[0, k] for k in range(1, 11)]}
    problem = problems()["independent_set"]
    write_problem(Stated(problem, problem.parse(star)), tmp_path / "star.json")
    answer = run(
        "compile", tmp_path / "star.json", "--device", DEVICE, "-o", tmp_path / "s", "--mixer", "flip"
    )
    assert answer.code == 2
    assert "bit 0 conflicts with 10 others, and its flip would take 1,023 gates" in answer.err


def test_gradient_of_exchanges_in_order() -> None:
    """The adjoint's derivatives against differences, groups of one to five."""
    from trine.quantum.engines.subspace import SubspaceEngine
    from trine.quantum.feasible import OneHot
    from trine.quantum.samples import Angles

    groups = ((0,), (1, 2), (3, 4, 5), (6, 7, 8, 9), (10, 11, 12, 13, 14))
    rng = np.random.default_rng(1)
    terms = {(i,): float(rng.normal()) for i in range(15)}
    terms |= {(i, j): float(rng.normal()) for i in range(15) for j in range(i)}
    engine = SubspaceEngine(Polynomial(15, terms), OneHot(groups), "xy-steps")
    flat = rng.uniform(-0.4, 0.4, 4)

    def value(x: np.ndarray) -> float:
        return engine.expectation(Angles(tuple(x[:2]), tuple(x[2:])))

    slopes = engine.gradient(Angles(tuple(flat[:2]), tuple(flat[2:]))).flat
    for k in range(4):
        step = np.eye(4)[k] * 1e-5
        assert slopes[k] == pytest.approx(
            (value(flat + step) - value(flat - step)) / 2e-5, rel=1e-6, abs=1e-7
        )


def test_fixed_angles_know_their_graphs() -> None:
    heavy = maxcut(14, HEAWOOD, [2.5] * 21)
    assert regular_cut(heavy) == (3, pytest.approx(2.5))
    np.testing.assert_allclose(np.array(fixed_for(heavy, 2).gammas) * 2.5, fixed_angles(3, 2).gammas)
    np.testing.assert_allclose(fixed_for(heavy, 2).gammas, transferred(heavy, 2).gammas)
    for cost, message in (
        (heavy.scaled(-1.0), "weights"),
        (maxcut(14, HEAWOOD, [1.0] * 20 + [2.0]), "from 1 to 2"),
        (maxcut(15, HEAWOOD), "degrees of nodes go from 0 to 3"),
        (maxcut(14, HEAWOOD[1:]), "not regular"),
        (Polynomial(2, {(0,): 1.0}), "term on bits"),
        (Polynomial(2, {(): 1.0}), "no terms"),
    ):
        with pytest.raises(InputError, match=message):
            regular_cut(cost)


def test_reduction_of_random_costs() -> None:
    """Every string of a core costs what the problem's string costs that it stands for."""
    rng = np.random.default_rng(2)
    for _ in range(20):
        terms = {(i,): float(rng.normal()) for i in range(7)}
        terms |= {(i, j): float(rng.normal()) for i in range(7) for j in range(i)}
        terms[(0, 3, 5)] = 1.5
        cost, alive, steps = Polynomial(7, terms), list(range(7)), []
        for _ in range(4):
            fixed = int(rng.choice(alive))
            alive.remove(fixed)
            kept = None if rng.random() < 0.3 else int(rng.choice(alive))
            steps.append(Step(fixed, kept, int(rng.choice([-1, 1])), 0.0))
        found = Reduction.of(cost, steps)
        assert found.kept == tuple(alive)
        whole = found.expand(all_bits(3))
        np.testing.assert_allclose(found.core.energy(all_bits(3)), cost.energy(whole), atol=1e-9)
        ansatz = Ansatz(reduction=found)
        counts = np.arange(1, 9)
        samples = ansatz.whole(Samples(all_bits(3), counts))
        assert samples.shots == counts.sum()
        assert sorted(map(tuple, samples.bits.tolist())) == list(map(tuple, samples.bits.tolist()))
        assert Reduction.of(cost, found.steps) == found
    with pytest.raises(InputError, match="cannot be fixed"):
        Reduction.of(cost, [Step(1, 1, 1, 0.0)])
    cost = maxcut(14, HEAWOOD)
    whole_way = recursive(cost, FullEngine, lambda engine, left: transferred(left, 1), until=4)
    assert Reduction.of(cost, whole_way.steps).core.diagonal().min() == pytest.approx(whole_way.cost)


def test_all_ways_are_offered() -> None:
    from typing import get_args

    from trine.options import AnglesBy as Offered
    from trine.quantum.angle_choice import WAYS

    assert set(WAYS) == set(get_args(AnglesBy)) == {str(way) for way in Offered}
