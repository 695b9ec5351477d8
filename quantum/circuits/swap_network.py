"""Dense commuting gates on a line of qubits: neighbours swap in turns until all that have a gate have met.

On n qubits in a row any pair meets once within n rounds of odd and even swaps (Kivlichan et al. 2018, arXiv 1711.04789;
O'Gorman et al. 2019, arXiv 1905.05118). A swap after a ZZ turn on the same pair costs one gate more, not three. Who
begins where is chosen so that pairs without a gate meet last: then the last rounds are never played. A general router
keeps the order that the gates are written in, though they commute.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trine.quantum.circuit import Circuit, Gate, gate

RESTARTS, STEPS = 8, 12_000  # of the search for a start: two seconds at 24 qubits
LATER = 1.6  # times worse to meet one round later: so the last rounds count most
BEAM = 20  # paths kept while a row of qubits is looked for
Pair = frozenset[int]


@dataclass(frozen=True)
class Block:
    """Gates that commute: angles of ZZ turns by pair, of Z turns by qubit; then other gates, each on one qubit."""

    pairs: dict[Pair, float]
    singles: dict[int, float]
    after: tuple[Gate, ...]


def blocks(circuit: Circuit) -> list[Block] | None:
    """A bound circuit cut into blocks; None where a gate on several qubits is no ZZ turn."""
    found: list[Block] = []
    pairs: dict[Pair, float] = {}
    singles: dict[int, float] = {}
    after: list[Gate] = []
    for g in circuit.gates:
        if len(g.qubits) > 1 and g.name != "rzz":
            return None
        if g.name in ("rz", "rzz") and after:
            found.append(Block(pairs, singles, tuple(after)))
            pairs, singles, after = {}, {}, []
        if g.name == "rzz":
            key = frozenset(g.qubits)
            pairs[key] = pairs.get(key, 0.0) + g.angles[0].value({})
        elif g.name == "rz":
            singles[g.qubits[0]] = singles.get(g.qubits[0], 0.0) + g.angles[0].value({})
        else:
            after.append(g)
    return [*found, Block(pairs, singles, tuple(after))]


def rounds(start: Sequence[int], pairs: Iterable[Pair]) -> list[list[tuple[int, bool]]]:
    """For each round (left position, whether its pair swaps), from logical qubits in a row; pairs that neither meet
    for a gate nor move for one later are left out."""
    at, left = list(start), set(pairs)
    played: list[list[tuple[int, Pair, bool]]] = []
    while left:
        row = []
        for i in range(len(played) % 2, len(at) - 1, 2):
            pair = frozenset(at[i : i + 2])
            row.append((i, pair, pair in left))
            left.discard(pair)
            at[i], at[i + 1] = at[i + 1], at[i]
        played.append(row)
    needed: set[int] = set()  # who still has a gate later
    found = []
    for row in reversed(played):
        found.append([(i, bool(pair & needed)) for i, pair, met in row if met or pair & needed])
        needed |= {q for _, pair, met in row if met for q in pair}
    return found[::-1]


def meeting(qubits: int) -> NDArray[np.int64]:
    """Round in which the qubits that begin at positions i and j meet [qubits, qubits]."""
    at, found = list(range(qubits)), np.zeros((qubits, qubits), np.int64)
    for turn in range(qubits):
        for i in range(turn % 2, qubits - 1, 2):
            a, b = at[i], at[i + 1]
            found[a, b] = found[b, a] = turn + 1
            at[i], at[i + 1] = b, a
    return found


def best_start(qubits: int, pairs: Sequence[Pair], seed: int = 0) -> list[int]:
    """Logical qubit at each position: simulated annealing of the rounds in which pairs meet; fewest gates of
    all restarts."""
    wanted = np.zeros((qubits, qubits))
    for pair in pairs:
        a, b = sorted(pair)
        wanted[a, b] = wanted[b, a] = 1.0
    price = LATER ** meeting(qubits).astype(float)
    np.fill_diagonal(price, 0.0)
    tried = [annealed(wanted, price, np.random.default_rng((seed, k))) for k in range(RESTARTS)]
    return min(tried, key=lambda start: two_qubit_gates(rounds(start, pairs), start, pairs))


def annealed(
    wanted: NDArray[np.float64], price: NDArray[np.float64], generator: np.random.Generator
) -> list[int]:
    """One start, by exchanges of two qubits."""
    place = generator.permutation(len(wanted))  # position of each logical qubit
    now = float((wanted * price[np.ix_(place, place)]).sum())
    heat, cooling = now * 0.05, 0.9993
    for i, j in generator.integers(len(wanted), size=(STEPS, 2)):
        # rows of the two before and after; their common pair stays as far apart
        change = 2 * float(
            ((wanted[i] - wanted[j]) * (price[place[j], place] - price[place[i], place])).sum()
        )
        shared = wanted[i, j] * price[place[i], place[j]]
        change += 4 * shared
        if change <= 0 or generator.random() < math.exp(-change / max(heat, 1e-12)):
            place[i], place[j] = place[j], place[i]
        heat *= cooling
    return [int(q) for q in np.argsort(place)]


def two_qubit_gates(
    played: Sequence[Sequence[tuple[int, bool]]], start: Sequence[int], pairs: Iterable[Pair]
) -> int:
    """Three for each swap, with or without a turn; two for a turn alone."""
    wanted, at, found = set(pairs), list(start), 0
    for row in played:
        for i, swaps in row:
            found += 3 if swaps else 2 * (frozenset(at[i : i + 2]) in wanted)
            if swaps:
                at[i], at[i + 1] = at[i + 1], at[i]
    return found


def on_a_line(circuit: Circuit, seed: int = 0) -> Circuit | None:
    """The circuit with gates between neighbours of a row 0..n-1 only; None where it is no sequence of commuting ZZ
    turns and gates on one qubit.

    Every second block plays the rounds backwards, so each begins where the last one ended.
    """
    parts = blocks(circuit)
    pairs = sorted({p for part in parts or [] for p in part.pairs}, key=sorted)
    if parts is None or not pairs:
        return None
    start = best_start(circuit.qubits, pairs, seed)
    played, at, gates = rounds(start, pairs), list(start), []
    turn = 0
    for part in parts:
        here = {q: k for k, q in enumerate(at)}
        gates += [gate("rz", here[q], angles=[angle]) for q, angle in sorted(part.singles.items())]
        if part.pairs:
            for row in played if turn % 2 == 0 else reversed(played):
                for i, swaps in row:
                    gates += meet(i, part.pairs.get(frozenset(at[i : i + 2])), swaps)
                    if swaps:
                        at[i], at[i + 1] = at[i + 1], at[i]
            turn += 1
        here = {q: k for k, q in enumerate(at)}
        gates += [Gate(g.name, (here[g.qubits[0]],), g.angles) for g in part.after]
    here = {q: k for k, q in enumerate(at)}
    read = tuple(here[q] for q in circuit.read)
    return Circuit(circuit.qubits, tuple(gates), circuit.global_phase, read)


def meet(left: int, angle: float | None, swaps: bool) -> list[Gate]:
    """ZZ turn and swap of two neighbours, either or both: cx, turn, cx, cx is both."""
    a, b = left, left + 1
    if angle is None:  # spelled out: qiskit takes a swap gate for a change of names, and routes anew
        return [gate("cx", a, b), gate("cx", b, a), gate("cx", a, b)] if swaps else []
    if not swaps:
        return [gate("rzz", a, b, angles=[angle])]
    return [gate("cx", a, b), gate("rz", b, angles=[angle]), gate("cx", b, a), gate("cx", a, b)]


def rows(
    pairs: Iterable[tuple[int, int]], length: int, cost: Callable[[int, int], float], most: int = 4
) -> list[tuple[int, ...]]:
    """Paths of `length` qubits through a lattice, the cheapest by sum of cost(a, b) over neighbours first; by beam
    search from every qubit, at most one from each end."""
    beside: dict[int, list[int]] = {}
    for a, b in sorted({tuple(sorted(p)) for p in pairs}):
        beside.setdefault(a, []).append(b)
        beside.setdefault(b, []).append(a)
    found: list[tuple[float, tuple[int, ...]]] = []
    for first in sorted(beside):
        beam: list[tuple[float, tuple[int, ...]]] = [(0.0, (first,))]
        for _ in range(length - 1):
            longer = [
                (total + cost(path[-1], q), (*path, q))
                for total, path in beam for q in beside[path[-1]] if q not in path
            ]  # fmt: skip
            beam = sorted(longer)[:BEAM]
        found += beam[:1]
    unique = {frozenset(path): (total, path) for total, path in sorted(found, reverse=True)}
    return [path for _, path in sorted(unique.values())[:most]]
