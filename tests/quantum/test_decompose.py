"""Block-wise solution of choice problems: 1AHO of 64 residues, its sub-problems by QAOA, other solvers as oracle."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pytest
from shared_data import shared

from trine.devices.errors import InputError
from trine.quantum.formulate.side_chains import side_chains
from trine.quantum.optima.choices import Tables, optimum
from trine.quantum.optima.decompose import by_qaoa, decompose, drawn, exactly, lowest_drawn, polynomial_of
from trine.quantum.optima.reference import product_strings
from trine.quantum.problems.side_chains import parse

OPTIMUM_1AHO = -33.72992  # the data's README: proved by toulbar2


def random_tables(seed: int, sizes: tuple[int, ...]) -> Tables:
    generator = np.random.default_rng(seed)
    unary = tuple(generator.normal(0, 1, n) for n in sizes)
    pairs = [(i, j) for j in range(len(sizes)) for i in range(j) if generator.random() < 0.6]
    return Tables(unary, {(i, j): generator.normal(0, 1, (sizes[i], sizes[j])) for i, j in pairs})


@pytest.fixture(scope="module")
def aho() -> Tables:
    """All 64 residues."""
    found = side_chains(shared("sidechain_cfn/1aho.cfn.gz"), None).instance.tables
    assert len(found.unary) == 64
    assert sum(found.sizes) == 919
    assert isinstance(found, Tables)
    return found


def test_1aho_by_blocks(aho: Tables) -> None:
    """Blocks of 12 and 24 qubits reach the proved optimum; blocks never hold more qubits than allowed."""
    for qubits in (12, 24):
        found = decompose(aho, qubits=qubits)
        assert found.cost == pytest.approx(OPTIMUM_1AHO, abs=1e-5)
        assert found.cost == pytest.approx(aho.cost(found.choice))
        assert found.cost == pytest.approx(min(found.restarts))
        assert found.qubits <= qubits
        assert found.options == 124


def test_1aho_exact(aho: Tables) -> None:
    """Dead ends and elimination prove the same optimum."""
    found = optimum(aho)
    assert found is not None
    assert aho.cost(found[0]) == pytest.approx(OPTIMUM_1AHO, abs=1e-5)


def test_1aho_without_dead_ends_is_no_better(aho: Tables) -> None:
    """All 919 options, one start: a local optimum above the proved one, and no bit of 24 left that helps alone."""
    found = decompose(aho, restarts=1, dead_ends=False)
    assert found.options == 919
    assert OPTIMUM_1AHO - 1e-5 <= found.cost < 0
    for site in range(64):
        costs = aho.local(site, found.choice)
        assert costs.min() >= costs[found.choice[site]] - 1e-9


def test_toulbar2_agrees(aho: Tables) -> None:
    solver = pytest.importorskip("pytoulbar2", reason="needs pytoulbar2")
    for tables in (aho, random_tables(3, (4, 5, 3, 6, 4, 2, 3, 5))):
        network = solver.CFN(1e6, resolution=6)
        for k, size in enumerate(tables.sizes):
            network.AddVariable(f"x{k}", range(size))
        for k, unary in enumerate(tables.unary):
            network.AddFunction([k], unary.tolist())
        for (i, j), matrix in sorted(tables.pairs.items()):
            network.AddFunction([i, j], matrix.ravel().tolist())
        choice, cost, _ = network.Solve()
        found = optimum(tables)
        assert found is not None
        assert tables.cost(found[0]) == pytest.approx(cost, abs=1e-4)
        assert tables.cost([int(c) for c in choice]) == pytest.approx(tables.cost(found[0]), abs=1e-4)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("dead_ends", [True, False])
def test_blocks_only_improve_and_small_problems_are_solved(seed: int, dead_ends: bool) -> None:
    tables = random_tables(seed, (3, 4, 3, 2, 4))
    lowest = min(tables.cost(c) for c in product(*map(range, tables.sizes)))
    found = decompose(tables, qubits=16, restarts=3, seed=seed, dead_ends=dead_ends)
    assert found.cost == pytest.approx(lowest)
    assert decompose(tables, qubits=16, restarts=3, seed=seed, dead_ends=dead_ends) == found


def test_block_as_polynomial() -> None:
    tables = random_tables(9, (2, 3, 2))
    polynomial, feasible = polynomial_of(tables)
    strings = product_strings(feasible)
    energies = polynomial.energy(strings)
    choices = [tuple(int(np.argmax(row[list(g)])) for g in feasible.groups) for row in strings]
    np.testing.assert_allclose(energies, [tables.cost(c) for c in choices], atol=1e-12)
    broken = np.ones((1, 7), np.uint8)
    assert lowest_drawn(tables, np.vstack([strings, broken])) == choices[int(energies.argmin())]
    assert lowest_drawn(tables, broken) == tuple(int(u.argmin()) for u in tables.unary)


@pytest.mark.parametrize("number", range(6))
def test_qaoa_finds_the_optimum_of_each_sub_problem(number: int) -> None:
    """The six sub-problems of 1AHO, 12 to 18 qubits: QAOA's 256 shots hold the optimum."""
    pytest.importorskip("numba", reason="needs numba")
    given = json.loads(shared("sidechain_cfn/sub.json").read_text())[number]
    keys = ("residues", "rotamers", "unary")
    tables = parse({**{k: given[k] for k in keys}, "pairs": given["pair"]}).tables
    found = by_qaoa()(tables, np.random.default_rng(number))
    assert tables.cost(found) == pytest.approx(given["e_min"], abs=2e-6)


def test_other_solvers_of_a_block() -> None:
    tables = random_tables(2, (2, 2, 3))
    best = tables.cost(exactly(tables, np.random.default_rng(0)))
    assert tables.cost(drawn(400)(tables, np.random.default_rng(0))) == pytest.approx(best)
    with_chance = decompose(random_tables(4, (3, 3, 3, 3)), drawn(300), qubits=12)
    assert with_chance.cost == pytest.approx(decompose(random_tables(4, (3, 3, 3, 3)), qubits=12).cost)


def test_too_few_qubits() -> None:
    with pytest.raises(InputError, match="at least"):
        decompose(random_tables(1, (2, 2)), qubits=3)
