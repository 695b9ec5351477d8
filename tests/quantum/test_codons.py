"""Codon optimisation: published sizes, the exact method against enumeration, bad input."""

from __future__ import annotations

import numpy as np
import pytest

from trine.devices.errors import InputError
from trine.quantum.biology.codon_table import CODE, HUMAN, OF, repeats
from trine.quantum.optima.reference import product_strings
from trine.quantum.problems import codons


@pytest.mark.parametrize(
    ("sequence", "qubits", "dense", "sequences"),
    [("MFVFL", 15, 7, 96), ("MFVFLVLLPLVSSQC", 61, 30, 191_102_976)],
)
def test_published_sizes(sequence: str, qubits: int, dense: int, sequences: int) -> None:
    protein = codons.parse({"sequence": sequence})
    encoding = codons.encode(protein)
    assert (encoding.qubits, protein.dense_qubits, encoding.feasible.size) == (qubits, dense, sequences)


@pytest.mark.parametrize("seed", range(6))
def test_dynamic_programming_is_enumeration(seed: int) -> None:
    generator = np.random.default_rng(seed)
    protein = codons.Protein(
        "".join(list(OF)[k] for k in generator.integers(0, 21, 5)),
        *np.round(generator.uniform(0, 1, 4), 3).tolist(),
    )
    encoding = codons.encode(protein)
    best = codons.exact(protein)
    assert best is not None
    energies = encoding.inside.energy(product_strings(encoding.feasible))
    assert best.cost == pytest.approx(float(energies.min()), abs=1e-9)


def test_aims_pull() -> None:
    """Usage alone gives the most used codons; GC alone its goal; repeats alone the fewest runs."""
    sequence = "MFVFLVLLPLVSSQC"
    usage = codons.Protein(sequence, 0.5, 1.0, 0.0, 0.0)
    best = codons.exact(usage)
    assert best is not None
    assert codons.decode(usage, np.array(best.bits, np.uint8))["cai"] == pytest.approx(1.0)
    for target in (0.4, 0.6):
        gc = codons.Protein(sequence, target, 0.0, 1.0, 0.0)
        best = codons.exact(gc)
        assert best is not None
        assert codons.decode(gc, np.array(best.bits, np.uint8))["gc"] == pytest.approx(target)
    runs = codons.Protein("FKG", 0.5, 0.0, 0.0, 1.0)
    best = codons.exact(runs)
    assert best is not None
    mrna = codons.decode(runs, np.array(best.bits, np.uint8))["mrna"]
    assert mrna.startswith("UUC")  # UUU AAA would hold runs of three
    assert best.cost == repeats("UUC", mrna[3:6]) + repeats(mrna[3:6], mrna[6:])


def test_table() -> None:
    """The standard code has 61 sense codons; per thousand they add up, rounding apart."""
    assert sum(a != "*" for a in CODE) == 61
    assert OF["M"] == ("AUG",)
    assert OF["L"] == ("UUA", "UUG", "CUU", "CUC", "CUA", "CUG")
    assert sum(HUMAN) == pytest.approx(1000, abs=0.5)
    assert repeats("GGG", "GGA") == 24
    assert repeats("ACU", "GAC") == 0


def test_own_usage() -> None:
    protein = codons.parse({"sequence": "MF", "usage": {"ATG": 20, "TTT": 5.0, "UUC": 0}})
    assert protein.codons == (("AUG",), ("UUU",))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"sequence": "MFXJ"}, "X at 2, J at 3"),
        ({"sequence": ""}, "at least one residue"),
        ({"sequence": "MF", "gc_target": 1.2}, "gc_target"),
        ({"sequence": "MF", "usage": {"AUG": 1.0, "UUU": 0.0}}, "no codon for F"),
        ({"sequence": "M", "usage": {"AUQ": 1.0}}, "AUQ is no codon"),
        ({"sequence": "M", "usage": {"AUG": -1}}, "at least 0"),
        ({"sequence": "M", "gc_wieght": 1.0}, "did you mean"),
    ],
)
def test_bad_input(data: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        codons.parse(data)


def test_answers_that_cannot_be() -> None:
    with pytest.raises(InputError, match="AUG at 3 is no codon in use for F"):
        codons.bits_of(codons.example(), {"mrna": "AUGAUGGUGUUC"})
    with pytest.raises(InputError, match="needs 12"):
        codons.bits_of(codons.example(), {"mrna": "AUG"})
