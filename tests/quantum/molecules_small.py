"""Small molecules for tests: an FCIDUMP, geometries, random integrals, the shared files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from shared_data import ROOT

from trine.quantum.molecules.integrals import Integrals

H2_FCIDUMP = """&FCI NORB=2,NELEC=2,MS2=0, ORBSYM=1,1, ISYM=1, /
 6.7571015480351648E-01   1   1   1   1
 6.6458173025529665E-01   1   1   2   2
 1.8093119978423133E-01   1   2   1   2
 6.9857372273201834E-01   2   2   2   2
-1.2563390730032502E+00   1   1   0   0
-4.7189600728114062E-01   2   2   0   0
 7.1996899444897966E-01   0   0   0   0
"""  # H2, 0.735 angstrom, STO-3G


def xyz(folder: Path, *atoms: tuple[str, float, float, float]) -> Path:
    path = folder / "molecule.xyz"
    rows = [f"{s} {x} {y} {z}" for s, x, y, z in atoms]
    path.write_text("\n".join([str(len(rows)), "", *rows, ""]))
    return path


def along(*atoms: tuple[str, float]) -> list[tuple[str, float, float, float]]:
    return [(s, 0.0, 0.0, z) for s, z in atoms]


def random_integrals(seed: int, orbitals: int, electrons: tuple[int, int]) -> Integrals:
    """With the symmetries of real orbitals, no others."""
    generator = np.random.default_rng(seed)
    one = generator.normal(size=(orbitals,) * 2)
    two = generator.normal(size=(orbitals,) * 4)
    two = two + two.transpose(1, 0, 2, 3)
    two = two + two.transpose(0, 1, 3, 2)
    return Integrals(generator.normal(), one + one.T, two + two.transpose(2, 3, 0, 1), electrons)


def stored() -> list[Path]:
    return sorted((ROOT / "quantum_molecules" / "openfermion").glob("*.hdf5"))
