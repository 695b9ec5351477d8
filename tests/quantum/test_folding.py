"""Tetrahedral folding: the published operator's size and ground states, geometry, side chains, bad input."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from trine.devices.errors import InputError
from trine.quantum.biology.miyazawa_jernigan import RESIDUES, contact_energy
from trine.quantum.biology.peptides import bracket, peptide_of
from trine.quantum.biology.tetrahedral import (
    BOND,
    Bead,
    Distances,
    Layout,
    angstrom,
    apart,
    handed,
    positions,
)
from trine.quantum.polynomial import all_bits
from trine.quantum.problems import folding


def test_published_operator() -> None:
    """APRLRFY, penalties 10: 9 qubits, 77 Pauli strings, ground states 010100101 and 011000101."""
    encoding = folding.encode(
        folding.parse({"sequence": "APRLRFY", "penalty_back": 10, "penalty_chiral": 10})
    )
    assert encoding.qubits == 9
    assert len(encoding.hamiltonian.terms) == 77
    energies = encoding.polynomial.diagonal()
    lowest = np.flatnonzero(energies < energies.min() + 1e-6)
    assert [f"{k:09b}" for k in lowest] == ["010100101", "011000101"]
    assert energies.min() == pytest.approx(contact_energy("A", "F"))


@pytest.mark.parametrize(("sequence", "qubits"), [("APRLRFY", 9), ("DRVYIHPFHL", 22)])
def test_published_sizes(sequence: str, qubits: int) -> None:
    """2 (N - 3) - 1 bits of turns and one a contact: 7 residues on 9, angiotensin on 22."""
    assert peptide_of(sequence).qubits == qubits


def test_contact_energies() -> None:
    assert len(RESIDUES) == 20
    assert contact_energy("L", "L") == -7.37  # the strongest, Table 3
    assert contact_energy("K", "K") == -0.12  # the weakest
    assert contact_energy("A", "F") == contact_energy("F", "A") == -4.81
    values = [contact_energy(a, b) for a in RESIDUES for b in RESIDUES]
    assert (min(values), max(values)) == (-7.37, -0.12)


@pytest.mark.parametrize("sides", [(), (2,), (3, 5)])
def test_distances_of_bits_are_those_of_coordinates(sides: tuple[int, ...]) -> None:
    """Polynomial = four-axis coordinates = angstrom: contact at one bond, second neighbours at sqrt(8/3) bonds."""
    layout = Layout(6, sides)
    main, side, count = layout.bits()
    distances = Distances(layout)
    pairs = [(a, b) for a in layout.beads for b in layout.beads if a < b]
    for bits in all_bits(count)[:: max(1, 2**count // 64)]:
        value = {None: 1, **{k: int(b) for k, b in enumerate(bits)}}
        turns = np.array([1, 0, *(2 * value[f] + value[s] for f, s in main.values())])
        hands = np.array([2 * value[f] + value[s] for f, s in side.values()], int)
        where = positions(layout, turns, hands)
        for a, b in pairs:
            terms = distances.between(a, b)
            found = sum(v * np.prod(bits[list(s)]) for s, v in terms.items())
            assert found == apart(where, a, b)
            real = np.linalg.norm(np.subtract(angstrom(where[a]), angstrom(where[b]))) / BOND
            known = {0: 0.0, 1: 1.0, 2: np.sqrt(8 / 3)}
            if found in known:
                assert real == pytest.approx(known[found], abs=1e-3)


def test_hands_are_mirror_images() -> None:
    """Of the two free axes a side chain takes one; the other where the turns are exchanged or the bead is odd."""
    for before, after in permutations(range(4), 2):
        axis, other = handed(2, before, after), handed(2, after, before)
        assert {before, after, axis, other} == {0, 1, 2, 3}
        assert handed(3, before, after) == other
    assert handed(2, 1, 1) is None


@pytest.mark.parametrize("sides", [("", "A", "", "", "", ""), ("", "", "F", "", "", "")])
def test_side_chains(sides: tuple[str, ...]) -> None:
    """Energy = plain cost for every string, the optimum is the spectrum's least, hands are right."""
    peptide = peptide_of("APRLRF", sides)
    encoding = folding.encode(peptide)
    energies = encoding.polynomial.diagonal()
    strings = all_bits(encoding.qubits)
    plain = [folding.cost(peptide, row) for row in strings[::7]]
    np.testing.assert_allclose(energies[::7], plain, atol=1e-9)
    best = folding.exact(peptide)
    assert best is not None
    assert best.cost == pytest.approx(energies.min(), abs=1e-6)
    row = np.array(best.bits, np.uint8)
    assert folding.violations(peptide, row) == []
    assert np.array_equal(folding.bits_of(peptide, folding.decode(peptide, row)), row)


