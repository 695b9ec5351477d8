"""Atoms in space, from an .xyz file or a SMILES string."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from trine.devices.errors import InputError, nearest
from trine.quantum.formulate.molecules import chem, from_smiles
from trine.quantum.formulate.record import read_text

SYMBOLS = (  # atomic number = place + 1
    "H", "He", "Li", "Be", "B", "C", "N", "O", "F", "Ne", "Na", "Mg", "Al", "Si", "P", "S", "Cl", "Ar",
    "K", "Ca", "Sc", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Ga", "Ge", "As", "Se", "Br", "Kr",
    "Rb", "Sr", "Y", "Zr", "Nb", "Mo", "Tc", "Ru", "Rh", "Pd", "Ag", "Cd", "In", "Sn", "Sb", "Te", "I", "Xe",
)  # fmt: skip
CLOSEST = 0.1  # angstrom; nearer nuclei are a mistake of unit


@dataclass(frozen=True)
class Geometry:
    """Element symbols and positions [atoms][3] in angstrom.

    Raises InputError naming every atom that cannot be.
    """

    symbols: tuple[str, ...]
    positions: tuple[tuple[float, float, float], ...]

    def __post_init__(self) -> None:
        problems = [
            f"atom {k + 1}: {s!r} is no element that Trine knows (H to Xe), {nearest(s, SYMBOLS)}"
            for k, s in enumerate(self.symbols)
            if s not in SYMBOLS
        ]
        problems += [
            f"atom {k + 1}: a coordinate is no finite number"
            for k, place in enumerate(self.positions)
            if not all(map(math.isfinite, place))
        ]
        if not self.symbols:
            problems.append("no atoms")
        if len(self.symbols) != len(self.positions):
            problems.append(f"{len(self.symbols)} elements, {len(self.positions)} positions")
        for k, there in enumerate(self.positions):
            for j, here in enumerate(self.positions[:k]):
                if math.dist(here, there) < CLOSEST:
                    problems.append(
                        f"atoms {j + 1} and {k + 1} are less than {CLOSEST} angstrom apart (unit: angstrom)"
                    )
        if problems:
            raise InputError("; ".join(problems[:8]))

    @property
    def protons(self) -> int:
        """Sum of the atomic numbers."""
        return sum(SYMBOLS.index(s) + 1 for s in self.symbols)

    @property
    def formula(self) -> str:
        """Elements by name, with counts: H2O."""
        counts = {s: self.symbols.count(s) for s in sorted(set(self.symbols))}
        return "".join(s + (str(n) if n > 1 else "") for s, n in counts.items())


def read_xyz(path: Path) -> Geometry:
    """Number of atoms, a comment, then `symbol x y z` in angstrom a line. Raises InputError with the line's number."""
    lines = read_text(path).splitlines()
    try:
        count = int(lines[0])
    except (IndexError, ValueError):
        raise InputError(f"{path}: line 1: give the number of atoms") from None
    rows = [(k, line.split()) for k, line in enumerate(lines[2:], 3) if line.strip()]
    if len(rows) != count or count < 1:
        raise InputError(f"{path}: line 1 announces {count} atoms, {len(rows)} lines follow the comment")
    symbols, positions, problems = [], [], []
    for k, row in rows:
        try:
            x, y, z = map(float, row[1:4])
            symbols.append(row[0].capitalize())
            positions.append((x, y, z))
        except ValueError:
            problems.append(
                f"line {k}: give an element and three coordinates in angstrom, not {' '.join(row)!r}"
            )
    if problems:
        raise InputError(f"{path}: " + "; ".join(problems[:8]))
    try:
        return Geometry(tuple(symbols), tuple(positions))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def from_smiles_text(text: str, seed: int = 7) -> tuple[Geometry, int]:
    """(geometry, charge) of a SMILES: RDKit's ETKDG conformation, relaxed by MMFF94 where it has parameters.

    A force field's geometry, not a quantum chemist's: bond lengths are off by some hundredths of an angstrom.
    Raises InputError, MissingExtra without RDKit.
    """
    rdkit = chem()
    from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

    molecule = rdkit.AddHs(from_smiles(text, "--smiles"))
    if rdDistGeom.EmbedMolecule(molecule, randomSeed=seed) != 0:
        raise InputError(f"--smiles: no 3-D conformation of {text!r} was found; give an .xyz file")
    if rdForceFieldHelpers.MMFFHasAllMoleculeParams(molecule):
        rdForceFieldHelpers.MMFFOptimizeMolecule(molecule, maxIters=2000)
    symbols = tuple(atom.GetSymbol() for atom in molecule.GetAtoms())
    places = tuple((float(x), float(y), float(z)) for x, y, z in molecule.GetConformer().GetPositions())
    return Geometry(symbols, places), int(rdkit.GetFormalCharge(molecule))
