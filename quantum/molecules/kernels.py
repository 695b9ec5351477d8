"""Excitations on a vector of determinants, compiled by numba: a cosine and a sine for each pair they couple.

All arrays as `excitations.flat_pairs` gives them. The gradient is the adjoint one (Jones and Gacon 2020, arXiv
2009.02823): one walk back over the gates gives every derivative.
"""

from __future__ import annotations

import math
from typing import Any

import numba


def _evolve(state: Any, angles: Any, offsets: Any, sources: Any, targets: Any, signs: Any) -> None:
    """state [size] <- ... exp(angles[1] A_1) exp(angles[0] A_0) state."""
    for k in range(len(angles)):
        c, s = math.cos(angles[k]), math.sin(angles[k])
        for m in range(offsets[k], offsets[k + 1]):
            i, j, t = sources[m], targets[m], s * signs[m]
            a, b = state[i], state[j]
            state[i] = c * a - t * b
            state[j] = c * b + t * a


def _unwind(
    state: Any, back: Any, angles: Any, offsets: Any, sources: Any, targets: Any, signs: Any, slopes: Any
) -> None:
    """slopes [k] <- derivatives of <state|H|state>; state: after all gates; back: H state. Both are used up."""
    for k in range(len(angles) - 1, -1, -1):
        c, s = math.cos(angles[k]), math.sin(angles[k])
        slope = 0.0
        for m in range(offsets[k], offsets[k + 1]):
            i, j, sign = sources[m], targets[m], signs[m]
            t = s * sign
            a, b, u, v = state[i], state[j], back[i], back[j]
            slope += sign * (v * a - u * b)
            state[i] = c * a + t * b
            state[j] = c * b - t * a
            back[i] = c * u + t * v
            back[j] = c * v - t * u
        slopes[k] = 2 * slope


def _slopes_at(
    state: Any, back: Any, offsets: Any, sources: Any, targets: Any, signs: Any, slopes: Any
) -> None:
    """slopes [k] <- derivative of the energy by an angle of A_k appended to the ansatz, at zero."""
    for k in range(len(slopes)):
        slope = 0.0
        for m in range(offsets[k], offsets[k + 1]):
            i, j = sources[m], targets[m]
            slope += signs[m] * (back[j] * state[i] - back[i] * state[j])
        slopes[k] = 2 * slope


compiled: Any = numba.njit(cache=True)  # as a call: numba's decorators carry no types
evolve, unwind, slopes_at = compiled(_evolve), compiled(_unwind), compiled(_slopes_at)
