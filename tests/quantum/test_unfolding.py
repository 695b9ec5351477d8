"""Unfolding: geometry against RDKit, exact against all conformations turned atom by atom."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest

from trine.devices.errors import InputError
from trine.quantum.biology.torsions import Ligand, between_fragments, chain, conformation
from trine.quantum.formulate import formulations
from trine.quantum.polynomial import Polynomial, exactly_one, total
from trine.quantum.problems import unfolding

IBUPROFEN = "CC(C)Cc1ccc(cc1)C(C)C(=O)O"


def ibuprofen(angles: int) -> Ligand:
    """Embedded with the fixed seed."""
    pytest.importorskip("rdkit", reason="needs rdkit")
    found = formulations()["unfolding"](ligand=IBUPROFEN, angles=angles).instance
    assert isinstance(found, Ligand)
    return found


def distances(xyz: np.ndarray) -> np.ndarray:
    """All pairs."""
    return np.asarray(np.linalg.norm(xyz[:, None] - xyz[None], axis=2))


def test_conformations_are_those_of_rdkit() -> None:
    """Each torsion turned alone by RDKit from the same coordinates: the same distances between all atoms."""
    from rdkit import Chem, Geometry
    from rdkit.Chem import rdMolTransforms

    ligand = ibuprofen(6)
    molecule = Chem.MolFromSmiles(IBUPROFEN)
    for t, torsion in enumerate(ligand.torsions):
        shape = Chem.Conformer(molecule.GetNumAtoms())
        for a, point in enumerate(ligand.xyz):
            shape.SetAtomPosition(a, Geometry.Point3D(*point))
        molecule.RemoveAllConformers()
        shape = molecule.GetConformer(molecule.AddConformer(shape))
        i, j = torsion.axis
        before = next(n.GetIdx() for n in molecule.GetAtomWithIdx(i).GetNeighbors() if n.GetIdx() != j)
        after = next(n.GetIdx() for n in molecule.GetAtomWithIdx(j).GetNeighbors() if n.GetIdx() != i)
        now = rdMolTransforms.GetDihedralDeg(shape, before, i, j, after)
        rdMolTransforms.SetDihedralDeg(shape, before, i, j, after, now + 120.0)
        choice = [2 if k == t else 0 for k in range(len(ligand.torsions))]
        np.testing.assert_allclose(
            distances(conformation(ligand, choice)), distances(shape.GetPositions()), atol=1e-6
        )


@pytest.mark.parametrize(
    "make", [lambda: ibuprofen(4), lambda: chain(7, 3, [0, 1, 0, 2])], ids=["ibuprofen", "chain"]
)
def test_cost_is_what_all_conformations_fall_short(make: Callable[[], Ligand]) -> None:
    """Exact by turning the atoms of every conformation; the cost differs from the distances by one constant."""
    ligand = make()
    far, costs = [], []
    for choice in product(range(ligand.angles), repeat=len(ligand.torsions)):
        far.append(between_fragments(ligand, conformation(ligand, list(choice))))
        costs.append(unfolding.cost(ligand, unfolding.bits_of_choice(ligand, list(choice))))
    np.testing.assert_allclose(np.add(far, costs), far[0] + costs[0], rtol=1e-9)
    best = unfolding.exact(ligand)
    assert best is not None
    assert best.cost == pytest.approx(min(costs), abs=1e-9)
    answer = unfolding.decode(ligand, np.array(best.bits, np.uint8))
    assert answer["squared_distances_angstrom2"] == pytest.approx(max(far), abs=1e-3)
    assert answer["before_angstrom2"] <= answer["squared_distances_angstrom2"]
    np.testing.assert_allclose(
        between_fragments(ligand, np.array(answer["xyz_angstrom"])), max(far), rtol=1e-4
    )


@pytest.mark.parametrize("smiles", ["COC(CO)CN", "CC(C)(C)CC(C)CO"])
def test_penalty_suffices_and_is_needed(smiles: str) -> None:
    """No string is below the optimum; with a twentieth of the weight some are."""
    pytest.importorskip("rdkit", reason="needs rdkit")
    ligand = formulations()["unfolding"](ligand=smiles, angles=3).instance
    encoding = unfolding.encode(ligand)
    best = unfolding.exact(ligand)
    assert best is not None
    assert encoding.polynomial.diagonal().min() == pytest.approx(best.cost)
    once = total(exactly_one(group, 0.05 * ligand.penalty) for group in ligand.groups)
    weak = encoding.inside + Polynomial(encoding.qubits, once)
    assert weak.diagonal().min() < 0.9 * best.cost


def test_bonds_keep_their_lengths() -> None:
    ligand = chain(8, 5, [1, 2, 3, 4, 0])
    xyz = conformation(ligand, [3, 1, 4, 1, 2])
    np.testing.assert_allclose(np.linalg.norm(np.diff(xyz, axis=0), axis=1), 1.53, atol=1e-3)


def test_a_folded_chain_unfolds_to_all_trans() -> None:
    ligand = chain(6, 2, [0, 0, 0])
    best = unfolding.exact(ligand)
    assert best is not None
    degrees = unfolding.decode(ligand, np.array(best.bits, np.uint8))["torsions_degrees"]
    assert set(degrees.values()) == {180.0}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"xyz": []}, "unfolding needs the positions"),
        ({"xyz": [[0, 0, 0]] * 6}, "no 3-D coordinates"),
        ({"torsions": []}, "rigid molecule cannot be unfolded"),
        ({"angles": 1}, "angles is 1"),
        ({"torsions": [{"name": "a", "axis": [1, 2], "moves": [1, 3]}]}, "atom 1 begins the axis"),
        ({"torsions": [{"name": "a", "axis": [1, 9], "moves": [3]}]}, "atoms from 0 to 5"),
        (
            {
                "torsions": [
                    {"name": "a", "axis": [0, 1], "moves": [2, 3]},
                    {"name": "b", "axis": [5, 4], "moves": [3, 4]},
                ]
            },
            "move some atoms both",
        ),
    ],
)
def test_bad_input(change: dict[str, object], said: str) -> None:
    good = unfolding.example().as_json()
    unfolding.parse(good)
    with pytest.raises(InputError, match=said):
        unfolding.parse({**good, **change})


def test_too_many_products_are_refused_with_the_way_out() -> None:
    with pytest.raises(InputError, match="fewer torsions or angles"):
        unfolding.parse(chain(14, 8, [0] * 11).as_json())
