"""What holds for every problem of the catalogue: its two facts agree, its decoder inverts its encoder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from trine.quantum.hamiltonian import Hamiltonian
from trine.quantum.polynomial import Bits, all_bits
from trine.quantum.problem import Problem, Stated, problems, read_problem, write_problem

ALL = sorted(problems())


def instances(problem: Problem) -> list[object]:
    """The example and three random ones."""
    generator = np.random.default_rng(7)
    return [problem.example(), *(problem.sample(generator, qubits) for qubits in (4, 8, 12))]


def strings(qubits: int) -> Bits:
    """All bit strings of few qubits, else 10,000 random ones."""
    if qubits <= 12:
        return all_bits(qubits)
    return np.random.default_rng(3).integers(0, 2, (10_000, qubits), dtype=np.uint8)


@pytest.mark.parametrize("name", ALL)
def test_energy_is_the_plain_cost(name: str) -> None:
    problem = problems()[name]
    for instance in instances(problem):
        encoding = problem.encode(instance)
        bits = strings(encoding.qubits)
        energies = encoding.polynomial.energy(bits)
        plain = [problem.cost(instance, row) for row in bits]
        np.testing.assert_allclose(energies, plain, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ALL)
def test_spin_energy_is_the_energy(name: str) -> None:
    problem = problems()[name]
    encoding = problem.encode(problem.example())
    bits = strings(encoding.qubits)[:512]
    spins = 1.0 - 2.0 * bits
    found = np.zeros(len(bits))
    for string, weight in Hamiltonian.from_polynomial(encoding.polynomial).terms.items():
        found += weight * np.prod(spins[:, [q for q, _ in string]], axis=1)
    np.testing.assert_allclose(found, encoding.polynomial.energy(bits), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ALL)
def test_feasible_strings(name: str) -> None:
    """Drawn strings break no constraint, cost the same inside, and come back from their answer in words."""
    problem = problems()[name]
    for instance in instances(problem):
        encoding = problem.encode(instance)
        for row in encoding.feasible.draw(np.random.default_rng(5), 50):
            assert encoding.feasible.contains(row)
            np.testing.assert_allclose(
                encoding.inside.energy(row), encoding.polynomial.energy(row), atol=1e-9
            )
            if problem.violations(instance, row):
                continue
            answer = json.loads(json.dumps(problem.decode(instance, row), allow_nan=False))
            assert np.array_equal(problem.bits_of(instance, answer), row)


@pytest.mark.parametrize("name", ALL)
def test_optimum(name: str) -> None:
    """Exact is feasible, costs what it says, and nothing is lower: the penalties suffice; greedy is feasible."""
    problem = problems()[name]
    for instance in instances(problem):
        encoding = problem.encode(instance)
        best = problem.exact(instance)
        assert best is not None
        row = np.array(best.bits, np.uint8)
        assert problem.violations(instance, row) == []
        assert problem.cost(instance, row) == pytest.approx(best.cost, abs=1e-9)
        if best.proved:
            assert encoding.polynomial.energy(strings(encoding.qubits)).min() >= best.cost - 1e-9
        greedy = problem.greedy(instance)
        assert problem.violations(instance, greedy) == []
        assert problem.cost(instance, greedy) >= best.cost - 1e-9


@pytest.mark.parametrize("name", ALL)
def test_file(name: str, tmp_path: Path) -> None:
    problem = problems()[name]
    stated = Stated(problem, problem.example(), {"from": "test"})
    write_problem(stated, tmp_path / "p.json")
    again = read_problem(tmp_path / "p.json")
    assert (again.problem.name, again.instance, again.notes) == (name, stated.instance, stated.notes)
    assert problem.keys.keys() == stated.instance.as_json().keys()
