"""From a molecule's file to energies, circuits and their price: what the command line calls."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trine.devices import QuantumDevice
from trine.devices.errors import InputError
from trine.quantum.hamiltonian import Hamiltonian
from trine.quantum.molecules.ansatz import reference_of
from trine.quantum.molecules.codes import code_named
from trine.quantum.molecules.engines import SectorEngine
from trine.quantum.molecules.measure import Measurements, measurements, priced
from trine.quantum.molecules.molecule import SCHEMA, Molecule, read_json
from trine.quantum.molecules.stating import open_molecule
from trine.quantum.molecules.vqe import CHEMICAL_ACCURACY, Progress, VqeResult, as_json, vqe
from trine.quantum.plan.shots import for_precision
from trine.quantum.statevector import Complex

FEWEST = "tapered"
OUTSIDE = 1e-9  # probability; the optimiser's rounding


@dataclass(frozen=True)
class Prepared:
    """A molecule, its variational state, and how a machine would measure its energy after `mapping`."""

    molecule: Molecule
    result: VqeResult
    mapping: str
    hamiltonian: Hamiltonian
    measurements: Measurements


def run_molecule(
    path: Path, ansatz: str = "uccsd", *, mapping: str | None = None, precision: float = CHEMICAL_ACCURACY,
    device: QuantumDevice | None = None, checkpoint: Path | None = None, progress: Progress | None = None,
    **options: Any,
) -> dict[str, Any]:  # fmt: skip
    """Energies beside Hartree-Fock and exact diagonalisation, the circuits that would measure them, and on a device
    their gates, fidelity and price. mapping: as `prepare` takes it. options: those of `vqe`. A JSON object.
    Raises InputError, MissingExtra."""
    for_precision(1.0, precision)  # before the work, not after it
    molecule = open_molecule(path)
    result = vqe(
        molecule.hamiltonian, molecule.electrons, ansatz, mapping=mapping or FEWEST, checkpoint=checkpoint,
        progress=progress, **options,
    )  # fmt: skip
    made = prepare(molecule, result, mapping, precision)
    found: dict[str, Any] = {
        "molecule": summary(molecule),
        "vqe": as_json(result),
        "measurement": {
            "mapping": made.mapping, "qubits": made.hamiltonian.qubits, "terms": len(made.hamiltonian.terms),
            "two_qubit_gates": made.measurements.prepared.two_qubit_gates(), **made.measurements.as_json(),
        },
        "verdict": verdict(result),
    }  # fmt: skip
    if device is not None:
        exact = "exact diagonalisation" if result.fci is not None else ""
        found["plan"] = priced(device, made.measurements, exact).as_json()
    return found


def is_molecule(path: Path) -> bool:
    """Whether a path names a molecule, by suffix or by a JSON file's keys; False for what cannot be read."""
    if path.suffix.lower() != ".json":
        return path.suffix.lower() in (".xyz", ".fcidump", ".hdf5", ".h5")
    try:
        data = read_json(path)
    except InputError:
        return False
    return data.get("schema") == SCHEMA or "jordan_wigner_hamiltonian" in data


def summary(molecule: Molecule) -> dict[str, Any]:
    """What `trine formulate molecule` prints: sizes before and after tapering, and the reference's energy."""
    code = code_named("tapered", molecule.hamiltonian, reference_of(molecule.orbitals, molecule.electrons))
    return {
        "problem": "molecule",
        "electrons": list(molecule.electrons),
        "orbitals": molecule.orbitals,
        "qubits": molecule.hamiltonian.qubits,
        "qubits_tapered": code.qubits,
        "terms": len(molecule.hamiltonian.terms),
        "reference_hartree": molecule.reference_energy,
        "notes": dict(molecule.notes),
    }


def prepare(
    molecule: Molecule, result: VqeResult, mapping: str | None = None, precision: float = CHEMICAL_ACCURACY
) -> Prepared:
    """Circuits, groups and shots of a result. mapping: one of `codes.MAPPINGS`; by default tapered, or parity-reduced
    where the state leaves the reference's symmetry. A hardware-efficient circuit keeps the one it was made for.
    Raises InputError for a mapping that does not hold the state."""
    if result.excitations is None:
        return prepared(molecule, result, result.mapping, precision, None)
    for name in (FEWEST, "parity-reduced") if mapping is None else (mapping,):
        state, outside = state_of(molecule, result, name)
        if outside <= OUTSIDE:
            return prepared(molecule, result, name, precision, state)
    raise InputError(
        f"mapping {mapping}: {outside:.2g} of the state lies outside the reference's symmetry; use parity-reduced"
    )


def prepared(
    molecule: Molecule, result: VqeResult, mapping: str, precision: float, state: Complex | None
) -> Prepared:
    """With a mapping that holds the state. Raises InputError where nothing is left to measure."""
    hamiltonian = molecule.hamiltonian
    code = code_named(mapping, hamiltonian, reference_of(molecule.orbitals, molecule.electrons))
    turned = code.apply(hamiltonian)
    if turned.qubits < 1:
        raise InputError(f"{mapping}: symmetry alone fixes the state; there is nothing to measure")
    made = measurements(turned, result.bound(hamiltonian, mapping), precision, state)
    return Prepared(molecule, result, mapping, turned, made)


def state_of(molecule: Molecule, result: VqeResult, mapping: str) -> tuple[Complex, float]:
    """(amplitudes [2^qubits] after a mapping, up to a phase; the probability that it cannot hold)."""
    assert result.excitations is not None
    engine = SectorEngine(molecule.hamiltonian, molecule.electrons)
    engine.set_excitations(result.excitations.excitations)
    code = code_named(mapping, molecule.hamiltonian, result.excitations.reference)
    found, outside = np.zeros(1 << code.qubits, np.complex128), 0.0
    amplitudes = engine.state(np.array(result.parameters))
    for occupation, amplitude in zip(engine.sector.states.tolist(), amplitudes, strict=True):
        if code.admits(occupation):
            found[code.bits(occupation)] += amplitude
        else:
            outside += float(amplitude) ** 2
    return found, outside


def verdict(result: VqeResult) -> str:
    """In words, against the exact energy and Hartree-Fock."""
    if result.error is None:
        return "the exact energy is out of reach here: compare with coupled cluster of a classical program"
    close = "within" if abs(result.error) <= CHEMICAL_ACCURACY else "not within"
    return (
        f"{close} chemical accuracy (1.6 mHa): {1e3 * result.error:.3g} mHa above exact diagonalisation, which takes "
        "this computer seconds; Hartree-Fock is "
        f"{1e3 * (result.reference - (result.fci or 0.0)):.3g} mHa above it"
    )
