"""HP model on the square lattice: fold a chain of H and P beads so that most H beads touch.

Model: Lau & Dill, Macromolecules 22, 3986 (1989). Spatial encoding, a bit for each bead and site of its colour of the
checkerboard: Irback et al., Phys. Rev. Research 4, 043013 (2022); on annealers also Perdomo-Ortiz 2012, Babej 2018
(arXiv 1811.00713).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, pairwise
from typing import Any

import numpy as np

from trine.devices.errors import InputError
from trine.quantum.feasible import OneHot
from trine.quantum.optima.choices import consecutive
from trine.quantum.optima.hp_walks import best_walk, greedy_walk
from trine.quantum.polynomial import Bits, Polynomial, Subset, exactly_one, total
from trine.quantum.problem import Encoding, Exact, Problem, Reader

Site = tuple[int, int]


@dataclass(frozen=True)
class Chain:
    """A chain of H and P beads on a grid of width x height sites; bead 0 is on a site with x + y even.

    Nothing is lost by that where a side is even: a reflection changes the colours.
    """

    sequence: str
    width: int
    height: int

    def as_json(self) -> dict[str, Any]:
        """The instance's object."""
        return {"sequence": self.sequence, "width": self.width, "height": self.height}

    @cached_property
    def sites(self) -> tuple[tuple[Site, ...], tuple[Site, ...]]:
        """Sites (x, y) with x + y even, and odd."""
        grid = [(x, y) for y in range(self.height) for x in range(self.width)]
        return tuple(s for s in grid if sum(s) % 2 == 0), tuple(s for s in grid if sum(s) % 2 == 1)

    @cached_property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """The bits of each bead, one a site of its colour."""
        return consecutive([len(self.sites[bead % 2]) for bead in range(len(self.sequence))])

    @cached_property
    def qubits(self) -> int:
        """Bits of all beads."""
        return sum(map(len, self.groups))

    @property
    def penalty(self) -> float:
        """Of each broken rule.

        A site touches 4 others and n n' <= (n^2 + n'^2)/2, so contacts are at most 2 sum n^2 over the H beads n of a
        site, n^2 = n + 2 (pairs on it), and a bead is on at most 1 + (its one-hot violation) sites: with n_H beads H,
        contacts <= 2 n_H + 4 violations. P = 2 n_H + 5 puts every broken string above 0, the cost of a straight walk.
        """
        return 2.0 * self.sequence.count("H") + 5.0


def parse(data: Mapping[str, Any]) -> Chain:
    """From a file's `instance`. Raises InputError: another letter, too short, or a grid that the chain cannot fit."""
    reader = Reader(data, ("sequence", "width", "height"))
    sequence = reader.text("sequence").upper()
    wrong = [f"{letter} at {k}" for k, letter in enumerate(sequence) if letter not in "HP"]
    if wrong:
        reader.problems.append(f"sequence: {', '.join(wrong[:5])}: beads are H (hydrophobic) or P (polar)")
    if len(sequence) < 3:
        reader.problems.append(f"sequence has {len(sequence)} beads: give at least 3")
    width, height = reader.whole("width", 1, 1, 1000), reader.whole("height", 1, 1, 1000)
    even = (width * height + 1) // 2
    if not reader.problems and (
        (len(sequence) + 1) // 2 > even or len(sequence) // 2 > width * height - even
    ):
        reader.problems.append(
            f"{len(sequence)} beads do not fit {width} x {height} sites: infeasible, make the grid larger"
        )
    reader.done()
    return Chain(sequence, width, height)


def _touch(a: Site, b: Site) -> bool:
    return abs(a[0] - b[0]) + abs(a[1] - b[1]) == 1


def _contacts(chain: Chain) -> list[tuple[int, int]]:
    """Pairs of H beads that may touch without being neighbours in the chain."""
    pairs = combinations(range(len(chain.sequence)), 2)
    return [
        (i, j)
        for i, j in pairs
        if chain.sequence[i] == chain.sequence[j] == "H" and (j - i) % 2 and j - i > 2
    ]


def encode(chain: Chain) -> Encoding:
    """Contacts count -1; P for a bead on no or several sites, two beads on one site, chain neighbours apart."""
    weight = chain.penalty
    bits = [dict(zip(chain.sites[k % 2], group, strict=True)) for k, group in enumerate(chain.groups)]
    terms: dict[Subset, float] = {}
    for i, j in _contacts(chain):
        terms.update({(a, b): -1.0 for s, a in bits[i].items() for t, b in bits[j].items() if _touch(s, t)})
    for i, j in combinations(range(len(bits)), 2):
        if (j - i) % 2 == 0:
            terms.update({(bits[i][s], bits[j][s]): weight for s in bits[i]})
        elif j == i + 1:
            apart = ((a, b) for s, a in bits[i].items() for t, b in bits[j].items() if not _touch(s, t))
            terms.update(dict.fromkeys(apart, weight))
    full = total([terms, *(exactly_one(group, weight) for group in chain.groups)])
    labels = tuple(f"bead {k} ({chain.sequence[k]}) at {s}" for k, row in enumerate(bits) for s in row)
    why = "2 n_H + 5: contacts are at most 2 n_H + 4 (rules broken), so a broken string costs more than 0"
    count = chain.qubits
    return Encoding(
        Polynomial(count, full), Polynomial(count, terms), OneHot(chain.groups), labels, weight, why
    )


