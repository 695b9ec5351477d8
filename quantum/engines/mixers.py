"""Mixers that never leave the feasible strings, each with the way back that the adjoint gradient takes.

A mixer acts as exp(-i beta B); `turn` drops a global phase that `phase` tells. States are float [2, size or more].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trine.quantum.polynomial import Float


class Mixer(Protocol):
    """exp(-i beta B), or an ordered product of such factors."""

    name: str

    def turn(self, state: Float, beta: float) -> None:
        """Act on a state in place."""
        ...

    def unwind(self, state: Float, adjoint: Float, beta: float) -> float:
        """Undo in both states; the imaginary part of <adjoint| B |state> (summed over ordered factors)."""
        ...

    def phase(self, beta: float) -> float:
        """The angle a of the factor exp(i a) that `turn` leaves out."""
        ...


class Grover:
    """B = |s><s| with s the even sum of all states (Bartschi and Eidenbenz 2020, arXiv 2006.00354)."""

    name = "grover"

    def __init__(self, used: int) -> None:
        self.used = used

    def turn(self, state: Float, beta: float) -> None:
        """state += (exp(-i beta) - 1) <s|state> s."""
        re, im = state[0, : self.used], state[1, : self.used]
        step = (np.exp(-1j * beta) - 1) * complex(re.sum(), im.sum()) / self.used
        re += step.real
        im += step.imag

    def unwind(self, state: Float, adjoint: Float, beta: float) -> float:
        """One product of two sums."""
        given = [complex(x[0, : self.used].sum(), x[1, : self.used].sum()) for x in (state, adjoint)]
        self.turn(state, -beta)
        self.turn(adjoint, -beta)
        return (given[1].conjugate() * given[0]).imag / self.used

    def phase(self, beta: float) -> float:
        """Nothing is left out."""
        return 0.0


class Hops:
    """Any real symmetric B [size, size], sparse: exp(-i beta B) by Chebyshev polynomials.

    For independent sets: B joins sets that differ by one member, the bit-flip mixer of Hadfield et al. 2019
    (arXiv 1709.03489) with all flips at once. Expansion: Tal-Ezer and Kosloff 1984, to 1e-14 of the norm.
    """

    name = "hop"

    def __init__(self, matrix: Any) -> None:
        self.matrix = matrix.tocsr()
        self.used = self.matrix.shape[0]
        self.radius = float(abs(self.matrix).sum(axis=1).max()) if self.matrix.nnz else 0.0

    def turn(self, state: Float, beta: float) -> None:
        """Sum of (-i)^k J_k(beta radius) T_k(B / radius), the terms k > 0 twice."""
        from scipy.special import jv

        reach = abs(beta) * self.radius
        if reach == 0.0:
            return
        count = int(reach + 10 * reach ** (1 / 3) + 20)
        weights = jv(np.arange(count), beta * self.radius)
        count = max(2, int(np.flatnonzero(np.abs(weights) > 1e-16)[-1]) + 1)
        before = np.ascontiguousarray(state[:, : self.used].T)
        now = self.matrix @ before / self.radius
        re, im = weights[0] * before, np.zeros_like(before)  # real and imaginary factors apart
        im -= 2 * weights[1] * now
        for k in range(2, count):
            before, now = now, 2 / self.radius * (self.matrix @ now) - before
            sign = -1.0 if k % 4 in (2, 1) else 1.0
            target = im if k % 2 else re
            target += 2 * sign * weights[k] * now
        state[0, : self.used] = re[:, 0] - im[:, 1]
        state[1, : self.used] = re[:, 1] + im[:, 0]

    def unwind(self, state: Float, adjoint: Float, beta: float) -> float:
        """One product with B."""
        p, a = state[:, : self.used], adjoint[:, : self.used]
        moved = (self.matrix @ p.T).T
        found = float(a[0] @ moved[1] - a[1] @ moved[0])
        self.turn(state, -beta)
        self.turn(adjoint, -beta)
        return found

    def phase(self, beta: float) -> float:
        """Nothing is left out."""
        return 0.0


class Flips:
    """Bits flipped in order, each where the set stays feasible: product of exp(-i beta B_v), as a circuit does it.

    pairs: for each bit, the states without and with it [2, k] (Hadfield et al. 2019, the sequential mixer).
    """

    name = "bit-flip"

    def __init__(self, pairs: Sequence[NDArray[np.int64]]) -> None:
        self.pairs = tuple(pairs)

    def turn(self, state: Float, beta: float) -> None:
        """First bit first."""
        for lower, upper in self.pairs:
            _flip(state, lower, upper, beta)

    def unwind(self, state: Float, adjoint: Float, beta: float) -> float:
        """Last bit first; the overlap of each just before it is undone."""
        found = 0.0
        for lower, upper in reversed(self.pairs):
            for a, b in ((lower, upper), (upper, lower)):
                found += float(adjoint[0, a] @ state[1, b] - adjoint[1, a] @ state[0, b])
            _flip(state, lower, upper, -beta)
            _flip(adjoint, lower, upper, -beta)
        return found

    def phase(self, beta: float) -> float:
        """Nothing is left out."""
        return 0.0


def _flip(state: Float, lower: NDArray[np.int64], upper: NDArray[np.int64], beta: float) -> None:
    c, s = math.cos(beta), math.sin(beta)
    ar, ai, br, bi = state[0, lower], state[1, lower], state[0, upper], state[1, upper]
    state[0, lower], state[1, lower] = c * ar + s * bi, c * ai - s * br
    state[0, upper], state[1, upper] = c * br + s * ai, c * bi - s * ar
