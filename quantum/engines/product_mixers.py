"""Mixers of a product of choices: one factor along each axis of the state, and all factors commute."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np

from trine.quantum.polynomial import Float

WIDEST = 27  # strings of a block of axes: as many multiplications again as they save in calls


class CompleteAxes:
    """One choice a group, all choices of a group joined: XY on the complete graph, sum of (XX + YY)/2 over pairs.

    Groups of two free bits' values (d = 2) make the X mixer. sizes: choices of each group, first slowest.
    """

    name = "xy"

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes = tuple(sizes)
        self.used = math.prod(self.sizes)
        half = min(
            range(len(self.sizes) + 1),
            key=lambda k: abs(math.log(math.prod(self.sizes[:k]) ** 2 / self.used)),
        )
        self._axes = [np.array(part, np.int64) for part in (self.sizes[:half], self.sizes[half:])]
        self._rows = math.prod(self.sizes[:half]), math.prod(self.sizes[half:])
        self._across: Any = None  # [4, room] for the transposes, made at first use

    def turn(self, state: Float, beta: float) -> None:
        """The rows' axes, then the columns'; they commute."""
        from trine.quantum.engines import axes

        across, scratch = self._room(state, 2)
        rows, columns = self._rows
        axes.turn_across(state, across, rows, columns, self._axes[0], beta, scratch)
        axes.turn_across(across, state, columns, rows, self._axes[1], beta, scratch)

    def unwind(self, state: Float, adjoint: Float, beta: float) -> float:
        """<adjoint|state> is real, so the overlap of J - 1 is that of J."""
        from trine.quantum.engines import axes

        across, scratch = self._room(state, 4)
        both = (state[0], state[1], adjoint[0], adjoint[1])
        back = (across[0], across[1], across[2], across[3])
        found = 0.0
        for k, (given, made) in enumerate(((both, back), (back, both))):
            rows, columns = self._rows[k], self._rows[1 - k]
            parts = np.zeros(-(-columns // axes.COLUMNS))
            axes.unwind_across(given, made, rows, columns, self._axes[k], -beta, scratch, parts)
            found += float(parts.sum())
        return found

    def _room(self, state: Float, count: int) -> tuple[Any, Any]:
        """Arrays for the transposes, as long as the state's, and each thread's buffers."""
        from numba import get_num_threads

        from trine.quantum.engines import axes

        if self._across is None or len(self._across) < count:
            self._across = np.zeros((count, state.shape[1]))
        return self._across, np.empty((get_num_threads(), count, max(self._rows) * axes.COLUMNS))

    def phase(self, beta: float) -> float:
        """exp(i beta) of each group."""
        return beta * len(self.sizes)


class RingAxes:
    """XY on a ring: choice c of a group joined to c - 1 and c + 1."""

    name = "xy-ring"

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes = tuple(sizes)
        self.used = math.prod(self.sizes)
        self.blocks = blocks_of(self.sizes)
        self._bases = {d: np.linalg.eigh(ring(d)) for d in set(self.sizes)}

    def turn(self, state: Float, beta: float) -> None:
        """A matrix along each block of axes."""
        _put(state, self.used, self._along(_complex(state, self.used), beta, self.unitary))

    def unwind(self, state: Float, adjoint: Float, beta: float) -> float:
        """B is the sum of the rings."""
        both = _complex(state, self.used), _complex(adjoint, self.used)
        found = 0.0
        for k, block in enumerate(self.blocks):
            moved = self._apply(both[0], k, kron_sum([self.generator(d, beta) for d in block]))
            found += float(np.vdot(both[1], moved).imag)
        for array, values in zip((state, adjoint), both, strict=True):
            _put(array, self.used, self._along(values, beta, self.inverse))
        return found

    def phase(self, beta: float) -> float:
        """Nothing is left out."""
        return 0.0

    def unitary(self, d: int, beta: float) -> Any:
        """U(beta) of one group [d, d]."""
        energies, vectors = self._bases[d]
        return (vectors * np.exp(-1j * beta * energies)) @ vectors.T

    def generator(self, d: int, beta: float) -> Any:
        """i dU/dbeta U^-1 of one group [d, d]."""
        return ring(d)

    def inverse(self, d: int, beta: float) -> Any:
        """U(beta)^-1."""
        return self.unitary(d, beta).conj().T

    def _along(self, values: Any, beta: float, matrix: Callable[[int, float], Any]) -> Any:
        for k, block in enumerate(self.blocks):
            values = self._apply(values, k, reduce(np.kron, [matrix(d, beta) for d in block]))
        return values

    def _apply(self, values: Any, block: int, matrix: Any) -> Any:
        if block == len(self.blocks) - 1:  # one product of two matrices, not one for each row
            return (values.reshape(-1, len(matrix)) @ matrix.T).ravel()
        outer = math.prod(math.prod(b) for b in self.blocks[:block])
        return np.matmul(matrix, values.reshape(outer, len(matrix), -1)).ravel()


class RingSteps(RingAxes):
    """XY on a ring as a circuit makes it: one exchange after another, in the order of `ring_pairs`."""

    name = "xy-steps"

    def unitary(self, d: int, beta: float) -> Any:
        """The product of the exchanges, first one first."""
        found = np.eye(d, dtype=np.complex128)
        for pair in ring_pairs(d):
            found = exchange(d, pair, beta) @ found
        return found

    def generator(self, d: int, beta: float) -> Any:
        """The sum of each exchange's own, carried through those after it."""
        found, after = np.zeros((d, d), np.complex128), np.eye(d, dtype=np.complex128)
        for a, b in reversed(ring_pairs(d)):
            single = np.zeros((d, d))
            single[a, b] = single[b, a] = 1.0
            found += after @ single @ after.conj().T
            after = after @ exchange(d, (a, b), beta)
        return found


