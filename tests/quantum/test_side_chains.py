"""Side-chain packing: the six sub-problems of 1AHO, the exact method against enumeration, bad input."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pytest
from shared_data import shared

from trine.devices.errors import InputError
from trine.quantum.optima.choices import (
    Tables,
    descended,
    eliminated,
    elimination_order,
    kept,
    one_by_one,
    optimum,
    without_dead_ends,
)
from trine.quantum.optima.reference import product_strings
from trine.quantum.problems import side_chains


def random_tables(seed: int, sizes: tuple[int, ...], share: float = 0.7) -> Tables:
    generator = np.random.default_rng(seed)
    unary = tuple(generator.normal(0, 2, n) for n in sizes)
    chosen = [(i, j) for j in range(len(sizes)) for i in range(j) if generator.random() < share]
    return Tables(unary, {(i, j): generator.normal(0, 1, (sizes[i], sizes[j])) for i, j in chosen})


def lowest(tables: Tables) -> float:
    return min(tables.cost(choice) for choice in product(*map(range, tables.sizes)))


@pytest.mark.parametrize("seed", range(12))
def test_exact_is_the_enumerated_optimum(seed: int) -> None:
    tables = random_tables(seed, (3, 4, 2, 1, 5, 3))
    found = optimum(tables)
    assert found is not None
    assert tables.cost(found[0]) == pytest.approx(lowest(tables), abs=1e-12)
    order, largest = elimination_order(tables)
    assert sorted(order) == list(range(6))
    assert largest <= 3 * 4 * 2 * 5 * 3
    assert tables.cost(eliminated(tables, order)) == pytest.approx(lowest(tables), abs=1e-12)


@pytest.mark.parametrize("seed", range(12))
def test_dead_ends_keep_an_optimum_and_remove_something(seed: int) -> None:
    tables = random_tables(seed, (4, 4, 4, 4))
    alive = without_dead_ends(tables)
    assert lowest(kept(tables, alive)) == pytest.approx(lowest(tables), abs=1e-12)
    lone = Tables(tables.unary, {})
    assert [len(a) for a in without_dead_ends(lone)] == [1, 1, 1, 1]


@pytest.mark.parametrize("seed", range(6))
def test_sub_problem_of_some_sites(seed: int) -> None:
    """Conditioning keeps differences; a descent ends where no single change helps."""
    tables = random_tables(seed, (3, 2, 4, 3))
    generator = np.random.default_rng(seed)
    choice = [int(generator.integers(n)) for n in tables.sizes]
    for free in ([2, 0], [1, 3], [3, 2, 1]):
        small = tables.given(free, choice)
        base = None
        for options in product(*(range(tables.sizes[s]) for s in free)):
            whole = list(choice)
            for site, option in zip(free, options, strict=True):
                whole[site] = option
            gap = tables.cost(whole) - small.cost(options)
            base = gap if base is None else base
            assert gap == pytest.approx(base, abs=1e-12)
    end = descended(tables, one_by_one(tables))
    for site in range(4):
        assert tables.local(site, end).min() >= tables.local(site, end)[end[site]] - 1e-12


def test_too_wide_is_said() -> None:
    assert optimum(random_tables(1, (6,) * 8, 1.0), widest=100) is None


@pytest.mark.parametrize("number", range(6))
def test_sub_problems_of_1aho(number: int) -> None:
    """Optimum, runner-up and maximum are those of the file, on the encoded polynomial too."""
    given = json.loads(shared("sidechain_cfn/sub.json").read_text())[number]
    chains = side_chains.parse(
        {
            "residues": given["residues"],
            "rotamers": given["rotamers"],
            "unary": given["unary"],
            "pairs": given["pair"],
        }
    )
    encoding = side_chains.encode(chains)
    energies = np.sort(encoding.inside.energy(product_strings(encoding.feasible)))
    assert energies[0] == pytest.approx(given["e_min"], abs=2e-6)
    assert energies[1] == pytest.approx(given["e_second"], abs=2e-6)
    assert energies[-1] == pytest.approx(given["e_max"], abs=2e-6)
    best = side_chains.exact(chains)
    assert best is not None
    assert best.cost == pytest.approx(given["e_min"], abs=2e-6)
    names = [str(r[k]) for r, k in zip(given["rotamers"], given["argmin"], strict=True)]
    answer = side_chains.decode(chains, np.array(best.bits, np.uint8))
    assert list(answer["rotamers"].values()) == names
    if encoding.qubits <= 16:  # the penalty suffices over all strings
        assert encoding.polynomial.diagonal().min() == pytest.approx(given["e_min"], abs=2e-6)


def test_example_is_frustrated() -> None:
    chains = side_chains.example()
    best = side_chains.exact(chains)
    assert best is not None
    assert best.cost == -5.0
    assert side_chains.cost(chains, side_chains.greedy(chains)) == -4.5


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"residues": []}, "at least one"),
        ({"rotamers": [["a"], [], ["b"]]}, "has no rotamer"),
        ({"unary": [[1.0, 2.0], [0.0], [0.0, 0.0, 0.0]]}, "one a rotamer"),
        ({"unary": [[1.0, float("nan")], [0.0, 1.0], [0.0, 0.0, 0.0]]}, "no finite number"),
        ({"pairs": {"1,0": [[0.0, 0.0], [0.0, 0.0]]}}, "i < j"),
        ({"pairs": {"0,9": [[0.0]]}}, "from 0 to 2"),
        ({"pairs": {"0,1": [[0.0, 0.0]]}}, "2 rows"),
        ({"pairs": {"a": []}}, "by number"),
        ({"rotamer": []}, "did you mean"),
    ],
)
def test_bad_input(changed: dict[str, object], says: str) -> None:
    data = {**side_chains.example().as_json(), **changed}
    with pytest.raises(InputError, match=says):
        side_chains.parse(data)


def test_unknown_rotamer_in_an_answer() -> None:
    chains = side_chains.example()
    with pytest.raises(
        InputError, match=r"L12 has no rotamer mx.*F30 is missing|F30 is missing.*L12 has no rotamer"
    ):
        side_chains.bits_of(chains, {"rotamers": {"L12": "mx", "M51": "ttt"}})
