"""Peptide folding on the tetrahedral lattice with contact energies of Miyazawa and Jernigan.

Robert et al., npj Quantum Information 7, 38 (2021): two bits a turn, one a contact; H = H_gc + H_ch + H_in.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from itertools import product as every
from typing import Any

import numpy as np

from trine.devices.errors import InputError
from trine.quantum.biology.miyazawa_jernigan import RESIDUES
from trine.quantum.biology.peptides import (
    PUBLISHED,
    Peptide,
    Whole,
    best_fold,
    bracket,
    grown_fold,
    peptide_of,
    right_hands,
    sufficient,
)
from trine.quantum.biology.tetrahedral import Distances, angstrom, apart, handed, positions
from trine.quantum.feasible import AllStates
from trine.quantum.polynomial import Bits, Polynomial, Subset, product, total
from trine.quantum.problem import Encoding, Exact, Problem, Reader

LONGEST = 15  # beads: up to 3^12 folds are listed
Terms = dict[Subset, float]


def parse(data: Mapping[str, Any]) -> Peptide:
    """From a file's `instance`. Raises InputError: an unknown residue, a short chain, a side chain at an end."""
    reader = Reader(data, ("sequence",), ("side_chains", "penalty_back", "penalty_chiral", "penalty_contact"))
    sequence = reader.text("sequence").upper()
    sides = tuple(s.upper() for s in reader.texts("side_chains")) or ("",) * len(sequence)
    wrong = [f"{r} at {k}" for k, r in enumerate(sequence) if r not in RESIDUES]
    if wrong:
        reader.problems.append(f"sequence: {', '.join(wrong[:5])}: residues are {''.join(sorted(RESIDUES))}")
    if len(sequence) < 6:
        reader.problems.append(f"sequence has {len(sequence)} residues: below 6 nothing can touch")
    if len(sides) != len(sequence):
        reader.problems.append(f'side_chains has {len(sides)} entries: give {len(sequence)}, "" for none')
    for k, side in enumerate(sides):
        if side and (len(side) != 1 or side not in RESIDUES):
            reader.problems.append(f'side_chains[{k}] is {side!r}: give one residue, or "" for none')
        if side and k in (0, len(sequence) - 1):
            reader.problems.append(f"side_chains[{k}]: the first and the last bead have none")
    contact = reader.number("penalty_contact", PUBLISHED, 4.0)  # above half of the strongest contact, 7.37 RT
    reader.done()
    plain = peptide_of(sequence, sides, contact)
    peptide = Peptide(
        sequence,
        sides,
        reader.number("penalty_back", plain.penalty_back, 0.0),
        reader.number("penalty_chiral", plain.penalty_chiral, 0.0),
        contact,
    )
    reader.done()
    return peptide


def encode(peptide: Peptide) -> Encoding:
    """H_gc: turns along one axis. H_ch: hands of side chains. H_in: contacts."""
    layout = peptide.layout
    distances = Distances(layout)
    parts: list[Terms] = []
    for turn in range(1, layout.length - 1):
        for here, after in zip(distances.turns[turn], distances.turns[turn + 1], strict=True):
            parts.append(_times(product(here, after), peptide.penalty_back))
    parts += [_times(_chirality(distances, place), peptide.penalty_chiral) for place in layout.sides]
    for k, (a, b, energy) in enumerate(peptide.contacts, layout.bits()[2]):
        far = peptide.far(a, b)
        inside: list[Terms] = [{(): energy - far}, _times(distances.between(a, b), far)]
        for p, q in layout.beside(a, b):
            inside.append({(): 2.0 * peptide.penalty_contact})
            inside.append(_times(distances.between(p, q), -peptide.penalty_contact))
        parts.append(product({(k,): 1.0}, total(inside)))
    polynomial = Polynomial(peptide.qubits, total(parts))
    weight = min(peptide.penalty_back, peptide.penalty_chiral)
    enough = "more" if weight >= sufficient(peptide) else "LESS than needed for a proof, which takes more"
    why = f"{enough} than all contacts together can gain; a bit of a contact that is none always costs"
    return Encoding(polynomial, polynomial, AllStates(peptide.qubits), _labels(peptide), weight, why)


