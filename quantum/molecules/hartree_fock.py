"""Integrals in Hartree-Fock orbitals: by PennyLane's own, by PySCF where installed, or stored by OpenFermion."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from trine.devices.errors import InputError, MissingExtra, nearest
from trine.quantum.molecules.geometry import Geometry
from trine.quantum.molecules.integrals import Float, Integrals, check_memory

CONVERGED = 1e-4  # hartree, largest |F_ia|: the energy is then right to its square
STEPS = 200
FUNCTIONS = 30  # of PennyLane's integrals: 9 take seconds, and the time grows with the fourth power


def chemists(two: Float) -> Float:
    """(pq|rs) from a+_p a+_q a_r a_s coefficients, the order of OpenFermion and PennyLane."""
    return np.ascontiguousarray(two.transpose(0, 3, 1, 2))


def closed_shell(geometry: Geometry, charge: int) -> tuple[int, int]:
    """Electrons up and down. Raises InputError for an odd number or none."""
    electrons = geometry.protons - charge
    if electrons < 1 or electrons % 2:
        raise InputError(
            f"{geometry.formula} with charge {charge} has {electrons} electrons: closed-shell Hartree-Fock needs "
            "an even number; another charge, or an FCIDUMP (MS2) of an open-shell program"
        )
    return electrons // 2, electrons // 2


def hartree_fock(
    geometry: Geometry, charge: int = 0, basis: str = "sto-3g", by: str = "pennylane"
) -> Integrals:
    """All orbitals of the basis. by: pennylane or pyscf. Raises InputError, MissingExtra."""
    makers = {"pennylane": with_pennylane, "pyscf": with_pyscf}
    if by not in makers:
        raise InputError(f"integrals by {by!r}: {nearest(by, makers)}")
    found = makers[by](geometry, closed_shell(geometry, charge), charge, basis)
    if found.stationarity() > CONVERGED:
        raise InputError(
            f"{geometry.formula}: Hartree-Fock did not converge in {by} (gradient {found.stationarity():.1g} hartree); "
            "check the geometry, or give an FCIDUMP of another program"
        )
    return found


def with_pennylane(geometry: Geometry, electrons: tuple[int, int], charge: int, basis: str) -> Integrals:
    """By pennylane.qchem (Arrazola et al. 2021, arXiv 2111.09967): exact, and slow above some 20 basis functions."""
    try:
        from pennylane import qchem
        from pennylane.qchem.basis_data import basis_sets
    except ImportError:
        raise MissingExtra("pennylane", "quantum", "Hartree-Fock") from None
    if basis not in basis_sets:
        raise InputError(f"basis {basis!r}: {nearest(basis, basis_sets)}")
    strangers = sorted(set(geometry.symbols) - set(basis_sets[basis]))
    if strangers:
        raise InputError(
            f"PennyLane has no {basis} for {', '.join(strangers)}, only for {', '.join(basis_sets[basis])}; "
            "integrals by pyscf, or an FCIDUMP"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # complex parts that it drops are zero
        molecule = qchem.Molecule(
            list(geometry.symbols),
            np.array(geometry.positions),
            charge=charge,
            basis_name=basis,
            unit="angstrom",
        )
        check_functions(molecule.n_orbitals)
        constant, one, two = qchem.electron_integrals(molecule)()
    one, two = np.asarray(one, float), chemists(np.asarray(two, float))
    return Integrals(float(np.asarray(constant).item()), (one + one.T) / 2, two, electrons)


def check_functions(functions: int) -> None:
    """Raise InputError for more than PennyLane's integrals can do in minutes."""
    if functions > FUNCTIONS:
        raise InputError(
            f"{functions} basis functions: PennyLane's integrals take hours above {FUNCTIONS}; "
            "--integrals-by pyscf, or --fcidump of another program"
        )


def with_pyscf(geometry: Geometry, electrons: tuple[int, int], charge: int, basis: str) -> Integrals:
    """By PySCF's restricted Hartree-Fock."""
    try:
        from pyscf import ao2mo, gto, scf
    except ImportError:
        raise MissingExtra("pyscf", "chemistry", "Hartree-Fock by PySCF") from None
    try:
        molecule = gto.M(
            atom=list(zip(geometry.symbols, geometry.positions)), charge=charge, basis=basis, verbose=0
        )
    except (KeyError, RuntimeError) as error:
        raise InputError(f"PySCF has no basis {basis!r} for {geometry.formula} ({error})") from None
    check_memory(molecule.nao)
    field = scf.RHF(molecule).run(max_cycle=STEPS, conv_tol=1e-11)
    orbitals = field.mo_coeff
    two = ao2mo.restore(1, ao2mo.kernel(molecule, orbitals), orbitals.shape[1])
    one = orbitals.T @ field.get_hcore() @ orbitals
    return Integrals(float(molecule.energy_nuc()), one, np.asarray(two), electrons)


def read_openfermion(path: Path) -> Integrals:
    """OpenFermion's MolecularData (.hdf5) with its integrals, through h5py alone. Raises InputError, MissingExtra."""
    try:
        import h5py
    except ImportError:
        raise MissingExtra("h5py", "chemistry", "OpenFermion's files") from None
    if not path.is_file():
        raise InputError(f"{path}: cannot be read (no such file)")
    try:
        with h5py.File(path, "r") as file:
            stored = {
                key: np.asarray(file[key][()])
                for key in (
                    "nuclear_repulsion",
                    "one_body_integrals",
                    "two_body_integrals",
                    "n_electrons",
                    "multiplicity",
                )
            }
    except (OSError, KeyError) as error:
        raise InputError(f"{path}: is no OpenFermion file with integrals ({error})") from None
    one, two = stored["one_body_integrals"], stored["two_body_integrals"]
    if one.ndim != 2 or two.ndim != 4:
        raise InputError(f"{path}: holds no integrals (run OpenFermion's plug-in with run_scf=True)")
    total, surplus = int(stored["n_electrons"]), int(stored["multiplicity"]) - 1
    check_memory(len(one))
    try:
        return Integrals(
            float(stored["nuclear_repulsion"]),
            one,
            chemists(two),
            ((total + surplus) // 2, (total - surplus) // 2),
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
