"""The cheapest order of things: by dynamic programming, and by integer programming."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trine.devices.errors import MissingExtra

ROUNDS = 200  # subtours cut off before `order_by_milp` gives up


def best_order(pay: NDArray[np.float64], circular: bool) -> list[int]:
    """The cheapest tour from read 0, or the cheapest path from any read. pay: [n, n]."""
    n = len(pay)
    reached = np.full((1 << n, n), np.inf)
    for first in [0] if circular else range(n):
        reached[1 << first, first] = 0.0
    for chosen in range(1, 1 << n):
        ends = np.flatnonzero(np.isfinite(reached[chosen]))
        if len(ends):
            onward = (reached[chosen, ends][:, None] + pay[ends]).min(axis=0)
            for j in range(n):
                if not chosen >> j & 1:
                    reached[chosen | 1 << j, j] = min(reached[chosen | 1 << j, j], onward[j])
    left = (1 << n) - 1
    last = int((reached[left] + (pay[:, 0] if circular else 0)).argmin())
    order = [last]
    while left != 1 << last:
        here, left = reached[left, last], left & ~(1 << last)
        before = [i for i in range(n) if left >> i & 1 and abs(reached[left, i] + pay[i, last] - here) < 1e-9]
        last = before[0]
        order.append(last)
    return order[::-1]


def order_by_milp(pay: NDArray[np.float64], circular: bool) -> list[int] | None:
    """The same by HiGHS, for more things than the table holds; None where it gives up.

    Each thing has one before and one after it; subtours are forbidden as they appear (Dantzig, Fulkerson and Johnson
    1954). A path is a tour through one more thing that costs nothing.
    """
    try:
        from scipy.optimize import Bounds, LinearConstraint, milp
    except ImportError:
        raise MissingExtra("scipy", "quantum", "exact tours by integer programming") from None
    if not circular:
        pay = np.pad(pay, ((1, 0), (1, 0)))
    n = len(pay)
    cells = np.arange(n * n).reshape(n, n)
    rows = np.zeros((2 * n, n * n))
    for k in range(n):
        rows[k, cells[k]] = rows[n + k, cells[:, k]] = 1.0
    rules = [LinearConstraint(rows, 1.0, 1.0)]
    most = 1.0 - np.eye(n).ravel()
    for _ in range(ROUNDS):
        found = milp(pay.ravel(), integrality=np.ones(n * n), bounds=Bounds(0.0, most), constraints=rules)
        if found.status != 0:
            return None
        after = found.x.reshape(n, n).argmax(axis=1)
        rounds = tours_of(after)
        if len(rounds) == 1:
            order = rounds[0]
            return order if circular else [k - 1 for k in order if k]
        for part in rounds:
            inside = np.zeros(n * n)
            inside[cells[np.ix_(part, part)].ravel()] = 1.0
            rules.append(LinearConstraint(inside, -np.inf, len(part) - 1.0))
    return None


def tours_of(after: NDArray[np.int64]) -> list[list[int]]:
    """The rounds in which each thing is followed by `after` of it, each from its lowest."""
    found, seen = [], np.zeros(len(after), bool)
    for start in range(len(after)):
        part: list[int] = []
        here = start
        while not seen[here]:
            seen[here] = True
            part.append(here)
            here = int(after[here])
        if part:
            found.append(part)
    return found
