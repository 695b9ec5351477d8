"""QUBO, Ising and MaxCut: matrices, files of other tools, Beasley's and QED-C's instances."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from shared_data import shared

from trine.devices.errors import InputError
from trine.quantum import baselines
from trine.quantum.formulate import formulations
from trine.quantum.optima import linear_programs
from trine.quantum.polynomial import Polynomial, all_bits
from trine.quantum.problems import independent_set, ising, qubo


def test_matrix_is_symmetric_or_triangular() -> None:
    """Both say x^T Q x; another matrix, and one with no number, is refused with its place."""
    generator = np.random.default_rng(2)
    upper = np.triu(generator.normal(size=(5, 5)))
    symmetric = (upper + upper.T) / 2
    strings = all_bits(5)
    plain = [float(x @ upper @ x) for x in strings.astype(float)]
    for matrix in (upper, upper.T, symmetric):
        model = qubo.parse({"matrix": matrix.tolist()})
        np.testing.assert_allclose(qubo.encode(model).polynomial.energy(strings), plain, atol=1e-12)
    crooked = symmetric.copy()
    crooked[1, 3] += 1
    with pytest.raises(InputError, match=r"not symmetric: \[1\]\[3\] is .* but \[3\]\[1\] is"):
        qubo.parse({"matrix": crooked.tolist()})
    crooked[2, 4] = np.nan
    with pytest.raises(InputError, match=r"matrix\[2\]\[4\] is nan: give a finite number"):
        qubo.parse({"matrix": crooked.tolist()})
    with pytest.raises(InputError, match="square"):
        qubo.parse({"matrix": [[1, 2]]})
    with pytest.raises(InputError, match="linear is empty"):
        qubo.parse({"linear": [], "pairs": [], "couplings": []})


@pytest.mark.parametrize("terms", [2, 3])
def test_milp_finds_the_lowest_string(terms: int) -> None:
    """HiGHS against all strings, products of two and three bits of either sign."""
    generator = np.random.default_rng(terms)
    for _ in range(5):
        found = {}
        for _ in range(25):
            subset = tuple(
                sorted(generator.choice(10, generator.integers(1, terms + 1), replace=False).tolist())
            )
            found[subset] = float(generator.normal())
        polynomial = Polynomial(10, found)
        best = linear_programs.lowest_by_milp(polynomial)
        assert best is not None
        assert best.proved
        assert best.cost == pytest.approx(polynomial.diagonal().min())
        assert polynomial.energy(np.array(best.bits, np.uint8)) == pytest.approx(best.cost)


def test_milp_with_groups_and_conflicts() -> None:
    generator = np.random.default_rng(4)
    polynomial = Polynomial(6, {(i, j): float(generator.normal()) for i in range(6) for j in range(i + 1, 6)})
    best = linear_programs.lowest_by_milp(polynomial, [(0, 1, 2), (3, 4, 5)], [(0, 3), (1, 4)])
    assert best is not None
    strings = all_bits(6)
    fits = (strings[:, :3].sum(axis=1) == 1) & (strings[:, 3:].sum(axis=1) == 1)
    fits &= (strings[:, 0] + strings[:, 3] < 2) & (strings[:, 1] + strings[:, 4] < 2)
    assert best.cost == pytest.approx(polynomial.energy(strings[fits]).min())


@pytest.mark.parametrize("k", range(1, 11))
def test_beasley(k: int) -> None:
    """bqp50: the best known value is proved, and tabu reaches it."""
    folder = shared("quantum_qubo")
    best = json.loads((folder / "best.json").read_text())[f"bqp50_{k}"]
    stated = formulations()["qubo"](qubo=folder / f"bqp50_{k}.qubo", maximise=True)
    exact = stated.problem.exact(stated.instance)
    assert exact is not None
    assert exact.proved
    assert exact.cost == -best
    pytest.importorskip("dwave.samplers", reason="needs dwave-samplers")
    tabu = baselines.run(stated.problem, stated.instance, 20, 1, ["tabu"])["tabu"]
    assert qubo.encode(stated.instance).polynomial.energy(tabu.samples.bits).min() == -best


@pytest.mark.parametrize("name", ["004_003", "006_003", "008_003", "008_005", "010_003", "010_007",
                                  "012_003", "012_009", "014_003", "014_011", "016_003", "016_013"])  # fmt: skip
def test_qed_c(name: str) -> None:
    """The published cut is the optimum, and the published string reaches it."""
    folder = shared("quantum_maxcut")
    stated = formulations()["maxcut"](graph=folder / f"mc_{name}_000.txt")
    value, text = (folder / f"mc_{name}_000.sol").read_text().splitlines()[:2]
    exact = stated.problem.exact(stated.instance)
    assert exact is not None
    assert exact.cost == -float(value)
    assert stated.problem.cost(stated.instance, np.array(text.split(), np.uint8)) == -float(value)


def test_dimod_models_keep_their_energies(tmp_path: Path) -> None:
    """A model of bits and one of spins, read as either; dimod's spin is the other way round."""
    dimod = pytest.importorskip("dimod", reason="needs dimod")
    generator = np.random.default_rng(0)
    path = tmp_path / "model.json"
    for vartype in ("BINARY", "SPIN"):
        bqm = dimod.BinaryQuadraticModel(vartype)
        for i in range(5):
            bqm.add_linear(f"v{i}", float(generator.normal()))
            for j in range(i):
                bqm.add_quadratic(f"v{i}", f"v{j}", float(generator.normal()))
        bqm.offset = 0.75
        path.write_text(json.dumps(bqm.to_serializable()))
        bits = formulations()["qubo"](bqm=path).instance
        spins = formulations()["ising"](bqm=path).instance
        for row in all_bits(5):
            ones = bqm.change_vartype("BINARY", inplace=False)
            by_name = {name: int(b) for name, b in zip(bits.names, row, strict=True)}
            assert qubo.cost(bits, row) == pytest.approx(ones.energy(by_name))
            by_name = {name: int(b) for name, b in zip(spins.names, row, strict=True)}
            assert ising.cost(spins, row) == pytest.approx(ones.energy(by_name))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("p qubo 0 3 1 1\n0 0 1.0\n0 x 2\n", "line 3: '0 x 2'"),
        ("p qubo 0 3 1 1\n0 0 1.0\n0 5 2\n", "line 3: nodes go from 0 to 2"),
        ("p qubo 0 3 1 1\n0 0 nan\n0 1 2\n", "line 2: .*finite"),
        ("p qubo 0 3 1 2\n0 0 1.0\n0 1 2\n", "cut short or was edited"),
        ("p qubo 0 3 1 2\n0 0 1.0\n0 1 2\n1 0 2\n", "line 4: element 1 0 is there already"),
        ("p qudo 0 3 1 2\n", "line 1"),
        ("p qubo 0 2000000000 1 2\n", "line 1: 2000000000 variables: give 1 to 100,000"),
    ],
)
def test_bad_qubo_file(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.qubo"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        formulations()["qubo"](qubo=path)


def test_bad_files(tmp_path: Path) -> None:
    state = formulations()["qubo"]
    with pytest.raises(InputError, match="give one of --qubo, --bqm, --matrix, not 0"):
        state()
    with pytest.raises(InputError, match="cannot be read"):
        state(qubo=tmp_path / "none.qubo")
    path = tmp_path / "m.npy"
    np.save(path, np.array([[0, np.nan], [np.nan, 0]]))
    with pytest.raises(InputError, match=r"m.npy: matrix\[0\]\[1\] is nan"):
        state(matrix=path)
    path = tmp_path / "bqm.json"
    path.write_text('{"a": 1}')
    pytest.importorskip("dimod", reason="needs dimod")
    with pytest.raises(InputError, match="no dimod model"):
        state(bqm=path)


def test_dimacs_graph(tmp_path: Path) -> None:
    """The same ring in both text formats; DIMACS counts from 1."""
    plain, dimacs = tmp_path / "ring.txt", tmp_path / "ring.gph"
    plain.write_text("5\n0 1\n1 2\n2 3\n3 4\n0 4\n")
    dimacs.write_text("c a ring\np edge 5 5\ne 1 2\ne 2 3\ne 3 4\ne 4 5\ne 1 5\n")
    stated = [formulations()["independent_set"](graph=path) for path in (plain, dimacs)]
    assert stated[0].instance == stated[1].instance
    best = stated[0].problem.exact(stated[0].instance)
    assert best is not None
    assert best.cost == -2
    dimacs.write_text("p edge 5 5\ne 1 2\n2 3\n")
    with pytest.raises(InputError, match="line 3: give `e i j`"):
        formulations()["independent_set"](graph=dimacs)


def test_bad_graphs(tmp_path: Path) -> None:
    path = tmp_path / "g.txt"
    for text, said in (
        ("", "first line"),
        ("3\n0 1\n0 z\n", "line 3"),
        ("3\n0 1\n1 0\n", "repeats"),
        ("3\n0 3\n", "0 to 2"),
        ("2000000000\n", "at most 100,000"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=said):
            formulations()["maxcut"](graph=path)
    path = tmp_path / "g.npz"
    np.savez(path, a=np.array([[0, 1], [0, 0]]))
    with pytest.raises(InputError, match=r"not symmetric: \[0, 1\] is 1"):
        formulations()["independent_set"](graph=path)
    with pytest.raises(InputError, match="nodes is 0"):
        independent_set.parse({"nodes": 0, "edges": []})
