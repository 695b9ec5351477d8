"""`Baseline`: what a quantum answer is measured against, at the same number of samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from trine.quantum.polynomial import Bits
from trine.quantum.problem import Encoding, Exact, Problem
from trine.quantum.samples import Samples


@dataclass(frozen=True)
class Case:
    """A problem's instance with its encoding, and how many samples each baseline may draw.

    seed: of everything random; the same seed gives the same samples.
    """

    problem: Problem
    instance: Any
    encoding: Encoding
    shots: int
    seed: int

    @staticmethod
    def of(problem: Problem, instance: Any, shots: int, seed: int) -> Case:
        """With the problem's own encoding."""
        return Case(problem, instance, problem.encode(instance), shots, seed)

    def feasible(self, bits: Bits) -> bool:
        """Whether one string breaks no constraint at all, those outside `encoding.feasible` included."""
        return not self.problem.violations(self.instance, bits)


@dataclass(frozen=True)
class Drawn:
    """A baseline's samples, and how they came about in words. exact: where the baseline found the optimum itself."""

    name: str
    samples: Samples
    method: str
    exact: Exact | None = None


@dataclass(frozen=True)
class Baseline:
    """run(case) -> Drawn; None where the case is out of its reach."""

    name: str
    title: str
    run: Callable[[Case], Drawn | None]


def repeated(bits: Bits, shots: int) -> Samples:
    """One string, drawn `shots` times."""
    return Samples(np.asarray(bits, np.uint8)[None], np.array([shots], np.int64))
