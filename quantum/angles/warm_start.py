"""Warm starts: QAOA that begins near a known solution or a relaxed one (Egger, Marecek and Woerner 2021).

With angles tuned for the mean cost a warm start need not beat the solution it starts from (arXiv 2409.09012): compare
with it, or optimise CVaR.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from trine.devices.errors import InputError
from trine.quantum.engines.product_mixers import Tilted
from trine.quantum.engines.subspace import SubspaceEngine
from trine.quantum.feasible import AllStates
from trine.quantum.polynomial import Polynomial

EPSILON = 0.25  # arXiv 2009.10095, section 2.2 uses 0.25 for solutions of 0 and 1


def warm_thetas(fractions: Sequence[float], epsilon: float = EPSILON) -> tuple[float, ...]:
    """theta_i = 2 arcsin(sqrt(c_i)) with c_i kept in epsilon..1 - epsilon: P(x_i = 1) = c_i at the start.

    fractions [n] in 0..1: bits of a solution, or a relaxation's. Raises InputError outside.
    """
    if not 0 < epsilon <= 0.5:
        raise InputError(f"epsilon is {epsilon:g}: give more than 0, at most 0.5 (0.5 is the plain start)")
    outside = [i for i, c in enumerate(fractions) if not 0 <= c <= 1]
    if outside:
        raise InputError(f"fractions outside 0 to 1 at {outside[:8]}")
    return tuple(2 * math.asin(math.sqrt(min(max(c, epsilon), 1 - epsilon))) for c in fractions)


def warm_engine(
    polynomial: Polynomial, fractions: Sequence[float], epsilon: float = EPSILON, memory: int | None = None
) -> SubspaceEngine:
    """An engine from the warm start with its own mixer exp(-i beta (sin(theta) X + cos(theta) Z)) on each qubit.

    At epsilon 0.5 it is the plain engine. Raises InputError for a wrong number of fractions or too many qubits.
    """
    if len(fractions) != polynomial.variables:
        raise InputError(f"{len(fractions)} fractions for {polynomial.variables} bits")
    mixer = Tilted(warm_thetas(fractions, epsilon))
    states = AllStates(polynomial.variables)
    return SubspaceEngine(polynomial, states, mixer, start=mixer.start(), memory=memory)
