"""Leaving inputs out and rounding weights, each error made up for by the weights that are still free.

Both weigh errors by how inputs vary together, so that what changes least is the layer's sums: Hassibi & Stork 1993
("optimal brain surgeon") for inputs, Frantar et al. 2023 (arXiv 2210.17323) for whole numbers.
"""

from __future__ import annotations

import numpy as np

from trine.compilers.graph import Array

RIDGE = 0.01  # added to the diagonal, as a share of its mean
UNITS = np.geomspace(0.12, 1.0, 12)  # unit tried, as a share of the largest weight over m


def kept(weight: Array, covariance: Array, units: list[Array], sizes: list[int], most: int) -> Array:
    """Weights [out, in] with units left out until at most `most` sources remain; the rest makes up for them."""
    left, total = list(range(len(units))), sum(sizes)
    if total <= most:
        return weight
    weight = weight.copy()
    inverse = np.linalg.inv(covariance + _ridge(covariance))
    while total > most:
        losses = np.array([_loss(weight, inverse, units[k]) for k in left])
        some = max(1, min(len(left) // 50, (total - most) // max(sizes)))  # a few at a time
        chosen = [left[i] for i in np.argsort(losses, kind="stable")[:some]]
        u = np.concatenate([units[k] for k in chosen])
        solved = np.linalg.solve(inverse[np.ix_(u, u)], inverse[u])
        weight -= weight[:, u] @ solved
        inverse -= inverse[:, u] @ solved
        weight[:, u] = 0.0
        inverse[u, :] = inverse[:, u] = 0.0
        inverse[u, u] = 1.0  # never met again
        left = [k for k in left if k not in set(chosen)]
        total -= sum(sizes[k] for k in chosen)
    return weight


def _loss(weight: Array, inverse: Array, unit: Array) -> float:
    """Squared error of the sums when a unit is left out and the rest makes up for it."""
    w = weight[:, unit]
    if len(unit) == 1:
        return float((w[:, 0] ** 2).sum() / inverse[unit[0], unit[0]])
    return float(np.einsum("oi,io->", w, np.linalg.solve(inverse[np.ix_(unit, unit)], w.T)))


def best_unit(flat: Array, covariance: Array | None, most: int) -> float:
    """Unit of least error in the layer's sums."""
    top = float(np.abs(flat).max())
    if covariance is None:
        return top / most
    losses = []
    for share in UNITS:
        unit = top * share / most
        off = flat - rounded(flat, covariance, unit, most) * unit
        losses.append(float(np.einsum("oi,ij,oj->", off, covariance, off)))
    return float(top * UNITS[int(np.argmin(losses))] / most)


def rounded(weight: Array, covariance: Array | None, unit: float, most: int) -> Array:
    """Whole weights [out, in] in -most..most; each input's rounding error is handed on to those behind it.

    Inputs that are left out (zero in all rows) stay so.
    """
    whole = np.zeros_like(weight, dtype=np.float64)
    if covariance is None:
        return np.asarray(np.clip(np.rint(weight / unit), -most, most))
    used = np.flatnonzero(weight.any(axis=0))
    rest = weight[:, used].astype(np.float64)
    part = covariance[np.ix_(used, used)]
    inverse = np.linalg.cholesky(np.linalg.inv(part + _ridge(part))).T
    for j in range(len(used)):
        found = np.clip(np.rint(rest[:, j] / unit), -most, most)
        rest[:, j:] -= np.outer((rest[:, j] - found * unit) / inverse[j, j], inverse[j, j:])
        whole[:, used[j]] = found
    return whole


def _ridge(covariance: Array) -> Array:
    return np.asarray(np.eye(len(covariance)) * RIDGE * (float(np.diag(covariance).mean()) or 1.0))
