"""RNA from stems and from quartets: published instances, other solvers, ViennaRNA, bad input."""

from __future__ import annotations

from itertools import combinations, product
from types import ModuleType

import numpy as np
import pytest

from trine.devices.errors import InputError
from trine.quantum.biology.rna import cross, dot_bracket, pairs_of
from trine.quantum.optima.linear_programs import lowest_by_milp
from trine.quantum.problems import rna_quartets, rna_stems

# 26 nucleotides of D-Wave's RNA example (Apache-2.0), whose test names the two stems; satellite tobacco mosaic virus
# UPD2-PK1, 31 nucleotides (PseudoBase), in the same example.
SIMPLE_PSEUDO = "AAAGCGCUGAAGACUUAAAAUUCAGG"
STMV = "AAGCCUUUUGGAUCGAAGGUUAAACGAUCCG"


def random_rna(generator: np.random.Generator, length: int) -> str:
    return "".join("ACGU"[k] for k in generator.integers(0, 4, length))


def test_simple_pseudoknot() -> None:
    rna = rna_stems.parse({"sequence": SIMPLE_PSEUDO.replace("U", "T").lower()})
    best = rna_stems.exact(rna)
    assert best is not None
    assert len(rna.stems) == 9
    assert best.cost == pytest.approx(-29.5)
    assert best.proved
    answer = rna_stems.decode(rna, np.array(best.bits, np.uint8))
    assert answer["stems"] == [[1, 3, 13, 15], [6, 10, 20, 24]]
    assert answer["structure"] == ".(((..[[[[[..)))....]]]]]."
    assert len(answer["pseudoknots"]) == 1


def test_stmv() -> None:
    rna = rna_stems.Rna(STMV)
    best = rna_stems.exact(rna)
    assert best is not None
    assert len(rna.stems) == 60
    assert best.cost == pytest.approx(-72.4)
    assert best.proved


def test_stems_by_listing() -> None:
    """Every run of at least min_stem pairs is there once, no other."""
    generator = np.random.default_rng(4)
    for _ in range(20):
        rna = rna_stems.Rna(random_rna(generator, 18), 2, 3)
        found = set()
        for i, j, k in product(range(18), range(18), range(2, 8)):
            ends = [(i + m, j - m) for m in range(k)]
            if all(b - a > 3 and rna.sequence[a] + rna.sequence[b] in rna_quartets.KINDS for a, b in ends):
                found.add((i, i + k - 1, j - k + 1, j))
        assert set(rna.stems) == found
        assert len(set(rna.stems)) == len(rna.stems)


@pytest.mark.parametrize(("length", "published"), [(15, 6), (20, 15), (30, 42), (42, 93), (60, 208)])
def test_quartets_of_random_rna(length: int, published: int) -> None:
    """Average over 200 sequences, within four standard errors of what pairing by chance gives, rounded as published."""
    generator = np.random.default_rng(11)
    counts = [len(rna_quartets.Rna(random_rna(generator, length)).quartets) for _ in range(200)]
    error = float(np.std(counts)) / np.sqrt(200)
    assert abs(np.mean(counts) - published) < 4 * error + 0.5
    places = (
        (length - 6) * (length - 5) / 2
    )  # i, j with a hairpin loop of 3 left; 6 of 16 pairs can form, twice
    assert abs(np.mean(counts) - places * (6 / 16) ** 2) < 4 * error


def test_quartets_that_exclude_each_other() -> None:
    """As said in words: two partners of one nucleotide, or crossing pairs."""
    rna = rna_quartets.Rna(random_rna(np.random.default_rng(3), 40))
    expected = []
    for a, b in combinations(range(len(rna.quartets)), 2):
        pairs = {p for i, j in (rna.quartets[a], rna.quartets[b]) for p in ((i, j), (i + 1, j - 1))}
        twice = len({place for pair in pairs for place in pair}) < 2 * len(pairs)
        if twice or any(cross(p, q) for p, q in combinations(sorted(pairs), 2)):
            expected.append((a, b))
    assert list(rna.conflicts) == expected


