"""Jordan-Wigner: electrons in orbitals become Pauli strings (Jordan and Wigner 1928; Seeley et al. 2012).

Spin orbital p of n orbitals is qubit p (up) or n + p (down), as qiskit-nature orders them; a bit of one is an electron.
Operators are sums of c X^x Z^z kept as {(x, z): c}: in that form products cost one sign, (-1)^|z1 & x2|.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from trine.devices.errors import InputError
from trine.quantum.hamiltonian import Hamiltonian, PauliString
from trine.quantum.molecules.integrals import Integrals, check_orbitals

Sum = dict[tuple[int, int], complex]
NOTHING = 1e-12  # hartree; weights below are rounding


def ladder(orbital: int, creates: bool) -> Sum:
    """a_p = X(1 - Z)/2 with Z on all below, or a+_p = X(1 + Z)/2."""
    bit = 1 << orbital
    below = bit - 1
    return {(bit, below): 0.5, (bit, below | bit): 0.5 if creates else -0.5}


def product(*factors: Mapping[tuple[int, int], complex]) -> Sum:
    """In the order of writing."""
    found: Sum = {(0, 0): 1.0}
    for factor in factors:
        grown: Sum = {}
        for (x1, z1), a in found.items():
            for (x2, z2), b in factor.items():
                key = (x1 ^ x2, z1 ^ z2)
                sign = -1 if (z1 & x2).bit_count() & 1 else 1
                grown[key] = grown.get(key, 0.0) + sign * a * b
        found = {key: value for key, value in grown.items() if value != 0}
    return found


def add(total: Sum, part: Mapping[tuple[int, int], complex], weight: complex = 1.0) -> None:
    """total += weight * part."""
    for key, value in part.items():
        total[key] = total.get(key, 0.0) + weight * value


def pauli_string(x: int, z: int) -> PauliString:
    """Letters of X^x Z^z, up to a power of i for each Y."""
    letters = {(True, False): "X", (True, True): "Y", (False, True): "Z"}
    places = range((x | z).bit_length())
    return tuple((q, letters[bool(x >> q & 1), bool(z >> q & 1)]) for q in places if (x | z) >> q & 1)


def as_hamiltonian(total: Mapping[tuple[int, int], complex], qubits: int) -> Hamiltonian:
    """Real Pauli weights: XZ = -iY. Raises InputError for a sum that is not hermitian."""
    terms: dict[PauliString, float] = {}
    for (x, z), value in total.items():
        weight = value * (-1j) ** (x & z).bit_count()
        if abs(weight.imag) > 1e-9 * max(1.0, abs(weight)):
            raise InputError("the operator is not hermitian")
        if abs(weight) > NOTHING:
            terms[pauli_string(x, z)] = float(weight.real)
    return Hamiltonian(qubits, terms)


def as_sum(hamiltonian: Hamiltonian) -> Sum:
    """The other way: Y = iXZ."""
    xs, zs, weights = hamiltonian.masks()
    return {(int(x), int(z)): complex(w) for x, z, w in zip(xs.tolist(), zs.tolist(), weights, strict=True)}


def jordan_wigner(integrals: Integrals) -> Hamiltonian:
    """H = constant + sum_pq t_pq E_pq + 1/2 sum (pq|rs) E_pq E_rs on 2n qubits (Helgaker et al. 2000, eq. 2.2.18).

    E_pq moves an electron of either spin from q to p; t_pq = h_pq - 1/2 sum_r (pr|rq).
    """
    n = integrals.orbitals
    check_orbitals(n)
    one = integrals.one - 0.5 * np.einsum("prrq->pq", integrals.two)
    pairs = [(p, q) for p in range(n) for q in range(p, n)]
    moves = {pair: move(*pair, n) for pair in pairs}  # E_pq + E_qp: integrals are symmetric
    total: Sum = {(0, 0): integrals.constant}
    for p, q in pairs:
        add(total, moves[p, q], float(one[p, q]))
        twice: Sum = {}
        for r, s in pairs:
            if abs(integrals.two[p, q, r, s]) > NOTHING:
                add(twice, moves[r, s], 0.5 * float(integrals.two[p, q, r, s]))
        add(total, product(moves[p, q], twice))
    return as_hamiltonian(total, 2 * n)


def move(p: int, q: int, orbitals: int) -> Sum:
    """E_pp, or E_pq + E_qp."""
    total: Sum = {}
    for spin in (0, orbitals):
        for a, b in {(p, q), (q, p)}:
            add(total, product(ladder(spin + a, True), ladder(spin + b, False)))
    return total
