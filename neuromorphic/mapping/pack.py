"""Packing boxes onto cores: best fit, largest first, so that small rests of layers share cores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

EPSILON = 1e-9


def pack(load: Floats) -> Ints:
    """The core of each box, cores numbered by their first box. load: (boxes, limits), shares of a core, at
    most 1.

    A box goes to the core that it fills most without breaking any limit, or opens a new one.
    """
    fullest = load.max(axis=1)
    order = np.lexsort((np.arange(len(load)), -fullest))
    used, peak = np.zeros_like(load), np.zeros(len(load))
    core = np.full(len(load), -1, np.int64)
    least = float(fullest.min()) if len(load) else 1.0
    opened, roomy = 0, np.zeros(0, np.int64)  # roomy: cores that could still take the smallest box
    for box in order.tolist():
        after = (used[roomy] + load[box]).max(axis=1)
        fitting = np.flatnonzero(after <= 1 + EPSILON)
        if len(fitting):
            core[box] = roomy[fitting[int(np.argmax(after[fitting]))]]
        else:
            core[box], opened = opened, opened + 1
            roomy = np.append(roomy, core[box])
        used[core[box]] += load[box]
        peak[core[box]] = used[core[box]].max()
        if peak[core[box]] + least > 1 + EPSILON:
            roomy = roomy[roomy != core[box]]
    first = np.full(opened, len(load))
    np.minimum.at(first, core, np.arange(len(load)))
    rank = np.empty(opened, np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(opened)
    return rank[core] if opened else core