def _labels(peptide: Peptide) -> tuple[str, ...]:
    main, side, _ = peptide.layout.bits()
    found = [f"turn {t}, bit {k}" for t, bits in main.items() for k, b in enumerate(bits) if b is not None]
    found += [f"side chain {p}, bit {k}" for p in side for k in (0, 1)]
    return tuple(found + [f"{a.name} touches {b.name}" for a, b, _ in peptide.contacts])


def _times(terms: Terms, factor: float) -> Terms:
    return {subset: factor * value for subset, value in terms.items()}


def _chirality(distances: Distances, place: int) -> Terms:
    """1 where the side chain is not on the axis that its two turns ask for."""
    found: list[Terms] = []
    for before, after in every(range(4), range(4)):
        axis = handed(place, before, after)
        if axis is not None:
            here = product(distances.turns[place - 1][before], distances.turns[place][after])
            found += [here, _times(product(here, distances.sides[place][axis]), -1.0)]
    return total(found)


def _turns(peptide: Peptide, bits: Bits) -> tuple[Whole, Whole]:
    """Axes of the main turns and of the side turns."""
    main, side, _ = peptide.layout.bits()
    turns = [1, 0, *(2 * _bit(bits, f) + _bit(bits, s) for f, s in main.values())]
    sides = [2 * _bit(bits, f) + _bit(bits, s) for f, s in side.values()]
    return np.array(turns, np.int64), np.array(sides, np.int64)


def _bit(bits: Bits, place: int | None) -> int:
    return 1 if place is None else int(bits[place])


def _claimed(peptide: Peptide, bits: Bits) -> list[int]:
    start = peptide.layout.bits()[2]
    return [k for k in range(len(peptide.contacts)) if bits[start + k]]


def _wrong_hands(peptide: Peptide, turns: Whole, sides: Whole) -> list[int]:
    """Places whose side chain is on the wrong axis."""
    asked = [handed(p, int(turns[p - 2]), int(turns[p - 1])) for p in peptide.layout.sides]
    return [p for p, a, s in zip(peptide.layout.sides, asked, sides, strict=True) if a is not None and a != s]


def cost(peptide: Peptide, bits: Bits) -> float:
    """From coordinates: contacts claimed, turns back, wrong hands. In RT."""
    turns, sides = _turns(peptide, bits)
    found = peptide.penalty_back * sum(int(a == b) for a, b in pairwise(turns.tolist()))
    found += peptide.penalty_chiral * len(_wrong_hands(peptide, turns, sides))
    where = positions(peptide.layout, turns, sides)
    return found + sum(float(bracket(peptide, where, k)) for k in _claimed(peptide, bits))


def violations(peptide: Peptide, bits: Bits) -> list[str]:
    """Turns back, wrong hands, contacts claimed of beads that do not touch or beside an overlap."""
    turns, sides = _turns(peptide, bits)
    found = [
        f"turns {k} and {k + 1} go back and forth" for k in range(1, len(turns)) if turns[k - 1] == turns[k]
    ]
    found += [f"the side chain on {p} has the wrong hand" for p in _wrong_hands(peptide, turns, sides)]
    where = positions(peptide.layout, turns, sides)
    for k in _claimed(peptide, bits):
        a, b, _ = peptide.contacts[k]
        if apart(where, a, b) != 1:
            found.append(f"{a.name} and {b.name} do not touch")
        elif any(apart(where, p, q) == 0 for p, q in peptide.layout.beside(a, b)):
            found.append(f"beads overlap beside the contact of {a.name} and {b.name}")
    return found


def decode(peptide: Peptide, bits: Bits) -> dict[str, Any]:
    """Turns (axes 0 to 3), contacts, energy, coordinates in angstrom; beads that overlap (H does not see all)."""
    turns, sides = _turns(peptide, bits)
    where = positions(peptide.layout, turns, sides)
    beads = peptide.layout.beads
    overlaps = [[a.name, b.name] for a in beads for b in beads if a < b and apart(where, a, b) == 0]
    return {
        "turns": turns.tolist(),
        "side_turns": {str(p): int(t) for p, t in zip(peptide.layout.sides, sides, strict=True)},
        "contacts": [
            [peptide.contacts[k][0].name, peptide.contacts[k][1].name] for k in _claimed(peptide, bits)
        ],
        "energy": cost(peptide, bits),
        "self_avoiding": not overlaps,
        "overlaps": overlaps,
        "coordinates": {b.name: angstrom(where[b]) for b in beads},
    }


