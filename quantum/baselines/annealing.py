"""Simulated annealing of single bits: D-Wave's sampler to degree two, the same schedule on products above it.

Making products of three and more bits quadratic first would put walls into the landscape that no annealer climbs, and
so make the baseline look worse than it is.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from trine.devices.errors import MissingExtra
from trine.quantum.baselines.ocean import model_of, samples_of
from trine.quantum.baselines.record import Baseline, Case, Drawn
from trine.quantum.polynomial import Bits, Polynomial
from trine.quantum.samples import Samples

SWEEPS = 1000  # dwave-samplers' default
WORK = 1_000_000_000  # bits looked at by `annealed`, some ten seconds; more means fewer sweeps


def run(case: Case) -> Drawn | None:
    """`shots` independent runs on the polynomial with its penalties."""
    polynomial = case.encoding.polynomial
    if polynomial.degree > 2:
        factors = sum(map(len, polynomial.terms)) * case.shots
        sweeps = max(10, min(SWEEPS, WORK // factors))
        bits = annealed(polynomial, case.shots, sweeps, case.seed)
        return Drawn(
            BASELINE.name, Samples.of(bits), f"{case.shots:,} runs of {sweeps:,} sweeps, products as they are"
        )
    try:
        from dwave.samplers import SimulatedAnnealingSampler
    except ImportError:
        raise MissingExtra("dwave-samplers", "quantum", "simulated annealing") from None
    model, _ = model_of(polynomial)
    found = SimulatedAnnealingSampler().sample(
        model, num_reads=case.shots, num_sweeps=SWEEPS, seed=case.seed % (1 << 31)
    )
    how = f"{case.shots:,} runs of {SWEEPS:,} sweeps (dwave-samplers)"
    return Drawn(BASELINE.name, samples_of(found, case.encoding.qubits), how)


def annealed(polynomial: Polynomial, shots: int, sweeps: int, seed: int) -> Bits:
    """Metropolis runs from random strings [shots, n], inverse temperature rising geometrically.

    From where the worst rise of a flip is taken every second time to where the least is taken once in a hundred, as
    dwave-samplers chooses its range.
    """
    generator = np.random.default_rng(seed)
    slopes = [slope(polynomial, i) for i in range(polynomial.variables)]
    rises = [float(np.abs(c).sum()) for _, c in slopes if len(c)]
    least = min((float(np.abs(c).min()) for _, c in slopes if len(c)), default=1.0)
    hot, cold = math.log(2) / max(rises, default=1.0), math.log(100) / least
    bits = np.ones(
        (shots, polynomial.variables + 1), np.uint8
    )  # the last column is 1: it fills up short products
    bits[:, :-1] = generator.integers(0, 2, (shots, polynomial.variables))
    for beta in np.geomspace(hot, max(hot, cold), sweeps):
        for i, (others, coefficients) in enumerate(slopes):
            change = bits[:, others].min(axis=2, initial=1) @ coefficients * (1.0 - 2.0 * bits[:, i])
            taken = generator.random(shots) < np.exp(-beta * np.maximum(change, 0.0))
            bits[:, i] ^= taken
    return bits[:, :-1]


def slope(polynomial: Polynomial, i: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """f(x_i = 1) - f(x_i = 0) as products of other bits [terms, longest] and their coefficients [terms]."""
    mine = [([j for j in s if j != i], v) for s, v in polynomial.terms.items() if i in s]
    longest = max((len(s) for s, _ in mine), default=0)
    others = np.full((len(mine), longest), polynomial.variables, np.int64)
    for k, (s, _) in enumerate(mine):
        others[k, : len(s)] = s
    return others, np.array([v for _, v in mine])


BASELINE = Baseline("annealing", "simulated annealing", run)
