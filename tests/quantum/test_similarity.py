"""Similarity against RDKit's own common substructures."""

from __future__ import annotations

import numpy as np
import pytest

from trine.devices.errors import InputError
from trine.quantum.formulate import formulations
from trine.quantum.problems import similarity

chem = pytest.importorskip("rdkit.Chem", reason="needs rdkit")


def compared(first: str, second: str) -> similarity.Comparison:
    """Two SMILES as an instance."""
    found = formulations()["similarity"](first=first, second=second).instance
    assert isinstance(found, similarity.Comparison)
    return found


@pytest.mark.parametrize(
    ("first", "second", "bits", "edges", "conflicts", "common"),
    [
        ("CCO", "CC(=O)O", 6, 5, 10, 3),
        ("NCC(=O)O", "CC(N)C(=O)O", 11, 23, 32, 5),
        ("CC(=O)Oc1ccccc1C(=O)O", "OC(=O)c1ccccc1O", 75, 1462, 1313, 10),
        ("CC(=O)Nc1ccc(O)cc1", "CCOc1ccc(NC(C)=O)cc1", 85, 1929, 1641, 11),
    ],
    ids=["ethanol", "glycine", "aspirin", "paracetamol"],
)
def test_known_pairs(first: str, second: str, bits: int, edges: int, conflicts: int, common: int) -> None:
    """Sizes of the modular product, and as many common atoms as RDKit finds."""
    from rdkit.Chem import rdFMCS

    two = compared(first, second)
    assert len(two.pairs) == bits
    assert len(two.items.conflicts) == conflicts
    assert bits * (bits - 1) // 2 - conflicts == edges
    best = similarity.exact(two)
    assert best is not None
    assert best.proved
    oracle = rdFMCS.FindMCS([chem.MolFromSmiles(first), chem.MolFromSmiles(second)])
    assert -best.cost == common == oracle.numAtoms
    answer = similarity.decode(two, np.array(best.bits, np.uint8))
    assert answer["common_atoms"] == common
    for row in answer["matched"]:
        assert two.first.atoms[row["first"]] == two.second.atoms[row["second"]]


def test_same_molecule_has_similarity_one() -> None:
    two = compared("CC(C)Cc1ccc(cc1)C(C)C(=O)O", "OC(=O)C(C)c1ccc(CC(C)C)cc1")
    best = similarity.exact(two)
    assert best is not None
    assert similarity.decode(two, np.array(best.bits, np.uint8))["similarity"] == 1


def test_contradictions_are_told_in_words() -> None:
    two = similarity.example()
    everything = np.ones(len(two.pairs), np.uint8)
    said = similarity.violations(two, everything)
    assert len(said) == len(two.items.conflicts)
    assert "C0, C0 cannot be C0, C1: an atom is matched twice" in said
    assert any("bonded differently" in text for text in said)


def test_bad_input() -> None:
    good = similarity.example().as_json()
    bonds = {**good, "first": {**good["first"], "bonds": [[0, 1, "dative"], [0, 7, "single"]]}}
    with pytest.raises(InputError, match=r"first: bonds\[1\].*first: bonds\[0\] is of kind 'dative'"):
        similarity.parse(bonds)
    with pytest.raises(InputError, match="no element in common"):
        similarity.parse({**good, "second": {"name": "water", "atoms": ["S"], "bonds": []}})
    with pytest.raises(InputError, match="--second: 'C1CC' is no valid SMILES"):
        formulations()["similarity"](first="CCO", second="C1CC")
    with pytest.raises(InputError, match="give --first"):
        formulations()["similarity"](second="CCO")