@pytest.mark.parametrize("seed", range(8))
def test_dynamic_programming_is_the_integer_program(seed: int) -> None:
    rna = rna_quartets.Rna(random_rna(np.random.default_rng(seed), 26))
    encoding = rna_quartets.encode(rna)
    best, other = rna_quartets.exact(rna), lowest_by_milp(encoding.inside, conflicts=rna.conflicts)
    assert best is not None
    assert other is not None
    assert best.cost == pytest.approx(other.cost, abs=1e-9)
    bits = np.array(best.bits, np.uint8)
    assert rna_quartets.violations(rna, bits) == []
    assert encoding.polynomial.energy(bits) == pytest.approx(best.cost, abs=1e-9)


def test_stacking_is_viennas() -> None:
    """All 36 stacks as ViennaRNA evaluates them, and nested optima: its stack terms add up to our energy."""
    vienna = pytest.importorskip("RNA", reason="needs ViennaRNA")
    for outer, inner in product(rna_quartets.KINDS, repeat=2):
        sequence = outer[0] + inner[0] + "GAAAA" + inner[1] + outer[1]
        folded = vienna.fold_compound(sequence)
        table = vienna.ptable("((.....))")
        expected = folded.eval_loop_pt(1, table) / 100
        assert rna_quartets.stacking(sequence, 0, 8) == pytest.approx(expected), (outer, inner)
    generator = np.random.default_rng(8)
    for _ in range(10):
        rna = rna_quartets.Rna(random_rna(generator, 40))
        best = rna_quartets.exact(rna)
        assert best is not None
        answer = rna_quartets.decode(rna, np.array(best.bits, np.uint8))
        table = vienna.ptable(answer["structure"])
        folded = vienna.fold_compound(rna.sequence)
        stacks = [(i, j) for i, j in pairs_of(answer["structure"]) if table[i + 2] == j]
        total = sum(folded.eval_loop_pt(i + 1, table) / 100 for i, _ in stacks)
        others = [0, *(i + 1 for i, j in pairs_of(answer["structure"]) if (i, j) not in stacks)]
        loops = sum(folded.eval_loop_pt(i, table) / 100 for i in others)
        assert folded.eval_structure(answer["structure"]) == pytest.approx(total + loops, abs=1e-4)
        if all(rna_quartets.stacking(rna.sequence, i, j) <= 0 for i, j in stacks):
            assert total == pytest.approx(best.cost, abs=1e-9)
        else:  # a stack that costs is left out of the sum, though its pairs are there
            assert total > best.cost


def test_dot_bracket_both_ways() -> None:
    text = "((..[[[..))..{{.]]]..}}"
    assert dot_bracket(len(text), pairs_of(text)) == text.replace("{", "(").replace("}", ")")
    generator = np.random.default_rng(2)
    for _ in range(50):
        places = generator.permutation(14).tolist()
        pairs = sorted((min(p), max(p)) for p in zip(places[:3], places[3:6], strict=True))
        assert list(pairs_of(dot_bracket(14, pairs))) == pairs
    with pytest.raises(InputError, match="closes nothing"):
        pairs_of("())")
    with pytest.raises(InputError, match="not closed"):
        pairs_of("(()")
    with pytest.raises(InputError, match="'x' at 1"):
        pairs_of("(x)")
    with pytest.raises(InputError, match="more than 4"):
        dot_bracket(10, [(k, k + 5) for k in range(5)])


@pytest.mark.parametrize("module", [rna_stems, rna_quartets])
@pytest.mark.parametrize(
    ("sequence", "says"),
    [
        ("ACGUXGGGAAACCC", "X at 4"),
        ("ACG", "at least"),
        ("AAAAAAAAAAAAAA", "stays unfolded"),
        (7, "give a text"),
    ],
)
def test_bad_input(module: ModuleType, sequence: object, says: str) -> None:
    with pytest.raises(InputError, match=says):
        module.parse({"sequence": sequence})


def test_answers_that_cannot_be() -> None:
    with pytest.raises(InputError, match="none of the 9 stems"):
        rna_stems.bits_of(rna_stems.example(), {"stems": [[0, 2, 8, 10]]})
    with pytest.raises(InputError, match="none of the 9 quartets"):
        rna_quartets.bits_of(rna_quartets.example(), {"quartets": [[5, 9]]})
