"""`Hamiltonian`: weighted Pauli strings, and the diagonal ones that polynomials of bits are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trine.devices.errors import InputError
from trine.quantum.polynomial import Polynomial

Complex = NDArray[np.complex128]
PauliString = tuple[
    tuple[int, str], ...
]  # ((qubit, "X" | "Y" | "Z"), ...), ascending by qubit; () is the identity


@dataclass(frozen=True)
class Hamiltonian:
    """H = sum of real weights times Pauli strings, hermitian. Qubit 0 is least significant, as in qiskit.

    Raises InputError for a letter, qubit or weight that cannot be.
    """

    qubits: int
    terms: Mapping[PauliString, float] = field(repr=False)

    def __post_init__(self) -> None:
        kept: dict[PauliString, float] = {}
        for string, weight in self.terms.items():
            ordered = tuple(sorted(string))
            places = [q for q, _ in ordered]
            if len(set(places)) != len(places) or any(not 0 <= q < self.qubits for q in places):
                raise InputError(f"Pauli string {string}: qubits go from 0 to {self.qubits - 1}, each once")
            if any(letter not in "XYZ" for _, letter in ordered):
                raise InputError(f"Pauli string {string}: letters are X, Y and Z")
            if not math.isfinite(weight):
                raise InputError(f"Pauli string {string}: its weight is {weight}")
            kept[ordered] = kept.get(ordered, 0.0) + float(weight)
        terms = {s: kept[s] for s in sorted(kept, key=lambda s: (len(s), s)) if kept[s] != 0.0}
        object.__setattr__(self, "terms", terms)

    @staticmethod
    def from_polynomial(polynomial: Polynomial) -> Hamiltonian:
        """Diagonal: x_i becomes (1 - Z_i)/2."""
        terms = {tuple((i, "Z") for i in s): v for s, v in polynomial.spins().items()}
        return Hamiltonian(polynomial.variables, terms)

    @property
    def is_diagonal(self) -> bool:
        """Whether only Z occurs."""
        return all(letter == "Z" for string in self.terms for _, letter in string)

    def masks(self) -> tuple[NDArray[np.int64], NDArray[np.int64], Complex]:
        """(x, z, weight) of each term: P|b> = weight * (-1)^(popcount of b & z) |b ^ x>; Y = iXZ is in the weight."""
        xs, zs, weights = [], [], []
        for string, weight in self.terms.items():
            x = sum(1 << q for q, letter in string if letter in "XY")
            z = sum(1 << q for q, letter in string if letter in "YZ")
            xs.append(x)
            zs.append(z)
            weights.append(weight * 1j ** sum(letter == "Y" for _, letter in string))
        return np.array(xs, np.int64), np.array(zs, np.int64), np.array(weights, np.complex128)

    def apply(self, state: Complex) -> Complex:
        """H|state> for a vector [2^n]."""
        if state.shape != (1 << self.qubits,):
            raise InputError(f"a state of {state.shape} does not fit {self.qubits} qubits")
        index = np.arange(1 << self.qubits)
        found = np.zeros(state.shape, np.complex128)
        for x, z, weight in zip(*self.masks(), strict=True):
            sign = 1.0 - 2.0 * (np.bitwise_count(index & z) & 1)
            found[index ^ x] += weight * sign * state
        return found

    def expectation(self, state: Complex) -> float:
        """<state|H|state> of a normalised vector [2^n]."""
        return float(np.vdot(state, self.apply(state)).real)
