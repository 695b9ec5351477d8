"""Baselines: the same number of samples, nothing infeasible among the random ones, uniform where it says so."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from trine.devices.errors import InputError, MissingExtra
from trine.quantum import baselines
from trine.quantum.baselines import annealing, ocean, random_feasible
from trine.quantum.polynomial import Polynomial, all_bits
from trine.quantum.problem import problems

SHOTS = 40


def needs_ocean() -> None:
    """D-Wave's samplers."""
    pytest.importorskip("dwave.samplers", reason="needs dwave-samplers")


@pytest.mark.parametrize("name", sorted(problems()))
def test_every_problem_has_its_baselines(name: str) -> None:
    needs_ocean()
    problem = problems()[name]
    instance = problem.example()
    found = baselines.run(problem, instance, SHOTS, 3)
    assert {"annealing", "exact", "greedy", "random", "tabu"} == found.keys()
    energy = problem.encode(instance).polynomial.energy
    best = found["exact"].exact
    assert best is not None
    for drawn in found.values():
        assert drawn.samples.shots == SHOTS
        assert drawn.method
        assert energy(drawn.samples.bits).min() >= best.cost - 1e-9
    for key in ("random", "greedy", "exact"):
        assert all(not problem.violations(instance, row) for row in found[key].samples.bits)
    reached = min(energy(found[key].samples.bits).min() for key in ("annealing", "tabu"))
    assert reached == pytest.approx(best.cost)


@pytest.mark.parametrize("name", ["docking", "unfolding", "assembly"])
def test_same_seed_same_samples(name: str) -> None:
    needs_ocean()
    problem = problems()[name]
    for key in ("random", "annealing", "tabu"):
        first, again, other = (
            baselines.run(problem, problem.sample(np.random.default_rng(0), 9), SHOTS, seed, [key])[key]
            for seed in (1, 1, 2)
        )
        assert np.array_equal(first.samples.bits, again.samples.bits)
        assert np.array_equal(first.samples.counts, again.samples.counts)
        if key == "random":
            assert first.samples.strings() != other.samples.strings()


def test_random_is_uniform_over_feasible_strings() -> None:
    """Cliques of the six contacts, and orders of four reads: each as often as any other (chi squared)."""
    for name in ("docking", "assembly"):
        problem = problems()[name]
        instance = problem.example()
        strings = all_bits(problem.encode(instance).qubits)
        feasible = sum(not problem.violations(instance, row) for row in strings)
        drawn = baselines.run(problem, instance, 60 * feasible, 5, ["random"])["random"]
        assert drawn.method == "uniform over feasible strings"
        assert len(drawn.samples.counts) == feasible
        chi = float((((drawn.samples.counts - 60) ** 2) / 60).sum())
        assert chi < feasible - 1 + 8 * (2 * (feasible - 1)) ** 0.5


def test_random_says_when_it_is_not_uniform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random_feasible, "LISTED", 4)
    problem = problems()["docking"]
    drawn = baselines.run(problem, problem.example(), SHOTS, 5, ["random"])["random"]
    assert "not uniform" in drawn.method


def test_products_become_pairs_and_back() -> None:
    """The quadratic model of a polynomial of degree four has the same minimum for the first bits."""
    dimod = pytest.importorskip("dimod", reason="needs dimod")
    generator = np.random.default_rng(1)
    terms = {(): 0.5}
    for _ in range(12):
        subset = tuple(sorted(generator.choice(6, generator.integers(1, 5), replace=False).tolist()))
        terms[subset] = float(generator.normal())
    polynomial = Polynomial(6, terms)
    model, said = ocean.model_of(polynomial)
    assert "auxiliary" in said
    found = dimod.ExactSolver().sample(model)
    best = ocean.samples_of(found.truncate(1), 6)
    assert polynomial.energy(best.bits)[0] == pytest.approx(polynomial.diagonal().min())
    assert found.first.energy == pytest.approx(polynomial.diagonal().min())


@pytest.mark.parametrize("seed", range(3))
def test_annealing_of_products(seed: int) -> None:
    """Flips change the energy by their slope; cold runs end at the optimum of a small polynomial."""
    generator = np.random.default_rng(seed)
    terms = {}
    for _ in range(20):
        subset = tuple(sorted(generator.choice(7, generator.integers(1, 5), replace=False).tolist()))
        terms[subset] = float(generator.normal())
    polynomial = Polynomial(7, terms)
    strings = all_bits(7)
    padded = np.hstack([strings, np.ones((len(strings), 1), np.uint8)])
    for i in range(7):
        others, coefficients = annealing.slope(polynomial, i)
        on, off = strings.copy(), strings.copy()
        on[:, i], off[:, i] = 1, 0
        rise = polynomial.energy(on) - polynomial.energy(off)
        np.testing.assert_allclose(padded[:, others].min(axis=2, initial=1) @ coefficients, rise, atol=1e-12)
    ends = polynomial.energy(annealing.annealed(polynomial, 50, 300, seed))
    assert ends.min() == pytest.approx(polynomial.diagonal().min())
    assert ends.mean() < np.quantile(polynomial.diagonal(), 0.25)


@pytest.mark.parametrize("name", ["annealing", "tabu"])
def test_without_ocean(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dwave.samplers", None)
    problem = problems()["docking"]
    with pytest.raises(MissingExtra, match="dwave-samplers"):
        baselines.run(problem, problem.example(), 5, 0, [name])


def test_strings_too_rare_to_be_drawn() -> None:
    """Of twelve reads one string of places in twenty thousand is an order: drawn as orders, else left out."""
    problem = problems()["assembly"]
    reads = ["".join(np.random.default_rng(k).choice(list("ACGT"), 9).tolist()) for k in range(12)]
    instance = problem.parse({"reads": reads, "first_fixed": False})
    drawn = baselines.run(problem, instance, 20, 0, ["random"])["random"]
    assert all(not problem.violations(instance, row) for row in drawn.samples.bits)
    plain = replace(problem, draw=None)
    assert "random" not in baselines.run(plain, instance, 20, 0, ["random"])


def test_bad_input() -> None:
    problem = problems()["docking"]
    with pytest.raises(InputError, match="did you mean annealing"):
        baselines.run(problem, problem.example(), 5, 0, ["anealing"])
    with pytest.raises(InputError, match="0 shots"):
        baselines.run(problem, problem.example(), 0)
