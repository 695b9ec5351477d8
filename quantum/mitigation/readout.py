"""Readout correction: means as if no bit had been misread, for independent flips of known rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trine.devices.errors import InputError
from trine.quantum.circuit import Circuit, gate
from trine.quantum.polynomial import Polynomial
from trine.quantum.samples import Samples


@dataclass(frozen=True)
class Flips:
    """Rates of misreading, one a bit: 0 read as 1, and 1 read as 0. Raises InputError where they sum to 1 or more."""

    zero_as_one: tuple[float, ...]
    one_as_zero: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.zero_as_one) != len(self.one_as_zero):
            raise InputError("readout: as many rates of 0 read as 1 as of 1 read as 0")
        for k, (a, b) in enumerate(zip(self.zero_as_one, self.one_as_zero, strict=True)):
            if not (a >= 0 and b >= 0 and a + b < 1):
                raise InputError(
                    f"readout of bit {k}: rates {a:g} and {b:g} cannot be undone; they must sum to below 1"
                )


@dataclass(frozen=True)
class Mean:
    """A mean cost with its standard error."""

    value: float
    error: float


def calibration(qubits: int, read: Sequence[int]) -> tuple[Circuit, Circuit]:
    """Two circuits whose answers are known: all 0, all 1 on the qubits read."""
    ones = tuple(gate("x", q) for q in read)
    return Circuit(qubits, (), measured=tuple(read)), Circuit(qubits, ones, measured=tuple(read))


def flips_of(zeros: Samples, ones: Samples) -> Flips:
    """Rates from the answers to `calibration`."""
    first = np.average(zeros.bits, axis=0, weights=zeros.counts)
    second = np.average(1 - ones.bits, axis=0, weights=ones.counts)
    return Flips(tuple(float(v) for v in first), tuple(float(v) for v in second))


def raw_mean(samples: Samples, polynomial: Polynomial) -> Mean:
    """As measured."""
    return averaged(polynomial.energy(samples.bits), samples)


def corrected_mean(samples: Samples, polynomial: Polynomial, flips: Flips) -> Mean:
    """Unbiased for independent flips: each bit b is replaced by (b - p01) / (1 - p01 - p10) in the multilinear cost.

    The tensored inverse of Bravyi et al. 2021 (10.1103/PhysRevA.103.042605) applied to one observable. Raises
    InputError for another number of bits.
    """
    if len(flips.zero_as_one) != samples.bits.shape[1]:
        raise InputError(f"{len(flips.zero_as_one)} readout rates for {samples.bits.shape[1]} bits")
    up, down = np.array(flips.zero_as_one), np.array(flips.one_as_zero)
    straight = (samples.bits - up) / (1 - up - down)
    return averaged(polynomial.energy(straight), samples)  # multilinear: real bits are fine


def averaged(costs: np.ndarray, samples: Samples) -> Mean:
    """Mean and standard error over shots."""
    mean = float(np.average(costs, weights=samples.counts))
    spread = float(np.average((costs - mean) ** 2, weights=samples.counts))
    return Mean(mean, float(np.sqrt(spread / max(1, samples.shots - 1))))
