"""Where a circuit could be cut in two, what the cut would cost in shots, and whether that helps.

A gate across the cut is replaced by a quasi-probability sum of gates on either side, which multiplies the shots for
the same precision by gamma^2 (Mitarai and Fujii 2021, 10.1088/1367-2630/abd7bc; Piveteau and Sutter 2023,
10.1109/TIT.2023.3310797: 9 for a CNOT, which is the least without communication). Trine hints; it does not cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from trine.devices import QuantumDevice
from trine.devices.errors import InputError
from trine.quantum.circuit import Angle, Circuit, Gate
from trine.quantum.circuits.light_cone import cone, largest, touching
from trine.quantum.polynomial import Polynomial
from trine.quantum.statevector import MAX_QUBITS, matrix

WORTH = 1e6  # times the shots, above which no machine time is left to gain
LARGEST_SHARE = 2 / 3  # of the qubits in one part
HINTED_QUBITS = 2000  # a dense matrix of all pairs


@dataclass(frozen=True)
class Cut:
    """Two sets of qubits, how many two-qubit gates cross, and by how much the shots multiply."""

    parts: tuple[tuple[int, ...], tuple[int, ...]]
    gates: int
    overhead: float


@cache
def gamma(name: str, angles: tuple[float, ...]) -> float:
    """Of a two-qubit gate: 2 (sum of its operator-Schmidt coefficients)^2 - 1.

    Schmitt, Piveteau and Sutter 2023 (arXiv 2312.11638, theorem 5.1): 3 for CNOT and CZ, 1 + 2 |sin theta| for
    RZZ(theta), 7 for SWAP.
    """
    unitary = matrix(Gate(name, (0, 1), tuple(Angle(a) for a in angles)))
    sides = unitary.reshape(2, 2, 2, 2).transpose(0, 2, 1, 3).reshape(4, 4)
    weights = np.linalg.svd(sides, compute_uv=False) / 2
    return float(2 * weights.sum() ** 2 - 1)


def prices(circuit: Circuit) -> NDArray[np.float64]:
    """log gamma^2 of all gates between each pair of qubits [n, n]. Raises InputError for gates on three qubits."""
    found = np.zeros((circuit.qubits, circuit.qubits))
    for g in circuit.gates:
        if len(g.qubits) > 2:
            raise InputError(f"{g.name} on {g.qubits}: only gates on two qubits are cut; transpile first")
        if len(g.qubits) == 2:
            a, b = g.qubits
            found[a, b] += 2 * np.log(gamma(g.name, tuple(x.value({}) for x in g.angles)))
    return np.asarray(found + found.T)


def best_cut(circuit: Circuit, most: int | None = None) -> Cut | None:
    """The cheapest cut found of a bound circuit into parts of at most `most` qubits, by default two thirds of them.

    The interaction graph's second eigenvector orders the qubits (Fiedler 1973); every split of that order is tried,
    then single qubits and pairs change sides while that makes it cheaper. None where no split is small enough.
    """
    n = circuit.qubits
    most = max(int(n * LARGEST_SHARE), (n + 1) // 2) if most is None else most
    if n < 2 or 2 * most < n:
        return None
    price = prices(circuit)
    order = np.argsort(np.linalg.eigh(np.diag(price.sum(1)) - price)[1][:, 1], kind="stable")
    best: tuple[float, NDArray[np.bool_]] | None = None
    for size in range(max(1, n - most), min(most, n - 1) + 1):
        side = np.zeros(n, bool)
        side[order[:size]] = True
        total = float(price[np.ix_(side, ~side)].sum())
        if best is None or total < best[0] - 1e-12:
            best = (total, side)
    assert best is not None
    side = refined(price, best[1], most)
    total = float(price[np.ix_(side, ~side)].sum())
    crossing = sum(len({bool(side[q]) for q in g.qubits}) == 2 for g in circuit.gates)
    parts = tuple(tuple(int(q) for q in np.flatnonzero(side == which)) for which in (True, False))
    return Cut((parts[0], parts[1]), crossing, float(np.exp(min(total, 700.0))))


def refined(price: NDArray[np.float64], side: NDArray[np.bool_], most: int) -> NDArray[np.bool_]:
    """Move or exchange qubits while the crossing price falls (Kernighan and Lin 1970, without its look-ahead)."""
    side = side.copy()
    while True:
        sign = np.where(side, 1.0, -1.0)
        gain = -sign * (price @ sign)  # what moving one qubit to the other side saves
        room = np.array([min(most, len(side) - 1) - side.sum(), min(most, len(side) - 1) - (~side).sum()])
        single = np.where(np.where(side, room[1], room[0]) > 0, gain, -np.inf)
        ones, others = np.flatnonzero(side), np.flatnonzero(~side)
        both = gain[ones][:, None] + gain[others][None, :] - 2 * price[np.ix_(ones, others)]
        if single.max() > max(both.max(), 1e-9):
            moved = [int(single.argmax())]
        elif both.max() > 1e-9:
            i, j = np.unravel_index(int(both.argmax()), both.shape)
            moved = [int(ones[i]), int(others[j])]
        else:
            return side
        side[moved] = ~side[moved]


def hints(circuit: Circuit, polynomial: Polynomial, device: QuantumDevice) -> tuple[str, ...]:
    """What light cones and cuts would save for a bound circuit whose samples have that cost; nothing to say: empty."""
    if circuit.qubits > HINTED_QUBITS:
        return ()
    return tuple(filter(None, (cone_hint(circuit, polynomial), cut_hint(circuit, device))))


def cone_hint(circuit: Circuit, polynomial: Polynomial) -> str:
    """How few qubits a term of the cost depends on, where that is fewer than all."""
    n, widest = circuit.qubits, largest(circuit, polynomial)
    if not 0 < widest < n:
        return ""
    on = touching(circuit)
    terms = [s for s in polynomial.spins() if s]
    mean = sum(len(cone(circuit, [circuit.read[k] for k in s], on).qubits) for s in terms) / len(terms)
    return (
        f"light cones: each of the {len(terms):,} terms depends on at most {widest} of {n} qubits ({mean:.3g} on "
        f"average), so the mean cost can be computed or run on {widest} qubits at a time"
    )


def cut_hint(circuit: Circuit, device: QuantumDevice) -> str:
    """The cheapest cut, and whether the parts fit where the whole does not."""
    if any(len(g.qubits) > 2 for g in circuit.gates):
        return ""
    n, limits = circuit.qubits, {"a state vector here": MAX_QUBITS, device.name: device.qubits}
    beyond = {where: most for where, most in limits.items() if n > most}
    found = best_cut(circuit, min(beyond.values(), default=n)) if beyond else best_cut(circuit)
    if found is None:
        return "" if not beyond else f"cut: two parts of {n} qubits do not fit {' or '.join(beyond)}"
    sizes = " and ".join(str(len(p)) for p in found.parts)
    gates = "gate crosses" if found.gates == 1 else "gates cross"
    text = f"cut into {sizes} qubits: {found.gates} {gates}, {found.overhead:.3g} times the shots"
    if not beyond:
        return f"{text}; does not help: the whole fits {' and '.join(limits)}"
    if found.overhead > WORTH:
        return f"{text}; does not help: above {WORTH:,.0f} times"
    return (
        f"{text}; helps: the parts fit {' and '.join(beyond)}, the whole does not (qiskit-addon-cutting cuts)"
    )
