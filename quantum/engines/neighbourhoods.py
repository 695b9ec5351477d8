"""Products over neighbours for the depth-one engine, compiled by numba and kept on disk."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

njit: Any = numba.njit


@njit(cache=True, forceinline=True)
def times(p: float, dp: float, w: float, g: float) -> Any:
    """(p, dp/dg) times cos(2 g w)."""
    c, s = math.cos(2 * g * w), math.sin(2 * g * w)
    return p * c, dp * c - p * 2 * w * s


@njit(cache=True)
def single_factors(first: Any, near: Any, weight: Any, fields: Any, g: float, out: Any) -> None:
    """out [n, 2]: sin(2 g h_i) prod cos(2 g J_ik) and its derivative by g."""
    for i in range(len(fields)):
        p, dp = 1.0, 0.0
        for k in range(first[i], first[i + 1]):
            p, dp = times(p, dp, weight[k], g)
        s, c = math.sin(2 * g * fields[i]), math.cos(2 * g * fields[i])
        out[i, 0], out[i, 1] = s * p, s * dp + 2 * fields[i] * c * p


@njit(cache=True, forceinline=True)
def around(first: Any, near: Any, weight: Any, u: int, v: int, h: float, g: float) -> Any:
    """cos(2 g h) prod over u's neighbours but v of cos(2 g J_uk), and its derivative."""
    p, dp = times(1.0, 0.0, h, g)
    for k in range(first[u], first[u + 1]):
        if near[k] != v:
            p, dp = times(p, dp, weight[k], g)
    return p, dp


@njit(cache=True, parallel=True)
def pair_factors(
    first: Any, near: Any, weight: Any, fields: Any, edges: Any, couplings: Any, g: float, out: Any
) -> None:
    """out [m, 4]: an edge's factors of sin(4b)/2 and of sin(2b)^2/2, then their derivatives by g."""
    tasks = min(len(edges), 64)
    for task in numba.prange(tasks):
        plus = np.zeros(len(fields))  # J_vk of the neighbours k of v
        for e in range(task * len(edges) // tasks, (task + 1) * len(edges) // tasks):
            u, v, w = edges[e, 0], edges[e, 1], couplings[e]
            a, da = around(first, near, weight, u, v, fields[u], g)
            b, db = around(first, near, weight, v, u, fields[v], g)
            s, c = math.sin(2 * g * w), math.cos(2 * g * w)
            out[e, 0], out[e, 2] = s * (a + b), s * (da + db) + 2 * w * c * (a + b)
            for k in range(first[v], first[v + 1]):
                plus[near[k]] = weight[k]
            p, dp = times(1.0, 0.0, fields[u] + fields[v], g)
            m, dm = times(1.0, 0.0, fields[u] - fields[v], g)
            for k in range(first[u], first[u + 1]):
                if near[k] != v:
                    p, dp = times(p, dp, weight[k] + plus[near[k]], g)
                    m, dm = times(m, dm, weight[k] - plus[near[k]], g)
                    plus[near[k]] = 0.0
            for k in range(first[v], first[v + 1]):
                if near[k] != u and plus[near[k]] != 0.0:
                    p, dp = times(p, dp, plus[near[k]], g)
                    m, dm = times(m, dm, -plus[near[k]], g)
                plus[near[k]] = 0.0
            out[e, 1], out[e, 3] = m - p, dm - dp
