"""Stating a molecule from files and SMILES; the options are described so that a command line can be made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trine.devices.errors import InputError
from trine.quantum.formulate.record import Option, one_of, source
from trine.quantum.molecules.fcidump import read_fcidump
from trine.quantum.molecules.geometry import from_smiles_text, read_xyz
from trine.quantum.molecules.hartree_fock import hartree_fock, read_openfermion
from trine.quantum.molecules.molecule import Molecule, read_lattice, read_molecule

OPTIONS = (
    Option("xyz", Path, "Geometry in angstrom, .xyz."),
    Option("smiles", str, "SMILES; the geometry is RDKit's force field's."),
    Option("fcidump", Path, "Integrals of another program, FCIDUMP."),
    Option("openfermion", Path, "OpenFermion's MolecularData with integrals, .hdf5."),
    Option("lattice", Path, "Hydrogen chain of SRI's benchmarks, .json with Pauli strings."),
    Option("charge", int, "Charge of the geometry of --xyz."),
    Option("basis", str, "Basis set of Hartree-Fock.", "sto-3g"),
    Option("active_electrons", int, "Electrons that are correlated; an even number below stays frozen."),
    Option("active_orbitals", int, "Orbitals they may use; two qubits each."),
    Option("integrals_by", str, "pennylane, or pyscf where installed.", "pennylane"),
)


def state_molecule(
    *, xyz: Path | None = None, smiles: str | None = None, fcidump: Path | None = None, openfermion: Path | None = None,
    lattice: Path | None = None, charge: int | None = None, basis: str = "sto-3g", active_electrons: int | None = None,
    active_orbitals: int | None = None, integrals_by: str = "pennylane",
) -> Molecule:  # fmt: skip
    """A molecule from exactly one of: geometry, SMILES, FCIDUMP, OpenFermion's .hdf5, a hydrogen-lattice .json.

    charge, basis and integrals_by serve xyz and smiles (a SMILES states its own charge).
    Raises InputError, MissingExtra.
    """
    kind = one_of(xyz=xyz, smiles=smiles, fcidump=fcidump, openfermion=openfermion, lattice=lattice)
    cut = active_electrons is not None or active_orbitals is not None
    if kind != "xyz" and charge is not None:
        raise InputError(f"--charge belongs to --xyz; --{kind} states it itself")
    if kind == "lattice":
        assert lattice is not None
        if cut:
            raise InputError(
                "--active-electrons and --active-orbitals need integrals; --lattice holds Pauli strings"
            )
        return read_lattice(lattice)
    notes: dict[str, Any]
    if kind == "fcidump":
        assert fcidump is not None
        made, notes = read_fcidump(fcidump), source(fcidump)
    elif kind == "openfermion":
        assert openfermion is not None
        made, notes = read_openfermion(openfermion), source(openfermion)
    else:
        if xyz is not None:
            geometry, notes = read_xyz(xyz), source(xyz)
        else:
            assert smiles is not None
            geometry, charge = from_smiles_text(smiles)
            notes = {"smiles": smiles}
        made = hartree_fock(geometry, charge or 0, basis, integrals_by)
        notes |= {
            "formula": geometry.formula, "charge": charge or 0, "basis": basis, "integrals": integrals_by,
            "symbols": list(geometry.symbols), "positions_angstrom": [list(p) for p in geometry.positions],
        }  # fmt: skip
    whole = (sum(made.electrons), made.orbitals)
    made = made.active(active_electrons, active_orbitals)
    if (sum(made.electrons), made.orbitals) != whole:
        notes["active space"] = (
            f"{sum(made.electrons)} of {whole[0]} electrons in {made.orbitals} of {whole[1]} orbitals"
        )
    return Molecule.of(made, notes)


def open_molecule(path: Path) -> Molecule:
    """A molecule file, or by its suffix a geometry (.xyz, neutral, STO-3G), .fcidump or .hdf5. Raises InputError."""
    suffix = path.suffix.lower()
    if suffix == ".xyz":
        return state_molecule(xyz=path)
    if suffix == ".fcidump":
        return state_molecule(fcidump=path)
    if suffix in (".hdf5", ".h5"):
        return state_molecule(openfermion=path)
    if suffix != ".json":
        raise InputError(
            f"{path}: molecules are read from .json (trine formulate molecule), .xyz, .fcidump and .hdf5"
        )
    return read_molecule(path)
