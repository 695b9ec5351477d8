"""HP chains: proved optima of the data, the bound against plain enumeration, bad input."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import pytest
from shared_data import shared

from trine.devices.errors import InputError, MissingExtra
from trine.quantum.optima import hp_walks
from trine.quantum.optima.hp_walks import best_walk, greedy_walk
from trine.quantum.problems import hp_lattice

Site = tuple[int, int]


def contacts(sequence: str, walk: list[Site]) -> int:
    place = {site: k for k, site in enumerate(walk)}
    assert len(place) == len(walk) == len(sequence)
    found = 0
    for k, (x, y) in enumerate(walk):
        if k:
            assert abs(x - walk[k - 1][0]) + abs(y - walk[k - 1][1]) == 1
        for other in ((x + 1, y), (x, y + 1)):
            j = place.get(other)
            found += j is not None and abs(j - k) > 1 and sequence[k] == sequence[j] == "H"
    return found


def all_walks(length: int, width: int, height: int) -> list[list[Site]]:
    """Every self-avoiding walk inside the grid from an even site."""
    waiting = [[(x, y)] for x in range(width) for y in range(height) if (x + y) % 2 == 0]
    found = []
    while waiting:
        walk = waiting.pop()
        if len(walk) == length:
            found.append(walk)
            continue
        x, y = walk[-1]
        for site in ((x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1)):
            if 0 <= site[0] < width and 0 <= site[1] < height and site not in walk:
                waiting.append([*walk, site])
    return found


@pytest.mark.parametrize("name", ["18a", "18c", "20a", "24"])
def test_known_optima(name: str) -> None:
    """Proved by our own branch and bound on a grid that no walk can leave."""
    given = next(d for d in json.loads(shared("hp_lattice/hp2d.json").read_text()) if d["id"] == name)
    walk, proved = best_walk(given["sequence"], given["n"], given["n"])
    assert walk is not None
    assert proved
    assert -contacts(given["sequence"], walk) == given["e_min"]


@pytest.mark.parametrize(("width", "height"), [(3, 3), (4, 2), (3, 4), (8, 1)])
@pytest.mark.parametrize("seed", range(4))
def test_bound_loses_nothing(width: int, height: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    length = int(generator.integers(5, 9))
    sequence = "".join("HP"[k] for k in (generator.random(length) < 0.3).astype(int))
    every = all_walks(length, width, height)
    walk, proved = best_walk(sequence, width, height)
    assert proved
    if not every:
        assert walk is None
        return
    assert walk is not None
    assert walk in every
    assert contacts(sequence, walk) == max(contacts(sequence, w) for w in every)
    first = greedy_walk(sequence, width, height)
    assert first in every


def test_bound_is_never_below_what_a_walk_reaches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked at every prefix of the search, the bound holds for the best walk that goes on from there."""
    asked: list[tuple[list[Site], int]] = []
    bound = hp_walks._bound

    def recorded(*given: Any) -> int:
        _, _, _, x, y, count, _, _ = given
        found = bound(*given)
        asked.append(([(int(a), int(b)) for a, b in zip(x[:count], y[:count], strict=True)], found))
        return 99  # nothing is pruned

    monkeypatch.setattr(hp_walks, "_bound", recorded)
    tight = 0
    for sequence in ("HHHHHHH", "HPHPPHH", "HPPHHPH"):
        asked.clear()
        best_walk(sequence, 7, 7)
        for prefix, found in asked[::11]:
            waiting, most = [prefix], 0
            while waiting:
                walk = waiting.pop()
                if len(walk) == len(sequence):
                    most = max(most, contacts(sequence, walk))
                else:
                    x, y = walk[-1]
                    steps = ((x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1))
                    waiting += [[*walk, site] for site in steps if site not in walk]
            now = contacts(sequence[: len(prefix)], prefix)
            assert most <= now + found
            tight += most == now + found
    assert tight > 0  # and is reached: it is no idle bound


def test_full_grid() -> None:
    """36 beads on 6 x 6 sites: where greedy growth paints itself into a corner, a walk is given all the same."""
    sequence = "PPPHHPPHHPPPPPHHHHHHHPPHHPPPPHHPPHPP"
    chain = hp_lattice.parse({"sequence": sequence, "width": 6, "height": 6})
    assert hp_lattice.violations(chain, hp_lattice.greedy(chain)) == []
    rows = greedy_walk(sequence, 6, 6, limit=10)
    assert rows is not None
    assert contacts(sequence, rows) > 0
    assert greedy_walk("HPHPHPHPHP", 3, 3) is None


def test_cut_short_is_said() -> None:
    walk, proved = best_walk("HHHHHHHHHHHH", 12, 12, limit=100)
    assert walk is not None
    assert not proved


def test_without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short chains need none; longer ones say what to install."""
    monkeypatch.setitem(sys.modules, "numba", None)
    hp_walks._compiled.cache_clear()
    assert best_walk("HPPHHPPH", 4, 4)[1]
    with pytest.raises(MissingExtra, match="numba"):
        best_walk("HPPHHPPHHPPHH", 6, 6)


def test_words() -> None:
    chain = hp_lattice.example()
    best = hp_lattice.exact(chain)
    assert best is not None
    answer = hp_lattice.decode(chain, np.array(best.bits, np.uint8))
    assert best.cost == -1.0
    assert answer["contacts"] == [[0, 3]]
    assert len(answer["turns"]) == 3
    nothing = hp_lattice.decode(chain, np.zeros(12, np.uint8))
    assert nothing == {"turns": None, "coordinates": None, "contacts": None}


def test_what_is_broken() -> None:
    chain = hp_lattice.parse({"sequence": "hph", "width": 3, "height": 2})
    bits = hp_lattice.bits_of(chain, {"coordinates": [[0, 0], [2, 1], [0, 0]]})
    assert hp_lattice.violations(chain, bits) == [
        "beads 0 and 2 are both at (0, 0)",
        "bond 0-1 is broken",
        "bond 1-2 is broken",
    ]
    with pytest.raises(InputError, match="no site of bead 1"):
        hp_lattice.bits_of(chain, {"coordinates": [[0, 0], [1, 1], [0, 0]]})


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"sequence": "HPXH", "width": 3, "height": 3}, "X at 2"),
        ({"sequence": "HP", "width": 3, "height": 3}, "at least 3"),
        ({"sequence": "HPHPHPH", "width": 3, "height": 2}, "infeasible"),
        ({"sequence": "HPHP", "width": 0, "height": 2}, "width"),
        ({"sequence": "HPHP", "width": 2}, "height is missing"),
    ],
)
def test_bad_input(data: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        hp_lattice.parse(data)
