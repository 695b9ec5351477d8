"""Light cones: which qubits and gates a measured product of Z depends on, and means computed cone by cone.

Gates outside the cone undo themselves in <U^-1 Z U>. A layer of commuting phases widens a cone by one step only,
however its gates are ordered: a term of QAOA with p layers reaches the qubits within p steps of it (Farhi, Goldstone
and Gutmann 2014, arXiv 1411.4028, section 2).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from heapq import heapify, heappop, heappush

import numpy as np

from trine.devices.errors import InputError
from trine.quantum.circuit import Circuit
from trine.quantum.polynomial import Polynomial, Subset
from trine.quantum.statevector import MAX_QUBITS, run_circuit

DIAGONAL = ("id", "z", "s", "sdg", "t", "tdg", "rz", "p", "cz", "crz", "cp", "rzz", "ccz")


@dataclass(frozen=True)
class Cone:
    """Of one product of Z: the qubits it depends on, ascending, and the places of its gates in the circuit."""

    qubits: tuple[int, ...]
    gates: tuple[int, ...] = field(repr=False)


def touching(circuit: Circuit) -> list[list[int]]:
    """Places of the gates on each qubit, ascending."""
    found: list[list[int]] = [[] for _ in range(circuit.qubits)]
    for place, g in enumerate(circuit.gates):
        for q in g.qubits:
            found[q].append(place)
    return found


def cone(circuit: Circuit, read: Iterable[int], on: list[list[int]] | None = None) -> Cone:
    """Of the product of Z on some qubits, measured at the end. on: `touching` of the circuit, where it is known.

    The observable is followed backwards: on each of its qubits it is a product of Z still, or may be anything. A
    diagonal gate that meets only the former commutes with it.
    """
    on = touching(circuit) if on is None else on
    changed = dict.fromkeys(read, False)  # qubit -> whether the observable is more than Z there
    ahead = [-place for q in changed for place in on[q]]
    heapify(ahead)
    kept, last = [], 0
    while ahead:
        place = -heappop(ahead)
        g = circuit.gates[place]
        diagonal = g.name in DIAGONAL
        if place == last - 1 or (diagonal and not any(changed.get(q, False) for q in g.qubits)):
            continue
        last = place + 1
        kept.append(place)
        for q in g.qubits:
            if q not in changed:
                for earlier in on[q]:
                    if earlier < place:
                        heappush(ahead, -earlier)
            changed[q] = changed.get(q, False) or not diagonal
    return Cone(tuple(sorted(changed)), tuple(reversed(kept)))


def cones(circuit: Circuit, polynomial: Polynomial) -> dict[Subset, Cone]:
    """Of each term of a cost, as products of Z; bit k of the cost is the circuit's read[k]."""
    on = touching(circuit)
    terms = [subset for subset in polynomial.spins() if subset]
    return {s: cone(circuit, [circuit.read[k] for k in s], on) for s in terms}


def largest(circuit: Circuit, polynomial: Polynomial) -> int:
    """Qubits of the widest cone; stops at the first that has all."""
    on, found = touching(circuit), 0
    for subset in polynomial.spins():
        if subset and found < circuit.qubits:
            found = max(found, len(cone(circuit, [circuit.read[k] for k in subset], on).qubits))
    return found


def restricted(circuit: Circuit, part: Cone) -> Circuit:
    """The cone's gates on its own qubits, numbered from 0 in ascending order."""
    number = {q: k for k, q in enumerate(part.qubits)}
    gates = tuple(
        replace(circuit.gates[place], qubits=tuple(number[q] for q in circuit.gates[place].qubits))
        for place in part.gates
    )
    return Circuit(len(part.qubits), gates)


def expectation(circuit: Circuit, polynomial: Polynomial) -> float:
    """Mean cost of a bound circuit's samples, exact, from a state vector for each different cone.

    Raises InputError where a cone is too wide for one.
    """
    spins = polynomial.spins()
    found = cones(circuit, polynomial)
    widest = max((len(c.qubits) for c in found.values()), default=0)
    if widest > MAX_QUBITS:
        raise InputError(
            f"a term depends on {widest} qubits, a state vector holds {MAX_QUBITS}; fewer layers have narrower cones"
        )
    together: dict[Cone, list[Subset]] = {}
    for subset, part in found.items():
        together.setdefault(part, []).append(subset)
    total = spins.get((), 0.0)
    for part, subsets in together.items():
        chances = np.abs(run_circuit(restricted(circuit, part))) ** 2
        index = np.arange(len(chances))
        for subset in subsets:
            mask = sum(1 << part.qubits.index(circuit.read[k]) for k in subset)
            total += spins[subset] * float(chances @ (1 - 2.0 * (np.bitwise_count(index & mask) & 1)))
    return total
