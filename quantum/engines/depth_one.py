"""Exact <C> at depth one for quadratic costs of thousands of qubits, without a state.

Closed form for H = sum h_i Z_i + sum J_ij Z_i Z_j: Ozaeta, van Dam and McMahon 2022 (arXiv 2012.03421), theorem 1;
s = 1 - 2x are the Z. One product over the neighbours for each edge.
"""

from __future__ import annotations

import hashlib
import math
from importlib.util import find_spec

import numpy as np

from trine.devices.errors import InputError, MissingExtra
from trine.quantum.engines.state import Correlations, Gradient, threads
from trine.quantum.polynomial import Float, Polynomial
from trine.quantum.samples import Angles, Samples

EDGE = 16  # amplitudes whose work is about that of one edge


def memory_bytes(polynomial: Polynomial) -> int:
    """Couplings twice, and six numbers an edge."""
    return 16 * polynomial.variables + 96 * len(polynomial.terms)


class DepthOneEngine:
    """Expectations, derivatives and correlations of one layer; it cannot draw samples.

    Raises InputError for a term of three or more bits, MissingExtra without numba.
    """

    name = "depth-one"

    def __init__(self, polynomial: Polynomial) -> None:
        if find_spec("numba") is None:
            raise MissingExtra("numba", "quantum", "simulation")
        if polynomial.degree > 2:
            raise InputError(
                f"a term of {polynomial.degree} bits: the depth-one engine takes terms of two at most; "
                "use the full or the subspace engine"
            )
        self.qubits, self.polynomial = polynomial.variables, polynomial
        spins = polynomial.spins()
        self.constant = spins.get((), 0.0)
        self.fields = np.zeros(self.qubits)
        edges = [s for s in spins if len(s) == 2]
        for subset, value in spins.items():
            if len(subset) == 1:
                self.fields[subset[0]] = value
        self.edges = np.array(edges, np.int64).reshape(-1, 2)
        self.couplings = np.array([spins[e] for e in edges])
        both = np.concatenate([self.edges, self.edges[:, ::-1]])
        order = np.argsort(both[:, 0], kind="stable")
        self._first = np.searchsorted(both[order, 0], np.arange(self.qubits + 1))
        self._near, self._weight = both[order, 1], np.tile(self.couplings, 2)[order]

    def fingerprint(self) -> str:
        """Names engine and costs."""
        parts = (self.fields, self.edges, self.couplings)
        return hashlib.sha256(b"depth-one" + b"".join(p.tobytes() for p in parts)).hexdigest()[:16]

    def _factors(self, angles: Angles) -> tuple[Float, Float]:
        """Singles [n, 2] and edges [m, 4]: factors of sin 2b; of sin(4b)/2 and sin(2b)^2/2; each with d/dgamma."""
        from trine.quantum.engines import neighbourhoods

        if angles.layers != 1:
            raise InputError(f"{angles.layers} layers: the depth-one engine computes one; see choose_engine")
        singles, pairs = np.zeros((self.qubits, 2)), np.zeros((len(self.edges), 4))
        graph = (self._first, self._near, self._weight)
        gamma = angles.gammas[0]
        with threads(len(self.edges) * EDGE):
            neighbourhoods.single_factors(*graph, self.fields, gamma, singles)
            neighbourhoods.pair_factors(*graph, self.fields, self.edges, self.couplings, gamma, pairs)
        return singles, pairs

    def expectation(self, angles: Angles) -> float:
        """<C>."""
        return self.gradient(angles).value

    def gradient(self, angles: Angles, alpha: float = 1.0) -> Gradient:
        """<C> and its two derivatives. Raises InputError for CVaR: that needs a state."""
        if alpha != 1.0:
            raise InputError(
                "the depth-one engine gives mean costs; CVaR needs the full or the subspace engine"
            )
        singles, pairs = self._factors(angles)
        b = angles.betas[0]
        a, da = self.fields @ singles
        c, d, dc, dd = self.couplings @ pairs if len(pairs) else np.zeros(4)
        s2, s4 = math.sin(2 * b), math.sin(4 * b)
        value = self.constant + s2 * a + s4 / 2 * c + s2**2 / 2 * d
        by_gamma = s2 * da + s4 / 2 * dc + s2**2 / 2 * dd
        by_beta = 2 * math.cos(2 * b) * a + 2 * math.cos(4 * b) * c + s4 * d
        return Gradient(float(value), np.array([by_gamma]), np.array([by_beta]))

    def correlations(self, angles: Angles) -> Correlations:
        """Of single spins, and of the pairs that have a coupling; the others are left at zero."""
        singles, pairs = self._factors(angles)
        b = angles.betas[0]
        found = np.eye(self.qubits)
        values = math.sin(4 * b) / 2 * pairs[:, 0] + math.sin(2 * b) ** 2 / 2 * pairs[:, 1]
        found[self.edges[:, 0], self.edges[:, 1]] = values
        found[self.edges[:, 1], self.edges[:, 0]] = values
        return Correlations(math.sin(2 * b) * singles[:, 0], found)

    def sample(self, angles: Angles, shots: int, seed: int) -> Samples:
        """Raises InputError, always."""
        raise InputError(
            "the depth-one engine holds no state to draw from; use the full or subspace engine, or aer with "
            "matrix_product_state"
        )
