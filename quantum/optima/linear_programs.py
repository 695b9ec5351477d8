"""Exact optima of polynomials of bits by mixed-integer programming (HiGHS), past what enumeration reaches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from trine.devices.errors import MissingExtra
from trine.quantum.optima.choices import Tables, optimum
from trine.quantum.optima.reference import ENUMERATED, lowest_string
from trine.quantum.polynomial import Polynomial, Subset
from trine.quantum.problem import Exact

BRANCHES = 20_000  # HiGHS nodes; a count, not a time, so that the answer does not depend on the machine
PRODUCTS = 20_000  # products of bits that become variables
WIDEST = 1 << 20  # entries of the largest table of an elimination: 8 MiB


def lowest(polynomial: Polynomial) -> Exact | None:
    """The lowest of all strings; None where nothing reaches.

    All strings to 24 variables; then elimination, where the couplings are sparse enough; then HiGHS.
    """
    if polynomial.variables <= ENUMERATED:
        return lowest_string(polynomial)
    return lowest_by_elimination(polynomial) or lowest_by_milp(polynomial)


def lowest_by_elimination(polynomial: Polynomial) -> Exact | None:
    """The lowest of all strings by dynamic programming over a tree decomposition; None above degree two or too wide."""
    if polynomial.degree > 2:
        return None
    unary = [np.array([0.0, polynomial.terms.get((i,), 0.0)]) for i in range(polynomial.variables)]
    pairs = {
        (s[0], s[1]): np.array([[0.0, 0.0], [0.0, v]]) for s, v in polynomial.terms.items() if len(s) == 2
    }
    found = optimum(Tables(tuple(unary), pairs), WIDEST)
    if found is None:
        return None
    cost = float(polynomial.energy(np.array(found[0], np.uint8)))
    return Exact(cost, found[0], found[1])


def lowest_by_milp(
    polynomial: Polynomial,
    one_of: Sequence[Sequence[int]] = (),
    conflicts: Iterable[tuple[int, int]] = (),
    branches: int = BRANCHES,
) -> Exact | None:
    """The lowest string with exactly one bit in each group of `one_of` and no conflict inside.

    Each product of bits becomes a variable y: y <= x_i where it gains, y >= sum x_i - (k - 1) where it costs
    (Glover and Woolsey 1974). None where there are too many products or HiGHS gave up without a string.
    """
    try:
        from scipy.optimize import Bounds, LinearConstraint, milp
        from scipy.sparse import csr_array
    except ImportError:
        raise MissingExtra("scipy", "quantum", "exact optima by mixed-integer programming") from None
    products = [s for s in polynomial.terms if len(s) > 1]
    if len(products) > PRODUCTS:
        return None
    n = polynomial.variables
    objective = np.zeros(n + len(products))
    for subset, value in polynomial.terms.items():
        if len(subset) == 1:
            objective[subset[0]] = value
    rows: list[tuple[dict[int, float], float, float]] = []
    for k, subset in enumerate(products, n):
        value = polynomial.terms[subset]
        objective[k] = value
        rows += linearised(subset, k, value)
    rows += [(dict.fromkeys(group, 1.0), 1.0, 1.0) for group in one_of]
    rows += [({i: 1.0, j: 1.0}, -np.inf, 1.0) for i, j in conflicts]
    where = [(r, c, v) for r, (row, _, _) in enumerate(rows) for c, v in row.items()]
    constraints = []
    if rows:
        r, c, v = zip(*where, strict=True)
        matrix = csr_array((v, (r, c)), shape=(len(rows), len(objective)))
        constraints = [LinearConstraint(matrix, [lo for _, lo, _ in rows], [hi for _, _, hi in rows])]
    found = milp(
        objective,
        integrality=np.r_[np.ones(n), np.zeros(len(products))],
        bounds=Bounds(0, 1),
        constraints=constraints,
        options={"node_limit": branches, "mip_rel_gap": 0.0},
    )
    if found.x is None:
        return None
    bits = tuple(round(x) for x in found.x[:n])
    cost = float(polynomial.energy(np.array(bits, np.uint8)))
    return Exact(cost, bits, "mixed-integer program (HiGHS)", found.status == 0)


def linearised(subset: Subset, product: int, value: float) -> list[tuple[dict[int, float], float, float]]:
    """Rows (coefficients, low, high) that hold a product's variable where its coefficient pulls it."""
    if value < 0:
        return [({product: 1.0, i: -1.0}, -np.inf, 0.0) for i in subset]
    return [({product: 1.0, **dict.fromkeys(subset, -1.0)}, 1.0 - len(subset), np.inf)]
