"""Candidate ranges of an activation, from its histogram: min-max, percentile, entropy, mean squared error.

Every range holds zero, because the integer grid must represent zero exactly (padding, Relu). Sources of the
methods: min-max and percentile, Nagel et al. 2021 (arXiv 2106.08295, section 3.1) and McKinstry et al. 2018
(arXiv 1809.04191); entropy, Migacz 2017 (NVIDIA GTC S7310); mean squared error, Banner et al. 2018
(arXiv 1810.05723: step^2 / 12 inside, squared distance outside) and Nagel et al. 2021.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from trine.edge.quantize.histogram import Histogram

Range = tuple[float, float]
LEVELS = 256
CANDIDATES = 64  # clipping points tried on each side of zero
FLOOR = 1e-7  # probability given to levels that hold nothing, so that the divergence stays finite


def minmax(h: Histogram) -> Range:
    """All of it."""
    return h.low, h.high


def percentile(h: Histogram, percent: float) -> Range:
    """The central `percent` of the values: half of the rest is clipped on each side."""
    if h.total == 0 or h.width == 0:
        return minmax(h)
    tail = (1 - percent / 100) / 2 * h.total
    cumulative = np.concatenate([[0], np.cumsum(h.counts)])
    low = float(np.interp(tail, cumulative, h.edges))
    high = float(np.interp(h.total - tail, cumulative, h.edges))
    return min(low, 0.0), max(high, 0.0)


def divergence(counts: NDArray[np.int64], start: int, stop: int) -> float:
    """Kullback-Leibler divergence in nats of a histogram from its 256 levels, clipped to bins start to stop.

    As Migacz 2017: what lies outside is added to the outer bins of the reference but not of the quantised
    one, whose levels spread their mass evenly over their bins that are not empty.
    """
    inside = counts[start:stop].astype(np.float64)
    reference = inside.copy()
    reference[0] += counts[:start].sum()
    reference[-1] += counts[stop:].sum()
    if inside.sum() == 0 or reference.sum() == 0:
        return np.inf
    level = np.arange(len(inside)) * LEVELS // len(inside)
    full = inside > 0
    mass, members = np.bincount(level, inside, LEVELS), np.bincount(level, full, LEVELS)
    quantized = np.where(full, mass[level] / np.maximum(members[level], 1), 0.0)
    p = reference / reference.sum()
    q = np.maximum(quantized / quantized.sum(), FLOOR)
    return float(np.sum(p[p > 0] * np.log(p[p > 0] / q[p > 0])))


def clip_points(h: Histogram) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Edges at which a range may start (at most zero) and stop (at least zero), the outermost among them."""
    bins = len(h.counts)
    zero = -h.low / h.width
    starts = np.unique(np.linspace(0, np.floor(zero), CANDIDATES).astype(np.intp))
    stops = np.unique(np.linspace(np.ceil(zero), bins, CANDIDATES).astype(np.intp))
    return starts, stops


def entropy(h: Histogram) -> Range:
    """The range whose 256-level histogram diverges least; each side is searched with the other held, twice.

    Exact zeros are left out: they are represented exactly whatever the range, and would otherwise draw the
    range of every Relu towards zero. At least 256 bins stay, as in Migacz 2017.
    """
    if h.width == 0:
        return minmax(h)
    counts = h.without_zeros
    starts, stops = clip_points(h)
    least = min(LEVELS, len(counts))
    start, stop = 0, len(counts)
    for _ in range(2):
        reach = [int(s) for s in stops if s - start >= least] or [stop]
        stop = min(reversed(reach), key=lambda s: divergence(counts, start, s))
        reach = [int(s) for s in starts if stop - s >= least] or [start]
        start = min(reach, key=lambda s: divergence(counts, s, stop))
    return float(min(h.edges[start], 0.0)), float(max(h.edges[stop], 0.0))


def expected_error(h: Histogram, low: float, high: float) -> float:
    """Sum over all values of the expected squared error of 8-bit quantisation over [low, high].

    step^2 / 12 for each value inside (exact zeros cost nothing), squared distance to the border outside.
    """
    x = h.centers
    step = (high - low) / (LEVELS - 1)
    inside = (x >= low) & (x <= high)
    outside = np.maximum(low - x, 0) + np.maximum(x - high, 0)
    counts = h.without_zeros
    return float(counts[inside].sum() * step**2 / 12 + np.sum(counts * outside**2))


def mse(h: Histogram) -> Range:
    """The range of least `expected_error`, over all pairs of candidate clipping points."""
    if h.width == 0:
        return minmax(h)
    starts, stops = clip_points(h)
    counts, x, edges = h.without_zeros.astype(np.float64), h.centers, h.edges
    moments = [np.concatenate([[0.0], np.cumsum(counts * x**k)]) for k in range(3)]
    low, high = edges[starts], edges[stops]

    def squared(below: list[NDArray[np.float64]], at: NDArray[np.float64]) -> NDArray[np.float64]:
        return below[2] - 2 * at * below[1] + at**2 * below[0]

    clipped_low = squared([m[starts] for m in moments], low)
    clipped_high = squared([m[-1] - m[stops] for m in moments], high)
    inside = moments[0][stops][None, :] - moments[0][starts][:, None]
    step = (high[None, :] - low[:, None]) / (LEVELS - 1)
    error = inside * step**2 / 12 + clipped_low[:, None] + clipped_high[None, :]
    # Of equal errors the widest range wins: the last stop, the first start.
    flipped = np.argmin(error[:, ::-1])
    i, j = np.unravel_index(flipped, error.shape)
    return float(min(low[i], 0.0)), float(max(high[len(stops) - 1 - j], 0.0))


METHODS: Mapping[str, Callable[[Histogram], Range]] = {
    "minmax": minmax,
    "percentile_99.999": partial(percentile, percent=99.999),
    "percentile_99.99": partial(percentile, percent=99.99),
    "percentile_99.9": partial(percentile, percent=99.9),
    "entropy": entropy,
    "mse": mse,
}


def candidates(h: Histogram) -> dict[str, Range]:
    """Every method's range, by method; of methods that agree the first in METHODS stands for all."""
    found: dict[str, Range] = {}
    for name, method in METHODS.items():
        span = method(h)
        if span not in found.values() and span[0] < span[1]:
            found[name] = span
    return found or {"minmax": minmax(h)}
