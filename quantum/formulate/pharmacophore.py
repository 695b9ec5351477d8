"""Pharmacophore points of a ligand and of a pocket, by RDKit's feature definitions; how much a pair of them counts."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from trine.devices.errors import InputError
from trine.quantum.biology.points import Point
from trine.quantum.formulate.molecules import chem, name_of, positions, quiet
from trine.quantum.formulate.record import read_text

# Knowledge-based potential between kinds of points: Banchi et al. 2020 (Sci. Adv. 6, eaax1950; arXiv 1902.00462), table
# S1, from a public transcription; the paper itself was not at hand. Four entries (donor-acceptor 0.6686,
# donor-hydrophobe 0.1453, donor-aromatic 0.1091, acceptor-aromatic 0.0770) are weights of NVIDIA's examples after Ding
# et al. 2023, too.
KINDS = ("negative", "positive", "donor", "acceptor", "hydrophobe", "aromatic")
POTENTIAL = np.array(
    [
        [0.2953, 0.6459, 0.7114, 0.6450, 0.1802, 0.0000],
        [0.6459, 0.1596, 0.4781, 0.7029, 0.0679, 0.1555],
        [0.7114, 0.4781, 0.5244, 0.6686, 0.1453, 0.1091],
        [0.6450, 0.7029, 0.6686, 0.5478, 0.2317, 0.0770],
        [0.1802, 0.0679, 0.1453, 0.2317, 0.0504, 0.0795],
        [0.0000, 0.1555, 0.1091, 0.0770, 0.0795, 0.1943],
    ]
)
FAMILIES = {  # RDKit's BaseFeatures.fdef -> kind
    "NegIonizable": "negative",
    "PosIonizable": "positive",
    "Donor": "donor",
    "Acceptor": "acceptor",
    "LumpedHydrophobe": "hydrophobe",
    "Hydrophobe": "hydrophobe",
    "Aromatic": "aromatic",
}
RENAMED = {  # protonation states as named by Amber and CHARMM -> the residue
    "ASH": "ASP", "GLH": "GLU", "CYX": "CYS", "CYM": "CYS", "HID": "HIS", "HIE": "HIS", "HIP": "HIS", "LYN": "LYS",
}  # fmt: skip
RESIDUES = {
    "ALA", "ARG", "ASN", "ASP", "CYS", "GLN", "GLU", "GLY", "HIS", "ILE", "LEU", "LYS", "MET", "MSE", "PHE", "PRO",
    "SER", "THR", "TRP", "TYR", "VAL", "ACE", "NME", "NH2", *RENAMED,
}  # fmt: skip


@dataclass(frozen=True)
class Feature:
    """A pharmacophore point; xyz in angstrom."""

    kind: str
    name: str
    xyz: Point
    atoms: tuple[int, ...] = ()


def ligand_features(molecule: Any) -> list[Feature]:
    """Points of a ligand with 3-D coordinates. Raises InputError."""
    positions(molecule, f"ligand {name_of(molecule)}")
    names = [f"{a.GetSymbol()}{a.GetIdx() + 1}" for a in molecule.GetAtoms()]
    return features(molecule, lambda atoms: ",".join(names[a] for a in atoms))


def pocket_features(path: Path) -> list[Feature]:
    """Points of a pocket's residues. Raises InputError for unknown residues and files RDKit cannot read."""
    block = protein_lines(path)
    rdkit = chem()
    with quiet():
        molecule = rdkit.MolFromPDBBlock(block, removeHs=True, sanitize=True)
    if molecule is None or not molecule.GetNumAtoms():
        raise InputError(
            f"{path}: no valid protein structure in its ATOM records (a valence that cannot be?)"
        )

    def name(atoms: tuple[int, ...]) -> str:
        info = [molecule.GetAtomWithIdx(a).GetPDBResidueInfo() for a in atoms]
        where = f"{info[0].GetResidueName().strip()}{info[0].GetResidueNumber()}"
        chain = info[0].GetChainId().strip()
        return f"{where}{'.' + chain if chain else ''} {','.join(i.GetName().strip() for i in info)}"

    return features(molecule, name)


def protein_lines(path: Path) -> str:
    """The ATOM lines with residues' usual names; hetero atoms (water, ions, another ligand) are no part of the pocket.

    Raises InputError naming every residue that is unknown and its line.
    """
    kept: list[str] = []
    unknown: dict[str, int] = {}
    for k, line in enumerate(read_text(path).splitlines(), 1):
        if line.startswith("ENDMDL"):
            break
        if not line.startswith("ATOM  ") and not (line.startswith("HETATM") and line[17:20] == "MSE"):
            continue
        residue = line[17:20].strip()
        try:
            xyz = [float(line[c : c + 8]) for c in (30, 38, 46)]
        except ValueError:
            raise InputError(f"{path}: line {k}: columns 31 to 54 must hold three coordinates") from None
        if not np.isfinite(xyz).all():
            raise InputError(f"{path}: line {k}: a coordinate is no finite number")
        if residue not in RESIDUES:
            unknown.setdefault(f"{residue} {line[22:26].strip()}", k)
        kept.append(line[:17] + f"{RENAMED.get(residue, residue):>3}" + line[20:])
    if unknown:
        listed = ", ".join(f"{name} (line {k})" for name, k in list(unknown.items())[:5])
        raise InputError(
            f"{path}: unknown residue {listed}: pharmacophore points are known for the twenty amino acids; name it as "
            "one of them, or mark it HETATM to leave it out"
        )
    if not kept:
        raise InputError(f"{path}: holds no ATOM record; give the pocket as PDB")
    return "\n".join(kept) + "\nEND\n"


def features(molecule: Any, name: Any) -> list[Feature]:
    """Points by RDKit's definitions, in order of kind and atoms; a hydrophobe inside a lumped one is left to it."""
    found: dict[tuple[str, tuple[int, ...]], Feature] = {}
    lumped: set[int] = set()
    made = [
        (FAMILIES[f.GetFamily()], f)
        for f in factory().GetFeaturesForMol(molecule)
        if f.GetFamily() in FAMILIES
    ]
    for _, feature in made:
        if feature.GetFamily() == "LumpedHydrophobe":
            lumped |= set(feature.GetAtomIds())
    for kind, feature in made:
        atoms = tuple(sorted(feature.GetAtomIds()))
        if feature.GetFamily() == "Hydrophobe" and lumped & set(atoms):
            continue
        p = feature.GetPos()
        found[kind, atoms] = Feature(kind, f"{kind} {name(atoms)}", (p.x, p.y, p.z), atoms)
    return [found[key] for key in sorted(found, key=lambda key: (KINDS.index(key[0]), key[1]))]


def factory() -> Any:
    """RDKit's feature factory."""
    from rdkit import RDConfig

    made = import_module("rdkit.Chem.ChemicalFeatures")  # adds the methods that its compiled part lacks
    return made.BuildFeatureFactory(str(Path(RDConfig.RDDataDir) / "BaseFeatures.fdef"))