def bits_of(peptide: Peptide, answer: Mapping[str, Any]) -> Bits:
    """From turns, side turns and contacts. Raises InputError for what the encoding cannot say."""
    main, side, start = peptide.layout.bits()
    turns = [int(t) for t in answer["turns"]]
    if len(turns) != len(peptide.sequence) - 1 or not set(turns) <= {0, 1, 2, 3}:
        raise InputError(f"turns: give {len(peptide.sequence) - 1} axes from 0 to 3")
    if turns[:2] != [1, 0] or (main[3][1] is None and turns[2] not in (1, 3)):
        raise InputError(f"turns: {turns[:3]}: rotate the fold so that it begins 1, 0 and then 1 or 3")
    bits = np.zeros(peptide.qubits, np.uint8)
    sides = {p: int(answer["side_turns"][str(p)]) for p in side}
    for (first, second), axis in [(main[t], turns[t - 1]) for t in main] + [
        (side[p], sides[p]) for p in side
    ]:
        for bit, value in ((first, axis // 2), (second, axis % 2)):
            if bit is not None:
                bits[bit] = value
    names = [[a.name, b.name] for a, b, _ in peptide.contacts]
    for pair in answer["contacts"]:
        if list(pair) not in names:
            raise InputError(f"contacts: {pair} can never touch")
        bits[start + names.index(list(pair))] = 1
    return bits


def _settled(peptide: Peptide, turns: Whole) -> Bits:
    """The string of one fold with the right hands and all contacts that gain."""
    sides = right_hands(peptide, turns[None, :])[0]
    where = positions(peptide.layout, turns, sides)
    gained = [c for k, c in enumerate(peptide.contacts) if bracket(peptide, where, k) < 0]
    answer = {
        "turns": turns.tolist(),
        "side_turns": {str(p): int(s) for p, s in zip(peptide.layout.sides, sides, strict=True)},
        "contacts": [[a.name, b.name] for a, b, _ in gained],
    }
    return bits_of(peptide, answer)


def exact(peptide: Peptide) -> Exact | None:
    """All folds that never go back, each with the contacts that gain; None above 15 beads."""
    if len(peptide.sequence) > LONGEST:
        return None
    turns, count = best_fold(peptide)
    bits = _settled(peptide, turns)
    return Exact(cost(peptide, bits), tuple(int(b) for b in bits), f"all {count:,} folds, proved")


def greedy(peptide: Peptide) -> Bits:
    """Grown turn by turn: where the main chain's new contacts gain most, on free sites first."""
    return _settled(peptide, grown_fold(peptide))


def example() -> Peptide:
    """APRLRFY with the published penalties: 9 qubits; two folds with the contact 1-6 are best."""
    return Peptide("APRLRFY", ("",) * 7, PUBLISHED, PUBLISHED, PUBLISHED)


def sample(generator: np.random.Generator, qubits: int) -> Peptide:
    """Random residues, as many as fit the qubits, six at least."""
    sizes = {n: peptide_of("A" * n).qubits for n in range(6, 20)}
    beads = max((n for n in sizes if sizes[n] <= qubits), default=6)
    return peptide_of("".join(RESIDUES[k] for k in generator.integers(0, 20, beads)))


PROBLEM = Problem(
    "folding", "peptide folding on the tetrahedral lattice", "Robert 2021 (npj Quantum Information 7, 38)",
    parse, encode, cost, violations, decode, bits_of, exact, greedy, example, sample,
    unit="RT",
    keys={
        "sequence": "residues of the main chain in one-letter code, at least 6",
        "side_chains": 'one residue for each bead, "" for none; none at all if left out',
        "penalty_back": "for turning back, RT; 10 or what suffices if left out",
        "penalty_chiral": "for a side chain of the wrong hand, RT; 10 or what suffices if left out",
        "penalty_contact": "lambda_1, for overlaps beside contacts, RT; 10 if left out, at least 4",
    },
)  # fmt: skip
