"""A polynomial as one of pairs: products of three and more bits get auxiliary bits."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from trine.quantum.polynomial import Bits, Polynomial, Subset

MARGIN = 1.1


@dataclass(frozen=True)
class Pairs:
    """polynomial: of degree two, over the problem's bits and then one auxiliary bit for each of `products`; auxiliary
    k stands for the product of its two bits, numbered as in `polynomial`."""

    variables: int
    polynomial: Polynomial
    products: tuple[tuple[int, int], ...]

    def extended(self, bits: Bits) -> Bits:
        """The problem's strings [k, variables] with the auxiliary bits that belong to them."""
        columns = [bits[:, i] for i in range(self.variables)]
        for a, b in self.products:
            columns.append(columns[a] & columns[b])
        return np.stack(columns, axis=1) if columns else bits


def in_pairs(polynomial: Polynomial) -> Pairs:
    """Equal to the polynomial wherever auxiliary bits are their products, and nowhere lower.

    The pair that most long products share becomes a bit y, again and again, with the penalty
    M (ab - 2ay - 2by + 3y): 0 for y = ab, at least M else (Rosenberg 1975, see Boros and Hammer 2002,
    10.1016/S0166-218X(01)00341-9, section 4.4). A wrong y gains at most the sum of |coefficients| of the products it
    stands in; M is a tenth more.
    """
    terms, size = dict(polynomial.terms), polynomial.variables
    products: list[tuple[int, int]] = []
    while True:
        long = [s for s in terms if len(s) > 2]
        if not long:
            return Pairs(polynomial.variables, Polynomial(size, terms), tuple(products))
        shared = Counter(pair for s in long for pair in combinations(s, 2))
        a, b = min(shared, key=lambda pair: (-shared[pair], pair))
        weight = 0.0
        for s in [s for s in long if a in s and b in s]:
            value = terms.pop(s)
            weight += MARGIN * abs(value)
            add(terms, tuple(sorted({*s, size} - {a, b})), value)
        penalty = {(a, b): weight, (a, size): -2 * weight, (b, size): -2 * weight, (size,): 3 * weight}
        for subset, value in penalty.items():
            add(terms, subset, value)
        products.append((a, b))
        size += 1


def add(terms: dict[Subset, float], subset: Subset, value: float) -> None:
    """One term more."""
    terms[subset] = terms.get(subset, 0.0) + value
