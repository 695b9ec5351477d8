"""Integrals, qubit mappings and exact energies against stored answers, PennyLane and each other; mistakes in files."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from molecules_small import H2_FCIDUMP, along, random_integrals, stored, xyz
from shared_data import shared

from trine.devices.errors import InputError
from trine.quantum.hamiltonian import Hamiltonian
from trine.quantum.molecules.ansatz import reference_of
from trine.quantum.molecules.codes import MAPPINGS, Code, code_named, columns, inverse, kernel, times
from trine.quantum.molecules.excitations import Excitation
from trine.quantum.molecules.fcidump import read_fcidump
from trine.quantum.molecules.fermions import add, as_hamiltonian, jordan_wigner, ladder, product
from trine.quantum.molecules.hartree_fock import hartree_fock, read_openfermion
from trine.quantum.molecules.integrals import Integrals
from trine.quantum.molecules.molecule import Molecule, from_labels, label, read_molecule, write_molecule
from trine.quantum.molecules.sector import Sector, lowest
from trine.quantum.molecules.stating import open_molecule, state_molecule


def fci(molecule: Molecule) -> float:
    half = molecule.orbitals
    return Sector((half, half), molecule.electrons).lowest(molecule.hamiltonian)[0]


def slater_condon(integrals: Integrals) -> np.ndarray:
    """The Hamiltonian among determinants by second quantisation on occupation tuples: no Pauli strings."""
    n = integrals.orbitals

    def act(
        orbital: int, creates: bool, state: tuple[int, ...], sign: int
    ) -> tuple[tuple[int, ...], int] | None:
        if (orbital in state) == creates:
            return None
        sign *= (-1) ** sum(q < orbital for q in state)
        changed = set(state) ^ {orbital}
        return tuple(sorted(changed)), sign

    ups, downs = (
        list(combinations(range(s, s + n), k))
        for s, k in ((0, integrals.electrons[0]), (n, integrals.electrons[1]))
    )
    states = [u + d for d in downs for u in ups]
    place = {s: k for k, s in enumerate(states)}
    spins = range(2 * n)
    found = integrals.constant * np.eye(len(states))
    for column, state in enumerate(states):
        for q in state:
            for p in spins:
                if p // n == q // n:
                    found_one = act(q, False, state, 1)
                    assert found_one is not None
                    moved = act(p, True, *found_one)
                    if moved is not None:
                        found[place[moved[0]], column] += moved[1] * integrals.one[p % n, q % n]
        for q, s in ((q, s) for q in state for s in state if q != s):
            for p in (p for p in spins if p // n == q // n):
                for r in (r for r in spins if r // n == s // n):
                    step = (state, 1)
                    for orbital, creates in ((q, False), (s, False), (r, True), (p, True)):
                        after = act(orbital, creates, *step)
                        if after is None:
                            break
                        step = after
                    else:
                        value = 0.5 * integrals.two[p % n, q % n, r % n, s % n]
                        found[place[step[0]], column] += step[1] * value
    return found


@pytest.mark.parametrize("electrons", [(1, 1), (2, 1), (3, 2), (0, 2)])
def test_jordan_wigner_equals_second_quantisation(electrons: tuple[int, int]) -> None:
    integrals = random_integrals(3, 3, electrons)
    sector = Sector((3, 3), electrons)
    expected = slater_condon(integrals)
    assert np.abs(sector.matrix(jordan_wigner(integrals)).toarray() - expected).max() < 1e-10
    assert integrals.reference_energy() == pytest.approx(expected[0, 0], abs=1e-10)


def test_ladders_anticommute() -> None:
    for p in range(3):
        for q in range(3):
            total = product(ladder(p, False), ladder(q, True))
            add(total, product(ladder(q, True), ladder(p, False)))
            assert {k: v for k, v in total.items() if v != 0} == ({(0, 0): 1.0} if p == q else {})


@pytest.mark.parametrize("active", [(2, 2), (4, 3), (4, 4), (6, 4)])
def test_active_space_freezes_the_lowest_orbitals(active: tuple[int, int]) -> None:
    whole = random_integrals(1, 5, (3, 3))
    cut = whole.active(*active)
    frozen = 3 - active[0] // 2
    sector = Sector((5, 5), (3, 3))
    core = ((1 << frozen) - 1) * ((1 << 5) + 1)
    top = ((1 << (frozen + active[1])) - 1) * ((1 << 5) + 1)
    inside = np.flatnonzero(((sector.states & core) == core) & ((sector.states & ~top) == 0))
    full = sector.matrix(jordan_wigner(whole)).toarray()[np.ix_(inside, inside)]
    small = Sector((active[1],) * 2, cut.electrons).matrix(jordan_wigner(cut)).toarray()
    assert np.abs(full - small).max() < 1e-9


@pytest.mark.parametrize(
    ("atoms", "options", "hf", "exact"),
    [
        # quantum fact sheet, section 3, by PySCF and PennyLane
        (along(("H", 0), ("H", 0.735)), {}, -1.116998997, -1.137306036),
        (along(("He", 0), ("H", 0.774)), {"charge": 1}, None, -2.851410449),
        (along(("Li", 0), ("H", 1.6)), {"active_electrons": 2, "active_orbitals": 5}, None, -7.88209661),
        (along(*(("H", float(k)) for k in range(6))), {}, None, -3.236066280),
    ],
)
def test_geometry_to_exact_energy(
    tmp_path: Path,
    atoms: list[tuple[str, float, float, float]],
    options: dict[str, int],
    hf: float | None,
    exact: float,
) -> None:
    molecule = state_molecule(xyz=xyz(tmp_path, *atoms), **options)  # type: ignore[arg-type]
    assert fci(molecule) == pytest.approx(exact, abs=1e-8)
    if hf is not None:
        assert molecule.reference_energy == pytest.approx(hf, abs=1e-9)


def test_pennylane_makes_the_same_spectrum(tmp_path: Path) -> None:
    """Its own active space and Jordan-Wigner, on interleaved spin orbitals."""
    from pennylane import qchem

    made = state_molecule(
        xyz=xyz(tmp_path, *along(("Li", 0), ("H", 1.6))), active_electrons=2, active_orbitals=3
    )
    theirs = qchem.Molecule(["Li", "H"], np.array([[0, 0, 0], [0, 0, 1.6]]), unit="angstrom")
    other, qubits = qchem.molecular_hamiltonian(theirs, active_electrons=2, active_orbitals=3, method="dhf")
    assert qubits == made.hamiltonian.qubits
    assert len(other.pauli_rep) == len(made.hamiltonian.terms)
    expected = np.linalg.eigvalsh(other.sparse_matrix().toarray())
    whole = Sector((qubits,), (None,)).matrix(made.hamiltonian).toarray()
    assert np.abs(np.linalg.eigvalsh(whole) - expected).max() < 1e-7


def test_pyscf_makes_the_same_energies(tmp_path: Path) -> None:
    pytest.importorskip("pyscf", reason="pyscf is optional")
    path = xyz(tmp_path, *along(("Li", 0), ("H", 1.6)))
    ours, theirs = (state_molecule(xyz=path, integrals_by=by) for by in ("pennylane", "pyscf"))
    assert fci(ours) == pytest.approx(fci(theirs), abs=1e-7)


def test_smiles(tmp_path: Path) -> None:
    molecule = state_molecule(smiles="[H][H]")
    assert molecule.electrons == (1, 1)
    assert molecule.notes["formula"] == "H2"
    bond = abs(np.subtract(*np.array(molecule.notes["positions_angstrom"])))
    assert np.linalg.norm(bond) == pytest.approx(0.74, abs=0.05)


def test_fcidump_of_shared_data() -> None:
    molecule = open_molecule(shared("quantum_molecules/fcidump/h2.fcidump"))
    assert fci(molecule) == pytest.approx(-1.1373060357534, abs=1e-12)
    assert molecule.reference_energy == pytest.approx(-1.116998996754, abs=1e-10)


def test_openfermion_files() -> None:
    import h5py

    shared("quantum_molecules/openfermion")
    for path in stored():
        with h5py.File(path) as file:
            exact, field = float(file["fci_energy"][()]), float(file["hf_energy"][()])
        molecule = open_molecule(path)
        assert fci(molecule) == pytest.approx(exact, abs=1e-10), path.stem
        assert molecule.reference_energy == pytest.approx(field, abs=1e-9), path.stem
        assert read_openfermion(path).stationarity() < 1e-6, path.stem


def test_hydrogen_lattice_energies_of_both_hamiltonians() -> None:
    for path in sorted(shared("quantum_molecules/hydrogen_lattice").glob("*.json")):
        answers = dict(line.split(": ") for line in path.with_suffix(".sol").read_text().split("\n") if line)
        molecule = open_molecule(path)
        assert fci(molecule) == pytest.approx(float(answers["fci_energy"]), abs=1e-10)
        paired = from_labels(json.loads(path.read_text())["paired_hamiltonian"], path.name)
        pairs = Sector((molecule.orbitals,), (molecule.electrons[0],))
        assert pairs.lowest(paired)[0] == pytest.approx(float(answers["doci_energy"]), abs=1e-10)


@pytest.mark.parametrize("mapping", MAPPINGS)
@pytest.mark.parametrize("electrons", [(1, 1), (2, 1)])
def test_mappings_keep_the_sector(mapping: str, electrons: tuple[int, int]) -> None:
    """Matrix elements between mapped strings are those between determinants."""
    hamiltonian = jordan_wigner(random_integrals(5, 3, electrons))
    code = code_named(mapping, hamiltonian, reference_of(3, electrons))
    sector = Sector((3, 3), electrons)
    expected = sector.matrix(hamiltonian).toarray()
    assert all(code.admits(s) for s in sector.states.tolist())
    places = [code.bits(s) for s in sector.states.tolist()]
    assert len(set(places)) == sector.size
    found = Sector((code.qubits,), (None,)).matrix(code.apply(hamiltonian)).toarray()
    assert np.abs(found[np.ix_(places, places)] - expected).max() < 1e-10
    assert code.qubits == {"jordan-wigner": 6, "parity": 6, "parity-reduced": 4, "tapered": 4}[mapping]


def test_tapering_finds_the_symmetries_of_h2_and_lih(tmp_path: Path) -> None:
    h2 = state_molecule(xyz=xyz(tmp_path, *along(("H", 0), ("H", 0.735))))
    code = code_named("tapered", h2.hamiltonian, reference_of(2, (1, 1)))
    assert code.qubits == 1  # Bravyi et al. 2017, section 5
    assert lowest(Sector((1,), (None,)).matrix(code.apply(h2.hamiltonian)))[0] == pytest.approx(
        fci(h2), abs=1e-9
    )


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 8))
def test_linear_algebra_over_bits(seed: int, n: int) -> None:
    generator = np.random.default_rng(seed)
    vectors = [int(v) for v in generator.integers(0, 1 << n, n)]
    null = kernel(vectors, n)
    assert all((v & k).bit_count() % 2 == 0 for v in vectors for k in null)
    rank = round(np.log2(len({sum_of(vectors, mask) for mask in range(1 << n)})))
    assert len(null) == n - rank
    try:
        turned = inverse(vectors)
    except InputError:
        assert rank < n
        return
    word = int(generator.integers(0, 1 << n))
    assert times(turned, times(vectors, word)) == word
    assert columns(columns(vectors, n), n) == tuple(vectors)


def sum_of(vectors: list[int], mask: int) -> int:
    total = 0
    for k, v in enumerate(vectors):
        total ^= v if mask >> k & 1 else 0
    return total


def test_a_code_must_keep_what_it_fixes() -> None:
    with pytest.raises(InputError, match="does not keep"):
        Code("wrong", (1, 2), {0: 0}).apply(Hamiltonian(2, {((0, "X"),): 1.0}))


@pytest.mark.parametrize(
    "excitation", [Excitation((0,), (2,)), Excitation((0, 4), (2, 5)), Excitation((0, 1), (2, 3))]
)
def test_excitations_are_the_same_as_pairs_and_as_strings(excitation: Excitation) -> None:
    electrons = (2, 1)
    sector = Sector((4, 4), electrons)
    generator = as_hamiltonian(excitation.generator(), 8)  # i (T - T+)
    dense = -1j * sector.matrix(generator).toarray()
    source, target, sign = excitation.pairs(sector)
    expected = np.zeros((sector.size,) * 2)
    expected[target, source] += sign
    expected[source, target] -= sign
    assert np.abs(dense - expected).max() < 1e-12
    assert len(source) > 0


def test_file_and_labels(tmp_path: Path) -> None:
    path = tmp_path / "h2.fcidump"
    path.write_text(H2_FCIDUMP)
    made = state_molecule(fcidump=path)
    write_molecule(made, tmp_path / "h2.json")
    again = read_molecule(tmp_path / "h2.json")
    assert again == made
    assert again.text() == made.text()
    assert label(((0, "X"), (2, "Z")), 4) == "IZIX"
    assert dict(from_labels({"IZIX": 1.0}, "here").terms) == {((0, "X"), (2, "Z")): 1.0}


def broken(old: str, new: str) -> str:
    assert old in H2_FCIDUMP
    return H2_FCIDUMP.replace(old, new)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1"),
        (broken("&FCI", "FCI"), "line 1: an FCIDUMP begins"),
        (broken("NORB=2", "NORB=two"), "NORB is two"),
        (broken("MS2=0", "MS2=1"), "MS2=1 cannot be together"),
        (broken("MS2=0", "MS2=0, IUHF=1"), "UHF"),
        (broken("529665E-01   1   1   2   2", "   1   1   2   3"), "line 3: indices go from 0 to NORB=2"),
        (broken("529665E-01   1   1   2   2", "   1   1   2"), "line 3: needs a number and four indices"),
        (broken("6.6458173025529665E-01   1", "abc   1"), "line 3: .* is no number"),
        (broken("-1.2563390730032502E+00   1   1", "nan   1   1"), "line 6: the integral is nan"),
        (broken("E+00   1   1   0", "   1   0   1"), "line 6: indices 1 0 1 0 stand for no integral"),
        (broken("NELEC=2", "NELEC=6"), "3 up and 3 down electrons in 2 orbitals"),
    ],
)  # fmt: skip
def test_malformed_fcidump(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.fcidump"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_fcidump(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("two\n\nH 0 0 0\n", "line 1: give the number of atoms"),
        ("2\n\nH 0 0 0\n", "announces 2 atoms, 1 lines"),
        ("1\n\nQq 0 0 0\n", "atom 1: 'Qq' is no element"),
        ("1\n\nH 0 zero 0\n", "line 3: give an element and three coordinates"),
        ("2\n\nH 0 0 0\nH 0 0 nan\n", "atom 2: a coordinate"),
        ("2\n\nH 0 0 0\nH 0 0 0\n", "atoms 1 and 2 are less than"),
        ("1\n\nH 0 0 0\n", "has 1 electrons: closed-shell"),
        ("1\n\nAr 0 0 0\n", "PennyLane has no sto-3g for Ar"),
    ],
)
def test_bad_geometry(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.xyz"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        state_molecule(xyz=path)


def test_bad_choices(tmp_path: Path) -> None:
    path = xyz(tmp_path, *along(("H", 0), ("H", 0.735)))
    fcidump = tmp_path / "h2.fcidump"
    fcidump.write_text(H2_FCIDUMP)
    for options, message in (
        ({"xyz": path, "basis": "sto-4g"}, "basis 'sto-4g'"),
        ({"xyz": path, "charge": 1}, "has 1 electrons"),
        ({"xyz": path, "integrals_by": "psi4"}, "integrals by 'psi4'"),
        ({"xyz": path, "fcidump": fcidump}, "give one of"),
        ({}, "give one of"),
        ({"xyz": tmp_path / "no.xyz"}, "cannot be read"),
        ({"fcidump": tmp_path / "no.fcidump"}, "cannot be read"),
        ({"openfermion": tmp_path / "no.hdf5"}, "cannot be read"),
        ({"openfermion": fcidump}, "no OpenFermion file"),
        ({"fcidump": fcidump, "charge": 1}, "--charge belongs to --xyz"),
        ({"fcidump": fcidump, "active_electrons": 1}, "1 active electrons of 2"),
        ({"fcidump": fcidump, "active_orbitals": 3}, "3 active orbitals"),
        ({"smiles": "C1CC"}, "no valid SMILES"),
        ({"smiles": "c1ccccc1"}, "basis functions"),
    ):
        with pytest.raises(InputError, match=message):
            state_molecule(**options)  # type: ignore[arg-type]


def test_unconverged_field_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from trine.quantum.molecules import hartree_fock as module
    from trine.quantum.molecules.geometry import Geometry

    geometry = Geometry(("H", "H"), ((0.0, 0.0, 0.0), (0.0, 0.0, 0.735)))
    monkeypatch.setattr(module, "with_pennylane", lambda *_: random_integrals(0, 2, (1, 1)))
    with pytest.raises(InputError, match="did not converge"):
        hartree_fock(geometry)


def test_bad_molecule_files(tmp_path: Path) -> None:
    path = tmp_path / "molecule.json"
    good = {"schema": "trine.molecule/1", "electrons": [1, 1], "terms": {"IIII": 1.0}}
    for change, message in (
        ({"schema": "trine.problem/1"}, "schema is"),
        ({"electrons": [3, 1]}, "do not fit 4 qubits"),
        ({"electrons": 2}, r"give \[up, down\]"),
        ({"terms": {"IIII": 1.0, "IIX": 2.0}}, "give 4 letters"),
        ({"terms": {"IIII": "x"}}, "finite number"),
        ({"terms": {}}, "terms are a map"),
    ):
        path.write_text(json.dumps({**good, **change}))
        with pytest.raises(InputError, match=message):
            read_molecule(path)
    path.write_text("{")
    with pytest.raises(InputError, match="line 1"):
        read_molecule(path)
    with pytest.raises(InputError, match="molecules are read from"):
        open_molecule(tmp_path / "x.pdb")


def test_sector_says_memory_and_limit() -> None:
    with pytest.raises(
        InputError, match=r"would take .* GiB, 0\.0 GiB may be used: choose a smaller active space"
    ):
        Sector((16, 16), (8, 8), memory=1 << 20)
    with pytest.raises(InputError, match="does not keep"):
        Sector((1, 1), (1, 0)).matrix(Hamiltonian(2, {((0, "X"),): 1.0}))


def test_asymmetric_integrals_are_refused() -> None:
    good = random_integrals(0, 2, (1, 1))
    one = good.one.copy()
    one[0, 1] += 1
    with pytest.raises(InputError, match="h_pq is not symmetric"):
        Integrals(0.0, one, good.two, (1, 1))
    two = good.two.copy()
    two[0, 1, 0, 0] += 1
    with pytest.raises(InputError, match="chemists' order"):
        Integrals(0.0, good.one, two, (1, 1))