def test_wrong_hands_and_contacts_are_named() -> None:
    peptide = peptide_of("APRLRF", ("", "A", "", "", "", ""))
    _, side, start = peptide.layout.bits()
    row = np.array(folding.exact(peptide).bits, np.uint8)
    row[side[2][0]] ^= 1
    assert "the side chain on 2 has the wrong hand" in folding.violations(peptide, row)
    row[start:] = 1
    assert any("do not touch" in line for line in folding.violations(peptide, row))


def test_longer_chain() -> None:
    """Angiotensin: the listed optimum is a fold with real contacts; no bit of it can be flipped for the better."""
    peptide = peptide_of("DRVYIHPFHL")
    best = folding.exact(peptide)
    assert best is not None
    row = np.array(best.bits, np.uint8)
    answer = folding.decode(peptide, row)
    claimed = [
        contact_energy(peptide.sequence[int(a) - 1], peptide.sequence[int(b) - 1])
        for a, b in answer["contacts"]
    ]
    assert best.cost == pytest.approx(sum(claimed))
    assert best.cost < 0
    polynomial = folding.encode(peptide).polynomial
    flipped = np.bitwise_xor(row, np.eye(22, dtype=np.uint8))
    assert polynomial.energy(flipped).min() >= best.cost - 1e-9


@pytest.mark.parametrize("sides", [(), (2, 5, 6, 9)])
def test_wrong_contacts_always_cost(sides: tuple[int, ...]) -> None:
    """Any fold, even one that goes back: a contact's bit pays only where its beads touch and none beside overlap."""
    generator = np.random.default_rng(6)
    peptide = peptide_of("L" * 11, tuple("L" if k in sides else "" for k in range(1, 12)), contact=4.0)
    turns = generator.integers(0, 4, (4000, 10))
    turns[::2, 1:] = (np.cumsum(generator.integers(1, 4, (2000, 10)), axis=1) % 4)[:, 1:]
    where = positions(peptide.layout, turns, generator.integers(0, 4, (4000, len(sides))))
    for k, (a, b, energy) in enumerate(peptide.contacts):
        value = bracket(peptide, where, k)
        right = apart(where, a, b) == 1
        for p, q in peptide.layout.beside(a, b):
            right &= apart(where, p, q) > 0
        np.testing.assert_allclose(value[right], energy)
        assert value[~right].min() > 0


def test_neighbours_and_contacts() -> None:
    layout = Layout(7, (3,))
    assert layout.neighbours(Bead(3, False)) == (Bead(2, False), Bead(3, True), Bead(4, False))
    assert [(a.name, b.name) for a, b in layout.contacts()] == [("3s", "7"), ("1", "6"), ("2", "7")]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"sequence": "APRLRFB"}, "B at 6"),
        ({"sequence": "APRLR"}, "below 6"),
        ({"sequence": "APRLRFY", "side_chains": ["A", "", "", "", "", "", ""]}, "first and the last"),
        ({"sequence": "APRLRFY", "side_chains": ["", "AA", "", "", "", "", ""]}, "one residue"),
        ({"sequence": "APRLRFY", "side_chains": [""]}, "give 7"),
        ({"sequence": "APRLRFY", "penalty_contact": 1.0}, "penalty_contact"),
    ],
)
def test_bad_input(data: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        folding.parse(data)


def test_answers_that_cannot_be() -> None:
    peptide = folding.example()
    with pytest.raises(InputError, match="begins 1, 0"):
        folding.bits_of(peptide, {"turns": [0, 1, 2, 0, 1, 2], "side_turns": {}, "contacts": []})
    with pytest.raises(InputError, match="can never touch"):
        folding.bits_of(peptide, {"turns": [1, 0, 1, 0, 1, 2], "side_turns": {}, "contacts": [["1", "5"]]})
