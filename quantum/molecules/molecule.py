"""`Molecule`: electrons on qubits, as a record with its file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trine.devices.errors import InputError
from trine.quantum.formulate.record import read_text, source
from trine.quantum.hamiltonian import Hamiltonian, PauliString
from trine.quantum.molecules.fermions import jordan_wigner
from trine.quantum.molecules.integrals import Integrals

SCHEMA = "trine.molecule/1"


@dataclass(frozen=True)
class Molecule:
    """A Jordan-Wigner Hamiltonian in hartree, total energies; qubit p is orbital p spin up, n + p spin down.

    electrons: up and down. reference_energy: of the lowest orbitals filled (Hartree-Fock), None where not known.
    notes: geometry, basis, file. Raises InputError.
    """

    hamiltonian: Hamiltonian
    electrons: tuple[int, int]
    reference_energy: float | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        half, odd = divmod(self.hamiltonian.qubits, 2)
        if odd or any(not 0 <= k <= half for k in self.electrons) or sum(self.electrons) < 1:
            raise InputError(
                f"{self.electrons} electrons (up, down) do not fit {self.hamiltonian.qubits} qubits"
            )

    @property
    def orbitals(self) -> int:
        """Spatial orbitals."""
        return self.hamiltonian.qubits // 2

    @staticmethod
    def of(integrals: Integrals, notes: Mapping[str, Any]) -> Molecule:
        """By Jordan-Wigner."""
        return Molecule(jordan_wigner(integrals), integrals.electrons, integrals.reference_energy(), notes)

    def as_json(self) -> dict[str, Any]:
        """The object of the file. Pauli strings with qubit 0 rightmost, as qiskit prints them."""
        n = self.hamiltonian.qubits
        return {
            "schema": SCHEMA,
            "problem": "molecule",
            "electrons": list(self.electrons),
            "reference_energy": self.reference_energy,
            "terms": {label(string, n): weight for string, weight in self.hamiltonian.terms.items()},
            "notes": dict(self.notes),
        }

    def text(self) -> str:
        """The file, the same bytes each time."""
        return json.dumps(self.as_json(), indent=1, sort_keys=True, allow_nan=False) + "\n"


def label(string: PauliString, qubits: int) -> str:
    """ "IIXZ": qubit 0 rightmost."""
    letters = dict(string)
    return "".join(letters.get(q, "I") for q in reversed(range(qubits)))


def from_labels(terms: Any, where: str) -> Hamiltonian:
    """{"IIXZ": weight} -> Hamiltonian. Raises InputError naming the first strings that cannot be."""
    if not isinstance(terms, dict) or not terms:
        raise InputError(f"{where}: terms are a map from Pauli strings to weights")
    n, problems = len(next(iter(terms))), []
    found: dict[PauliString, float] = {}
    for text, weight in terms.items():
        if len(text) != n or set(text) - set("IXYZ") or not n:
            problems.append(f"{text!r}: give {n} letters of I, X, Y and Z")
        elif isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight):
            problems.append(f"{text}: its weight is {weight!r}: give a finite number")
        else:
            string = tuple((q, letter) for q, letter in enumerate(reversed(text)) if letter != "I")
            found[string] = float(weight)
    if problems:
        raise InputError(f"{where}: " + "; ".join(problems[:5]))
    return Hamiltonian(n, found)


def read_lattice(path: Path) -> Molecule:
    """A hydrogen chain of SRI's QC-App-Oriented-Benchmarks: its Jordan-Wigner strings. Raises InputError."""
    data = read_json(path)
    keys = ("spatial_orbitals", "alpha_electrons", "beta_electrons")
    counts = [value for value in map(data.get, keys) if type(value) is int]
    if len(counts) != len(keys):
        raise InputError(f"{path}: needs spatial_orbitals, alpha_electrons and beta_electrons")
    hamiltonian = from_labels(data.get("jordan_wigner_hamiltonian"), f"{path}: jordan_wigner_hamiltonian")
    if hamiltonian.qubits != 2 * counts[0]:
        raise InputError(f"{path}: {counts[0]} orbitals, but strings of {hamiltonian.qubits} letters")
    return Molecule(hamiltonian, (counts[1], counts[2]), data.get("hf_energy"), source(path))


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises InputError with line and column."""
    try:
        data = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: line {error.lineno}, column {error.colno}: {error.msg}") from None
    if not isinstance(data, dict):
        raise InputError(f"{path}: holds no JSON object")
    return data


def read_molecule(path: Path) -> Molecule:
    """A molecule file of `write_molecule`, or a hydrogen-lattice .json. Raises InputError."""
    data = read_json(path)
    if "jordan_wigner_hamiltonian" in data:
        return read_lattice(path)
    if data.get("schema") != SCHEMA:
        raise InputError(f"{path}: schema is {data.get('schema')!r}, a molecule's is {SCHEMA!r}")
    electrons, energy = data.get("electrons"), data.get("reference_energy")
    if not isinstance(electrons, list) or len(electrons) != 2 or not all(type(k) is int for k in electrons):
        raise InputError(f"{path}: electrons is {electrons!r}: give [up, down]")
    if energy is not None and (isinstance(energy, bool) or not isinstance(energy, int | float)):
        raise InputError(f"{path}: reference_energy is {energy!r}: give hartree or null")
    try:
        hamiltonian = from_labels(data.get("terms"), "terms")
        return Molecule(hamiltonian, (electrons[0], electrons[1]), energy, data.get("notes") or {})
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def write_molecule(molecule: Molecule, path: Path) -> None:
    """Write beside its final place, then rename. Raises InputError where that cannot be."""
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(molecule.text(), encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error})") from None
