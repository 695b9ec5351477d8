"""What every engine that holds amplitudes can do; each engine adds only how a layer acts and is undone."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.devices.errors import InputError
from trine.quantum.polynomial import Bits, Float
from trine.quantum.samples import Angles, Samples

Complex = NDArray[np.complex128]
PARALLEL = 1 << 14  # states from which on several threads work
EQUAL = 1e-9  # costs this near the lowest, relative to the spread of all costs, are the lowest


@dataclass(frozen=True)
class Gradient:
    """An objective's value and its derivatives by gamma [p] and beta [p]."""

    value: float
    gammas: Float
    betas: Float

    @property
    def flat(self) -> Float:
        """Gammas, then betas [2p]."""
        return np.concatenate([self.gammas, self.betas])


@dataclass(frozen=True)
class Correlations:
    """Expectation of each spin [n] and of each product of two [n, n], diagonal one; s = 1 - 2x."""

    singles: Float
    pairs: Float


class StateEngine(ABC):
    """QAOA on stored amplitudes: costs of all states [size] computed once, then layers.

    An engine reuses its memory from call to call: use it from one thread at a time.
    """

    name: str
    qubits: int
    values: Float

    @abstractmethod
    def evolve(self, angles: Angles) -> Any:
        """The final state: floats [2, size or more], real and imaginary parts, up to a phase. Engine's memory."""

    @abstractmethod
    def unwind(self, angles: Angles, observable: Float) -> tuple[Float, Float]:
        """Derivatives by gamma and beta of <observable>, diagonal [size], at the state last evolved; uses it up."""

    @abstractmethod
    def strings(self, states: NDArray[np.int64]) -> Bits:
        """Bit strings [k, n] of state numbers [k]."""

    @abstractmethod
    def amplitudes(self, angles: Angles) -> Complex:
        """The final state [size], phase included."""

    @abstractmethod
    def probabilities(self, angles: Angles) -> Float:
        """Of each state [size]."""

    def fingerprint(self) -> str:
        """Names engine, mixer, precision and costs: what a checkpoint of an optimisation belongs to."""
        return hashlib.sha256(f"{self.kind_of()} ".encode() + self.values.tobytes()).hexdigest()[:16]

    def kind_of(self) -> str:
        """Engine, mixer and precision in words."""
        return self.name

    @property
    def size(self) -> int:
        """Number of states."""
        return len(self.values)

    def expectation(self, angles: Angles) -> float:
        """<C> of the final state."""
        return float(self.probabilities(angles) @ self.values)

    def cvar(self, angles: Angles, alpha: float) -> float:
        """Mean cost of the best fraction alpha of measurements (Barkoutsos et al. 2020, arXiv 1907.04769)."""
        return self._tail(self.probabilities(angles), alpha)[0]

    def gradient(self, angles: Angles, alpha: float = 1.0) -> Gradient:
        """<C>, or CVaR for alpha below 1, with all 2p derivatives by the adjoint method: about three evaluations.

        Adjoint: Jones and Gacon 2020 (arXiv 2009.02823). CVaR's derivative is that of the mean of
        q + min(f - q, 0) / alpha with the quantile q held (q's own change cancels).
        """
        if alpha == 1.0:
            value, observable = self.expectation(angles), self.values
        else:
            value, quantile = self._tail(self.probabilities(angles), alpha)
            observable = np.minimum(self.values - quantile, 0.0) / alpha
        return Gradient(value, *self.unwind(angles, observable))

    def optimum_probability(self, angles: Angles, lowest: float | None = None) -> float:
        """Chance that one measurement gives the lowest cost (of these states, or one given) or less."""
        low = float(self.values.min()) if lowest is None else lowest
        margin = EQUAL * max(float(np.ptp(self.values)), abs(low), 1e-300)
        return float(self.probabilities(angles)[self.values <= low + margin].sum())

    def sample(self, angles: Angles, shots: int, seed: int) -> Samples:
        """Measured strings; the same for the same seed. Raises InputError for fewer than one shot."""
        if shots < 1:
            raise InputError(f"{shots} shots: ask for at least one")
        heap = np.cumsum(self.probabilities(angles))
        drawn = np.random.default_rng(seed).random(shots) * heap[-1]
        states = np.searchsorted(heap, drawn, side="right").astype(np.int64)
        found, counts = np.unique(np.minimum(states, self.size - 1), return_counts=True)
        bits = self.strings(found)
        order = np.lexsort(bits.T[::-1])
        return Samples(bits[order], counts[order].astype(np.int64))

    def correlations(self, angles: Angles) -> Correlations:
        """Of single spins and of pairs, from the probabilities."""
        weights = self.probabilities(angles)
        singles, pairs = np.zeros(self.qubits), np.zeros((self.qubits, self.qubits))
        for start in range(0, self.size, 1 << 16):
            states = np.arange(start, min(start + (1 << 16), self.size))
            spins = 1.0 - 2.0 * self.strings(states)
            weighted = spins * weights[states, None]
            singles += weighted.sum(axis=0)
            pairs += spins.T @ weighted
        return Correlations(singles, pairs)

    def _tail(self, weights: Float, alpha: float) -> tuple[float, float]:
        """(CVaR, the quantile at alpha)."""
        if not 0.0 < alpha <= 1.0:
            raise InputError(f"alpha is {alpha:g}: give a fraction above 0, up to 1")
        order = np.argsort(self.values, kind="stable")
        reached = np.cumsum(weights[order])
        last = min(int(np.searchsorted(reached, alpha * reached[-1])), self.size - 1)
        below = order[:last]
        quantile = float(self.values[order[last]])
        inside = float(weights[below] @ (self.values[below] - quantile))
        return quantile + inside / (alpha * float(reached[-1])), quantile


@contextmanager
def threads(size: int) -> Iterator[None]:
    """All of numba's threads for a large state, one for a small one: starting them costs more than it saves."""
    import numba

    before = numba.get_num_threads()
    numba.set_num_threads(before if size >= PARALLEL else 1)
    try:
        yield
    finally:
        numba.set_num_threads(before)


def free_memory() -> int:
    """Bytes that a new array may take without swapping; 4 GiB where the system does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 4 << 30
