"""Molecules from SMILES and SDF by RDKit, with messages that say which molecule and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trine.devices.errors import InputError, MissingExtra, nearest
from trine.quantum.formulate.record import read_bytes, read_text


def chem() -> Any:
    """rdkit.Chem. Raises MissingExtra."""
    try:
        from rdkit import Chem
    except ImportError:
        raise MissingExtra("rdkit", "chemistry", "reading molecules") from None
    return Chem


@contextmanager
def quiet() -> Iterator[None]:
    """RDKit's own messages kept back: ours say where and what to try."""
    from rdkit import rdBase

    blocker = rdBase.BlockLogs()
    try:
        yield
    finally:
        del blocker


def from_smiles(text: str, where: str) -> Any:
    """A molecule. Raises InputError."""
    rdkit = chem()
    with quiet():
        molecule = rdkit.MolFromSmiles(text)
    if molecule is None or not molecule.GetNumAtoms():
        raise InputError(
            f"{where}: {text!r} is no valid SMILES (unclosed ring, bad valence or unknown element?)"
        )
    if not molecule.HasProp("_Name"):
        molecule.SetProp("_Name", text)
    return molecule


def read_molecules(path: Path) -> list[Any]:
    """All molecules of an .sdf, .mol or .smi (SMILES and name a line). Raises InputError naming record or line."""
    rdkit = chem()
    kind = path.suffix.lower()
    if kind in (".smi", ".smiles", ".txt"):
        return read_smiles_file(path)
    if kind not in (".sdf", ".mol"):
        raise InputError(f"{path}: molecules are read from .sdf, .mol and .smi files")
    read_bytes(path)
    with quiet():
        supplier = rdkit.SDMolSupplier(str(path), removeHs=True, sanitize=True)
        found = list(supplier)
    wrong = [str(k + 1) for k, molecule in enumerate(found) if molecule is None]
    if wrong or not found:
        what = f"record {', '.join(wrong[:5])}: no valid molecule" if wrong else "holds no molecule"
        raise InputError(f"{path}: {what} (atoms and bonds as an MDL mol block)")
    for k, molecule in enumerate(found):
        if not molecule.HasProp("_Name") or not molecule.GetProp("_Name").strip():
            molecule.SetProp("_Name", path.stem if len(found) == 1 else f"{path.stem} {k + 1}")
    return found


def read_smiles_file(path: Path) -> list[Any]:
    """SMILES and, after a blank, a name on each line; # begins a comment line."""
    found = []
    for k, line in enumerate(read_text(path).splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            smiles, _, name = (
                line.strip().partition(" ") if " " in line.strip() else line.strip().partition("\t")
            )
            molecule = from_smiles(smiles, f"{path}: line {k}")
            molecule.SetProp("_Name", name.strip() or smiles)
            found.append(molecule)
    if not found:
        raise InputError(f"{path}: holds no molecule; give SMILES and a name on each line")
    return found


def one_molecule(text: str, what: str) -> Any:
    """A molecule from a file that exists, else from SMILES. Raises InputError."""
    path = Path(text)
    if path.suffix.lower() in (".sdf", ".mol", ".smi", ".smiles") or ("/" in text and path.exists()):
        found = read_molecules(path)
        if len(found) != 1:
            raise InputError(f"{what} {path}: holds {len(found)} molecules; give a file with one")
        return found[0]
    return from_smiles(text, what)


def chosen(molecules: list[Any], record: str | None, path: Path) -> Any:
    """One molecule of a file, by name or by its number from 1. Raises InputError."""
    names = [name_of(m) for m in molecules]
    if record is None:
        if len(molecules) > 1:
            listed = ", ".join(names[:6])
            raise InputError(f"{path}: holds {len(molecules)} molecules; choose one by --record: {listed}")
        return molecules[0]
    if record in names:
        return molecules[names.index(record)]
    if record.isdigit() and 1 <= int(record) <= len(molecules):
        return molecules[int(record) - 1]
    raise InputError(f"{path}: no molecule {record!r} among {len(molecules)}: {nearest(record, names)}")


def name_of(molecule: Any) -> str:
    """The molecule's name."""
    return str(molecule.GetProp("_Name")).strip()


def positions(molecule: Any, what: str) -> Any:
    """Positions [n, 3] in angstrom. Raises InputError for a molecule without 3-D coordinates."""
    import numpy as np

    advice = "give an SDF with a conformation, made for example by RDKit's EmbedMolecule or obabel --gen3d"
    if not molecule.GetNumConformers():
        raise InputError(f"{what}: has no 3-D coordinates (no conformation at all); {advice}")
    xyz = np.array(molecule.GetConformer().GetPositions())
    if not np.isfinite(xyz).all():
        raise InputError(f"{what}: a coordinate is no finite number")
    spread = np.ptp(xyz, axis=0)
    if len(xyz) > 1 and spread.max() < 1e-3:
        raise InputError(f"{what}: has no 3-D coordinates (all atoms at one place); {advice}")
    if len(xyz) > 3 and spread[2] < 1e-6 and not molecule.GetConformer().Is3D():
        raise InputError(f"{what}: has no 3-D coordinates (a flat drawing, all z equal); {advice}")
    return xyz
