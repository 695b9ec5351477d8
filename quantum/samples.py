"""`Samples`: measured bit strings and how often each came; `Angles`: those of QAOA, with their convention."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trine.devices.errors import InputError
from trine.quantum.polynomial import Bits

CONVENTION = (
    "exp(-i gamma C) then exp(-i beta sum X), C in the problem's units, minimised (qiskit, PennyLane)"
)


@dataclass(frozen=True)
class Angles:
    """gamma and beta of each layer, in radians, in the convention of qiskit's `qaoa_ansatz` and PennyLane's layers."""

    gammas: tuple[float, ...]
    betas: tuple[float, ...]
    source: str = ""

    def __post_init__(self) -> None:
        if len(self.gammas) != len(self.betas) or not self.gammas:
            raise InputError(
                f"{len(self.gammas)} gammas and {len(self.betas)} betas: give one of each a layer"
            )
        if not all(map(math.isfinite, (*self.gammas, *self.betas))):
            raise InputError("an angle is no finite number")

    @property
    def layers(self) -> int:
        """p."""
        return len(self.gammas)

    def as_json(self) -> dict[str, object]:
        """With its convention, as every stored angle is."""
        return {
            "gammas": list(self.gammas),
            "betas": list(self.betas),
            "convention": CONVENTION,
            "source": self.source,
        }


@dataclass(frozen=True)
class Samples:
    """Different bit strings [k, n] (column i is x_i) and their counts [k], in ascending order of the strings."""

    bits: Bits = field(repr=False)
    counts: NDArray[np.int64] = field(repr=False)

    @property
    def shots(self) -> int:
        """Sum of the counts."""
        return int(self.counts.sum())

    @staticmethod
    def of(bits: Bits) -> Samples:
        """Equal rows of [shots, n] merged."""
        if len(bits) == 0:
            return Samples(np.zeros((0, bits.shape[-1]), np.uint8), np.zeros(0, np.int64))
        found, counts = np.unique(np.asarray(bits, np.uint8), axis=0, return_counts=True)
        return Samples(found, counts.astype(np.int64))

    @staticmethod
    def from_strings(counts: Mapping[str, int]) -> Samples:
        """From {"0110": 5} with qubit 0 rightmost, as qiskit prints."""
        rows = sorted(
            (tuple(int(c) for c in reversed(text.replace(" ", ""))), n) for text, n in counts.items()
        )
        if not rows:
            raise InputError("no counts")
        bits = np.array([r for r, _ in rows], np.uint8)
        return Samples(bits, np.array([n for _, n in rows], np.int64))

    def strings(self) -> dict[str, int]:
        """{"0110": 5} with qubit 0 rightmost, as qiskit prints."""
        return {
            "".join(map(str, row[::-1])): int(n)
            for row, n in zip(self.bits.tolist(), self.counts, strict=True)
        }
