"""Similarity of two molecules from SMILES or SDF."""

from __future__ import annotations

from typing import Any

from trine.quantum.formulate.molecules import chem, name_of, one_molecule
from trine.quantum.formulate.record import Formulation, Option, stated
from trine.quantum.problem import Stated


def described(molecule: Any) -> dict[str, Any]:
    """Heavy atoms' elements and the kinds of their bonds, as RDKit perceives them (aromatic rings as such)."""
    rdkit = chem()
    molecule = rdkit.RemoveHs(molecule)
    kinds = {
        rdkit.BondType.SINGLE: "single",
        rdkit.BondType.DOUBLE: "double",
        rdkit.BondType.TRIPLE: "triple",
        rdkit.BondType.AROMATIC: "aromatic",
    }
    bonds = [
        [
            min(b.GetBeginAtomIdx(), b.GetEndAtomIdx()),
            max(b.GetBeginAtomIdx(), b.GetEndAtomIdx()),
            kinds.get(b.GetBondType(), "other"),
        ]
        for b in molecule.GetBonds()
    ]
    return {
        "name": name_of(molecule),
        "atoms": [atom.GetSymbol() for atom in molecule.GetAtoms()],
        "bonds": sorted(bonds),
    }


def similarity(first: str, second: str, penalty: float | None) -> Stated:
    """From two molecules."""
    one, two = one_molecule(first, "--first"), one_molecule(second, "--second")
    rdkit = chem()
    notes = {
        "first": rdkit.MolToSmiles(rdkit.RemoveHs(one)),
        "second": rdkit.MolToSmiles(rdkit.RemoveHs(two)),
    }
    instance = {"first": described(one), "second": described(two), "penalty": penalty}
    return stated("similarity", instance, notes)


FORMULATIONS = (
    Formulation(
        "similarity",
        "from two molecules",
        (
            Option("first", str, "SMILES, or an .sdf, .mol or .smi file with one molecule.", required=True),
            Option("second", str, "Likewise.", required=True),
            Option("penalty", float, "Weight of a contradiction; by default what suffices."),
        ),
        similarity,
    ),
)