def blocks_of(sizes: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Neighbouring axes taken together, to WIDEST strings: few large products are faster than many small ones."""
    found: list[tuple[int, ...]] = []
    for d in sizes:
        if found and math.prod(found[-1]) * d <= WIDEST:
            found[-1] += (d,)
        else:
            found.append((d,))
    return tuple(found)


def kron_sum(parts: Sequence[Any]) -> Any:
    """Sum over the parts of 1 x ... x part x ... x 1."""
    found = parts[0]
    for part in parts[1:]:
        found = np.kron(found, np.eye(len(part))) + np.kron(np.eye(len(found)), part)
    return found


def ring_pairs(d: int) -> list[tuple[int, int]]:
    """Neighbours among d places: even pairs, odd pairs, then the closing one (for three places and more)."""
    steps = [(i, i + 1) for i in (*range(0, d - 1, 2), *range(1, d - 1, 2))]
    return steps + ([(d - 1, 0)] if d > 2 else [])


def exchange(d: int, pair: tuple[int, int], beta: float) -> Any:
    """exp(-i beta (XX + YY)/2) of two bits, on the d strings with one bit set [d, d]."""
    a, b = pair
    found = np.eye(d, dtype=np.complex128)
    found[a, a] = found[b, b] = math.cos(beta)
    found[a, b] = found[b, a] = -1j * math.sin(beta)
    return found


class Tilted:
    """One axis a qubit, exp(-i beta (sin(theta) X + cos(theta) Z)): X for theta = pi/2.

    The mixer of warm starts, whose highest state is the start itself (Egger et al. 2021, arXiv 2009.10095).
    thetas [n], radians, of qubits 0, 1, ... (qubit 0 fastest).
    """

    name = "tilted"

    def __init__(self, thetas: Sequence[float]) -> None:
        self.thetas = tuple(thetas)
        self.name = "tilted " + " ".join(f"{t!r}" for t in self.thetas)

    def start(self) -> Float:
        """cos(theta/2)|0> + sin(theta/2)|1> of each qubit: amplitudes [2^n]."""
        found = np.ones(1)
        for theta in self.thetas:
            found = np.multiply.outer(np.array([math.cos(theta / 2), math.sin(theta / 2)]), found).ravel()
        return found

    def turn(self, state: Float, beta: float) -> None:
        """Qubit by qubit; they commute."""
        from trine.quantum.engines import axes

        used = 1 << len(self.thetas)
        for q, theta in enumerate(self.thetas):
            z, x = math.sin(beta) * math.cos(theta), math.sin(beta) * math.sin(theta)
            axes.turn_pairs(state[0], state[1], used, 1 << q, math.cos(beta), z, x)

    def unwind(self, state: Float, adjoint: Float, beta: float) -> float:
        """B is the sum of the qubits' axes."""
        p, a = _complex(state, 1 << len(self.thetas)), _complex(adjoint, 1 << len(self.thetas))
        found = 0.0
        for q, theta in enumerate(self.thetas):
            s, t = p.reshape(-1, 2, 1 << q), a.reshape(-1, 2, 1 << q)
            found += math.sin(theta) * float(np.vdot(t, s[:, ::-1]).imag)
            found += math.cos(theta) * float((np.vdot(t[:, 0], s[:, 0]) - np.vdot(t[:, 1], s[:, 1])).imag)
        self.turn(state, -beta)
        self.turn(adjoint, -beta)
        return found

    def phase(self, beta: float) -> float:
        """Nothing is left out."""
        return 0.0


def ring(d: int) -> Float:
    """Adjacency of a ring of d [d, d]: one edge for two, none for one."""
    found = np.zeros((d, d))
    for c in range(d if d > 2 else d - 1):
        found[c, (c + 1) % d] = found[(c + 1) % d, c] = 1.0
    return found


def _complex(state: Float, used: int) -> Any:
    return state[0, :used] + 1j * state[1, :used]


def _put(state: Float, used: int, values: Any) -> None:
    state[0, :used], state[1, :used] = values.real, values.imag
