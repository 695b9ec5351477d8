"""The full state: all 2^n amplitudes, phases and X mixers in two passes through memory a layer."""

from __future__ import annotations

import math
import warnings
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trine.devices.errors import InputError, MissingExtra
from trine.quantum.engines.state import Complex, StateEngine, free_memory, threads
from trine.quantum.polynomial import Bits, Float, Polynomial
from trine.quantum.samples import Angles

Precision = Literal["double", "single"]
LOW = 15  # qubits turned in the first pass: 2^15 amplitudes are 512 KiB, within a second-level cache
SMALLEST = 4  # qubits of the smallest state held: one vector of 16 lanes
PART = 12  # bits of the blocks whose sums are added in a fixed order
SCRATCH = 1 << 19  # bytes a thread copies columns to


def memory_bytes(qubits: int, precision: Precision = "double", gradient: bool = True) -> int:
    """Costs and state, and for gradients the adjoint state."""
    number = 8 if precision == "double" else 4
    return (1 << qubits) * (number + 2 * number * (2 if gradient else 1))


class FullEngine(StateEngine):
    """QAOA with exp(-i gamma C) and exp(-i beta sum X) from |+...+>, over all 2^n strings.

    precision: "single" halves memory and most of the time; warns where its error may matter. memory: bytes it may
    take, by default what is free. Raises InputError where the state does not fit, MissingExtra without numba.
    """

    name = "full"

    def __init__(
        self, polynomial: Polynomial, precision: Precision = "double", memory: int | None = None
    ) -> None:
        if find_spec("numba") is None:
            raise MissingExtra("numba", "quantum", "simulation")
        self.qubits = polynomial.variables
        needed, limit = memory_bytes(self.qubits, precision), free_memory() if memory is None else memory
        if needed > limit:
            raise InputError(
                f"{self.qubits} qubits are too many for the full-state engine: it would need "
                f"{needed / 2**30:,.1f} GiB, {limit / 2**30:,.1f} GiB are free; see choose_engine for one that fits"
            )
        self.polynomial, self.precision = polynomial, precision
        self.kind: Any = np.float64 if precision == "double" else np.float32
        self.values = polynomial.diagonal()
        self.held = max(self.qubits, SMALLEST)
        self._costs = self._padded(self.values)
        self._state: Any = np.empty(2 << self.held, self.kind)
        self._adjoint: Any = None
        self._low = min(self.held, LOW)

    def evolve(self, angles: Angles) -> Any:
        """The final state as `butterflies` lays it out, without the phase that `amplitudes` puts back."""
        self._check(angles)
        with threads(1 << self.held):
            for k in range(angles.layers):
                self._layer(angles.gammas[k], angles.betas[k], fresh=k == 0)
        return self._state

    def _layer(self, gamma: float, beta: float, fresh: bool) -> None:
        """Phase, then mixer; fresh starts from |+...+>."""
        from trine.quantum.engines import butterflies

        halves, small = reduced(beta)
        real = self.kind
        scale = math.cos(small) ** self.held * (2.0 ** (-self.held / 2) if fresh else 1.0)
        slope, turns = real(math.tan(small)), real(gamma / (2 * math.pi))
        butterflies.low_pass(self._state, self._costs, turns, slope, real(scale), self._low, fresh)
        if self.held > self._low:
            width, scratch = self._scratch(1)
            butterflies.high_pass(self._state, self._low, slope, width, scratch[:, 0])
        if halves % 2:
            self._reverse(self._state)

    def _reverse(self, state: Any) -> None:
        """All bits flipped."""
        vectors = state.reshape(-1, 2, 64 // state.itemsize)
        vectors[:] = vectors[::-1, :, ::-1].copy()

    def _scratch(self, states: int) -> tuple[int, Any]:
        """Columns at a time, and buffers for them in each thread [threads, states, ...]."""
        from numba import get_num_threads

        high = 1 << (self.held - self._low)
        width = max(SCRATCH // (2 * states * high * self.kind().itemsize), 64 // self.kind().itemsize)
        width = min(1 << (width.bit_length() - 1), 1 << self._low)
        return width, np.empty((get_num_threads(), states, 2 * high * width), self.kind)

    def unwind(self, angles: Angles, observable: Float) -> tuple[Float, Float]:
        """Derivatives of <observable> at the state last evolved."""
        from trine.quantum.engines import unwinding

        if self._adjoint is None:
            self._adjoint = np.empty_like(self._state)
        costs = self._padded(observable) if observable is not self.values else self._costs
        by_gamma, by_beta = np.zeros(angles.layers), np.zeros(angles.layers)
        with threads(1 << self.held):
            unwinding.weighed(self._state, costs, self._adjoint, 1 << (self.held - self._low))
            for k in reversed(range(angles.layers)):
                by_gamma[k], by_beta[k] = self._unwind_layer(angles.gammas[k], angles.betas[k], last=k == 0)
        return by_gamma, by_beta

    def _unwind_layer(self, gamma: float, beta: float, last: bool) -> tuple[float, float]:
        """The layer undone in both states; its two derivatives."""
        from trine.quantum.engines import unwinding

        halves, small = reduced(beta)
        if halves % 2:
            self._reverse(self._state)
            self._reverse(self._adjoint)
        real, square, mixed = self.kind, math.cos(small) ** 2, 0.0
        slope, turns = real(-math.tan(small)), real(gamma / (2 * math.pi))
        high = self.held - self._low
        if high:
            width, scratch = self._scratch(2)
            sums = np.zeros((1 << self._low) // width)
            unwinding.high_unwind(self._state, self._adjoint, self._low, slope, square, width, scratch, sums)
            mixed = float(sums.sum())
        parts = np.zeros((1 << high, 2))
        scale = real(math.cos(small) ** self.held)
        unwinding.low_unwind(
            self._state,
            self._adjoint,
            self._costs,
            turns,
            slope,
            square,
            scale,
            self._low,
            square**high,
            last,
            parts,
        )
        low, cost = parts.sum(axis=0)
        return 2 * float(cost), 2 * (mixed + float(low))

    def expectation(self, angles: Angles) -> float:
        """<C> of the final state."""
        return self._mean(self.evolve(angles))

    def _mean(self, state: Any) -> float:
        from trine.quantum.engines import butterflies

        parts = np.zeros((max(1, 1 << self.held >> PART), 2))
        with threads(1 << self.held):
            butterflies.moments(state, self._costs, parts)
        energy, norm = parts.sum(axis=0)
        return float(energy / norm)

    def _padded(self, values: Float) -> Any:
        """Costs of the held states: the qubits beyond the problem's change nothing."""
        return np.ascontiguousarray(np.tile(values, 1 << (self.held - self.qubits)), dtype=self.kind)

    def probabilities(self, angles: Angles) -> Float:
        """Of each string [2^n]; bit i of an index is x_i."""
        vectors = self.evolve(angles).reshape(-1, 2, 64 // self._state.itemsize)
        found = np.square(vectors[:, 0], dtype=np.float64)
        found += np.square(vectors[:, 1], dtype=np.float64)
        found = found.reshape(-1, 1 << self.qubits)
        return np.asarray(found.sum(axis=0) if len(found) > 1 else found[0])

    def amplitudes(self, angles: Angles) -> Complex:
        """The final state [2^n] with its phase, as a circuit would have it."""
        vectors = self.evolve(angles).reshape(-1, 2, 64 // self._state.itemsize)
        extra = self.held - self.qubits
        halves = sum(reduced(beta)[0] for beta in angles.betas)
        phase = (-1j) ** (halves * self.held % 4) * np.exp(1j * extra * sum(angles.betas))
        found = (vectors[:, 0] + 1j * vectors[:, 1]).ravel()[: 1 << self.qubits]
        return np.asarray(phase * 2 ** (extra / 2) * found, np.complex128)

    def strings(self, states: NDArray[np.int64]) -> Bits:
        """Bit strings [k, n] of indices [k]."""
        return (np.asarray(states)[:, None] >> np.arange(self.qubits) & 1).astype(np.uint8)

    def _check(self, angles: Angles) -> None:
        if self.precision == "double":
            return
        size = float(np.abs(self._costs).max())
        error = np.finfo(np.float32).eps * sum(abs(g) * size + self.held for g in angles.gammas)
        if error > 1e-3:
            warnings.warn(
                f"single precision: phases reach {size * max(map(abs, angles.gammas)):.3g} rad, amplitudes may be "
                f"off by {error:.1g} (relative); use double",
                stacklevel=4,
            )


def reduced(beta: float) -> tuple[int, float]:
    """beta = halves * pi/2 + rest with |rest| <= pi/4: exp(-i pi/2 X) = -i X, so halves are flips of all bits."""
    halves = round(beta / (math.pi / 2))
    return halves, beta - halves * math.pi / 2
