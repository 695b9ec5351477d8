"""Assembly: QuASeR's published model, genomes put together again, tours against all orders."""

from __future__ import annotations

from itertools import pairwise, permutations

import numpy as np
import pytest

from trine.devices.errors import InputError
from trine.quantum.optima.tours import best_order, order_by_milp
from trine.quantum.polynomial import Polynomial, Subset, all_bits, total
from trine.quantum.problems import assembly


def published(data: assembly.ReadSet, complete: bool) -> Polynomial:
    """QuASeR's QUBO of four reads in its parameters: 26 on every broken pair, -2 for every shared letter.

    Its first version lacks that between two reads at one place that are no neighbours by number; `complete` has it.
    """
    n = len(data.reads)
    parts: list[dict[Subset, float]] = []
    for read in range(n):
        parts += [{(t * n + read, u * n + read): 26.0} for t in range(n) for u in range(t + 1, n)]
    for t in range(n):
        pairs = [(i, j) for i in range(n) for j in range(i + 1, n) if complete or (j - i) % n in (1, n - 1)]
        parts += [{(t * n + i, t * n + j): 26.0} for i, j in pairs]
    for t, u in data.steps:
        for i in range(n):
            for j in range(n):
                if i != j:
                    parts.append({(t * n + i, u * n + j): -2.0 * float(data.overlaps[i, j])})
    return Polynomial(n * n, total(parts))


@pytest.mark.parametrize(("complete", "second"), [(False, -56), (True, -40)])
def test_published_model_of_sixteen_variables(complete: bool, second: float) -> None:
    """Minimum -60, reached by the four turns of one ring; next -56 as published, -40 with all penalties."""
    data = assembly.example()
    energies = published(data, complete).energy(all_bits(16))
    levels, counts = np.unique(energies.round(9), return_counts=True)
    assert levels[:2].tolist() == [-60, second]
    assert counts[0] == 4
    orders = [assembly.decode(data, all_bits(16)[k])["order"] for k in np.flatnonzero(energies == -60)]
    ring = ["r0", "r1", "r2", "r3"]
    assert sorted(orders) == sorted(ring[k:] + ring[:k] for k in range(4))


def test_our_model_agrees_with_the_published_ring() -> None:
    data = assembly.example()
    energies = assembly.encode(data).polynomial.energy(all_bits(16))
    best = assembly.exact(data)
    assert best is not None
    assert energies.min() == pytest.approx(best.cost) == pytest.approx(4 * 9 - 30)
    assert int((energies < best.cost + 1e-9).sum()) == 4
    answer = assembly.decode(data, np.array(best.bits, np.uint8))
    assert (answer["total_overlap"], answer["sequence"]) == (30, "ATGGCGTGCA")


@pytest.mark.parametrize("seed", range(3))
def test_genome_comes_back(seed: int) -> None:
    """Reads of a random ring and of a random line, shuffled; the first read fixed, or free."""
    generator = np.random.default_rng(seed)
    genome = "".join(generator.choice(list("ACGT"), 60).tolist())
    starts = np.arange(0, 60, 10)
    around = genome * 2
    reads = [around[s : s + 22] for s in generator.permutation(starts)]
    data = assembly.parse({"reads": reads})
    best = assembly.exact(data)
    assert best is not None
    assert assembly.encode(data).qubits == 25
    found = assembly.decode(data, np.array(best.bits, np.uint8))["sequence"]
    assert len(found) == 60
    assert found in around
    pieces = [genome[s : s + 20] for s in generator.permutation(range(0, 41, 10))]
    line = assembly.parse({"reads": pieces, "circular": False})
    best = assembly.exact(line)
    assert best is not None
    assert assembly.decode(line, np.array(best.bits, np.uint8))["sequence"] == genome


@pytest.mark.parametrize("circular", [True, False])
def test_best_order_is_the_cheapest_of_all(circular: bool) -> None:
    generator = np.random.default_rng(5)
    for n in (2, 3, 5, 6):
        pay = generator.integers(0, 20, (n, n)).astype(float)

        def price(order: tuple[int, ...], pay: np.ndarray = pay) -> float:
            steps = list(pairwise(order))
            return float(sum(pay[i, j] for i, j in steps) + (pay[order[-1], order[0]] if circular else 0))

        lowest = min(price(p) for p in permutations(range(n)))
        assert price(tuple(best_order(pay, circular))) == lowest
        order = order_by_milp(pay, circular)
        assert order is not None
        assert sorted(order) == list(range(n))
        assert price(tuple(order)) == lowest


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"reads": ["ACGT", "AXGT"]}, r"reads\[1\] \(read1\): unknown nucleotide \['X'\]"),
        ({"reads": ["ACGT"]}, "two or more reads"),
        ({"reads": ["ACGT", "GTAC"], "circular": False, "first_fixed": True}, "only a circular genome"),
        ({"reads": ["ACGT", "GTAC"], "circular": "yes"}, "give true or false"),
        ({"reads": ["ACGT", ""]}, r"reads\[1\]"),
    ],
)
def test_bad_input(data: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        assembly.parse(data)


def test_more_reads_than_the_table_holds() -> None:
    """30 reads of a genome by integer programming; 61 are out of reach."""
    generator = np.random.default_rng(0)
    genome = "".join(generator.choice(list("ACGT"), 300).tolist())
    reads = [(genome * 2)[s : s + 25] for s in generator.permutation(range(0, 300, 10))]
    data = assembly.parse({"reads": reads})
    best = assembly.exact(data)
    assert best is not None
    assert "HiGHS" in best.method
    assert assembly.decode(data, np.array(best.bits, np.uint8))["sequence"] in genome * 2
    many = ["".join(generator.choice(list("ACGT"), 8).tolist()) for _ in range(61)]
    assert assembly.exact(assembly.parse({"reads": many})) is None