def _places(chain: Chain, bits: Bits) -> list[list[Site]]:
    """The sites on which each bead is."""
    return [
        [s for s, bit in zip(chain.sites[k % 2], group, strict=True) if bits[bit]]
        for k, group in enumerate(chain.groups)
    ]


def cost(chain: Chain, bits: Bits) -> float:
    """Minus the contacts of H beads, plus the penalties."""
    places = _places(chain, bits)
    touching = sum(_touch(s, t) for i, j in _contacts(chain) for s in places[i] for t in places[j])
    broken = sum((1 - len(p)) ** 2 for p in places)
    broken += sum(not _touch(s, t) for a, b in pairwise(places) for s in a for t in b)
    broken += sum(
        s == t for i, j in combinations(range(len(places)), 2) for s in places[i] for t in places[j]
    )
    return -float(touching) + chain.penalty * broken


def violations(chain: Chain, bits: Bits) -> list[str]:
    """Beads nowhere or in several places, sites taken twice, broken bonds."""
    places = _places(chain, bits)
    found = [f"bead {k} is on {len(p)} sites" for k, p in enumerate(places) if len(p) != 1]
    if found:
        return found
    walk = [p[0] for p in places]
    found += [
        f"beads {i} and {j} are both at {walk[i]}"
        for i, j in combinations(range(len(walk)), 2)
        if walk[i] == walk[j]
    ]
    found += [f"bond {k}-{k + 1} is broken" for k in range(len(walk) - 1) if not _touch(walk[k], walk[k + 1])]
    return found


def decode(chain: Chain, bits: Bits) -> dict[str, Any]:
    """Turns (R, L, U, D), coordinates and H-H contacts; None where the string is no walk."""
    if violations(chain, bits):
        return {"turns": None, "coordinates": None, "contacts": None}
    walk = [p[0] for p in _places(chain, bits)]
    names = {(1, 0): "R", (-1, 0): "L", (0, 1): "U", (0, -1): "D"}
    turns = "".join(names[b[0] - a[0], b[1] - a[1]] for a, b in pairwise(walk))
    contacts = [[i, j] for i, j in _contacts(chain) if _touch(walk[i], walk[j])]
    return {"turns": turns, "coordinates": [list(s) for s in walk], "contacts": contacts}


def bits_of(chain: Chain, answer: Mapping[str, Any]) -> Bits:
    """From the coordinates. Raises InputError for a site outside the grid or of the wrong colour."""
    walk = [(int(x), int(y)) for x, y in answer["coordinates"]]
    if len(walk) != len(chain.sequence):
        raise InputError(f"coordinates: {len(walk)} given, the chain has {len(chain.sequence)} beads")
    bits = np.zeros(chain.qubits, np.uint8)
    for k, (site, group) in enumerate(zip(walk, chain.groups, strict=True)):
        if site not in chain.sites[k % 2]:
            raise InputError(
                f"coordinates[{k}]: {site} is no site of bead {k} (x + y is even for even beads)"
            )
        bits[group[chain.sites[k % 2].index(site)]] = 1
    return bits


def exact(chain: Chain) -> Exact | None:
    """Branch and bound over self-avoiding walks; None above 25 beads."""
    if len(chain.sequence) > 25:
        return None
    found, proved = best_walk(chain.sequence, chain.width, chain.height)
    if found is None:
        return None
    bits = bits_of(chain, {"coordinates": found})
    method = f"branch and bound over self-avoiding walks, {'proved' if proved else 'cut short'}"
    return Exact(cost(chain, bits), tuple(int(b) for b in bits), method, proved)


def greedy(chain: Chain) -> Bits:
    """Grown bead by bead where it touches most, stepping back from dead ends."""
    walk = greedy_walk(chain.sequence, chain.width, chain.height)
    if walk is None:
        raise InputError(f"no walk of {len(chain.sequence)} beads fits {chain.width} x {chain.height} sites")
    return bits_of(chain, {"coordinates": walk})


def example() -> Chain:
    """HPPH on 2 x 3 sites: a hairpin with one contact."""
    return Chain("HPPH", 3, 2)


def sample(generator: np.random.Generator, qubits: int) -> Chain:
    """A random chain of H (6 in 10) and P on the 2-row grid that comes nearest to `qubits`."""
    sizes = [(beads, width) for beads in range(3, 40) for width in range(2, 12) if beads <= 2 * width]
    beads, width = min(sizes, key=lambda s: (abs(s[0] * s[1] - qubits), s))
    letters = generator.random(beads) < 0.6
    return Chain("".join("H" if h else "P" for h in letters), width, 2)


PROBLEM = Problem(
    "hp_lattice", "HP model: fold a chain on the square lattice",
    "Lau & Dill 1989; Irback 2022 (Phys. Rev. Research 4, 043013)",
    parse, encode, cost, violations, decode, bits_of, exact, greedy, example, sample,
    unit="contacts",
    keys={
        "sequence": "letters H (hydrophobic) and P (polar), at least 3",
        "width": "sites along x", "height": "sites along y",
    },
)  # fmt: skip
