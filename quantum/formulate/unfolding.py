"""Unfolding from a ligand: its rotatable bonds become torsions."""

from __future__ import annotations

from typing import Any

from trine.devices.errors import InputError
from trine.quantum.formulate.molecules import chem, name_of, one_molecule, positions
from trine.quantum.formulate.record import Formulation, Option, stated
from trine.quantum.problem import Stated

# A single bond outside rings between two atoms that both have another neighbour, no triple bond beside it, and no
# amide; RDKit's strict definition of a rotatable bond, without its special cases.
ROTATABLE = "[!$(*#*)&!D1]-&!@[!$(*#*)&!D1]"
AMIDE = "[CX3](=O)-[NX3]"
SEED = 1


def unfolding(ligand: str, angles: int, torsions: int, seed: int) -> Stated:
    """From a conformation, or from SMILES, embedded in space first (ETKDG, fixed seed)."""
    molecule = one_molecule(ligand, "--ligand")
    notes: dict[str, Any] = {"ligand": name_of(molecule), "smiles": chem().MolToSmiles(molecule)}
    if not molecule.GetNumConformers():
        molecule = embedded(molecule, seed)
        notes["conformation"] = f"RDKit ETKDGv3, seed {seed}, MMFF"
    xyz = positions(molecule, f"--ligand {name_of(molecule)}")
    bonds = rotatable(molecule)
    if not bonds:
        raise InputError(f"{name_of(molecule)}: has no rotatable bond; a rigid molecule cannot be unfolded")
    found = [torsion(molecule, *bond) for bond in bonds]
    found.sort(key=lambda t: (-min(len(t["moves"]), len(xyz) - len(t["moves"])), t["name"]))
    if len(found) > torsions:
        notes["held fixed"] = [t["name"] for t in found[torsions:]]
    instance = {
        "atoms": [a.GetSymbol() for a in molecule.GetAtoms()],
        "xyz": xyz.round(4).tolist(),
        "torsions": rooted(found[:torsions], len(xyz)),
        "angles": angles,
    }
    return stated("unfolding", instance, notes)


def embedded(molecule: Any, seed: int) -> Any:
    """The heavy atoms of a conformation made from the bonds alone. Raises InputError where none is found."""
    from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

    rdkit = chem()
    full = rdkit.AddHs(molecule)
    options: Any = rdDistGeom.ETKDGv3()
    options.randomSeed = seed
    if rdDistGeom.EmbedMolecule(full, options) != 0:
        raise InputError(f"{name_of(molecule)}: no conformation found; give an SDF with 3-D coordinates")
    if rdForceFieldHelpers.MMFFHasAllMoleculeParams(full):
        rdForceFieldHelpers.MMFFOptimizeMolecule(full)
    return rdkit.RemoveHs(full)


def rotatable(molecule: Any) -> list[tuple[int, int]]:
    """Bonds (i, j) that turn and change the shape, ascending."""
    rdkit = chem()
    bonds = {tuple(sorted(m)) for m in molecule.GetSubstructMatches(rdkit.MolFromSmarts(ROTATABLE))}
    stiff = {tuple(sorted((m[0], m[2]))) for m in molecule.GetSubstructMatches(rdkit.MolFromSmarts(AMIDE))}
    return sorted((int(i), int(j)) for i, j in bonds - stiff)


def torsion(molecule: Any, i: int, j: int) -> dict[str, Any]:
    """The bond as a torsion that turns j's side."""
    side, waiting = {j}, [j]
    while waiting:
        for near in molecule.GetAtomWithIdx(waiting.pop()).GetNeighbors():
            k = near.GetIdx()
            if k not in side and k != i:
                side.add(k)
                waiting.append(k)
    symbols = [molecule.GetAtomWithIdx(k).GetSymbol() for k in (i, j)]
    return {"name": f"{symbols[0]}{i}-{symbols[1]}{j}", "axis": [i, j], "moves": sorted(side - {j})}


def rooted(torsions: list[dict[str, Any]], atoms: int) -> list[dict[str, Any]]:
    """The same torsions, each turning the side away from one common atom, so that they are nested or apart."""
    centre = torsions[0]["axis"][0]
    found = []
    for t in torsions:
        (i, j), side = t["axis"], {*t["moves"], t["axis"][1]}
        if centre in side:
            t = {**t, "axis": [j, i], "moves": sorted(set(range(atoms)) - side - {i})}
        found.append(t)
    return found


FORMULATIONS = (
    Formulation(
        "unfolding",
        "from a ligand",
        (
            Option("ligand", str, "An .sdf with 3-D coordinates, or SMILES.", required=True),
            Option("angles", int, "Settings of each torsion.", 4),
            Option("torsions", int, "Torsions at most; those that part the ligand most evenly are kept.", 6),
            Option("seed", int, "Seed of the conformation made from SMILES.", SEED),
        ),
        unfolding,
    ),
)
