"""`Polynomial`: a real function of bits, the form in which every problem is stated. Minimised, always."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from trine.devices.errors import InputError

Bits = NDArray[np.uint8]
Float = NDArray[np.float64]
Subset = tuple[int, ...]
DIAGONAL_QUBITS = 28  # 2^28 doubles are 2 GiB


@dataclass(frozen=True)
class Polynomial:
    """f(x) = sum over subsets S of c_S prod_{i in S} x_i, x_i in {0, 1}.

    terms: ascending tuples of indices to coefficients; () is the constant; zeros are dropped. Its spin form uses
    s = 1 - 2x (dimod's sign is the opposite). Raises InputError for an index outside, a repeated index or a
    coefficient that is no finite number.
    """

    variables: int
    terms: Mapping[Subset, float] = field(repr=False)

    def __post_init__(self) -> None:
        problems = []
        kept: dict[Subset, float] = {}
        for subset, value in self.terms.items():
            ordered = tuple(sorted(subset))
            if len(set(ordered)) != len(ordered):
                problems.append(f"term {subset}: an index is repeated (x times x is x: merge them)")
            elif ordered and not 0 <= ordered[0] <= ordered[-1] < self.variables:
                problems.append(f"term {subset}: indices go from 0 to {self.variables - 1}")
            if not math.isfinite(value):
                problems.append(f"term {subset}: its coefficient is {value}")
            kept[ordered] = kept.get(ordered, 0.0) + float(value)
        if problems:
            raise InputError("; ".join(problems[:5]))
        ordered_terms = {s: kept[s] for s in sorted(kept, key=lambda s: (len(s), s)) if kept[s] != 0.0}
        object.__setattr__(self, "terms", ordered_terms)

    @property
    def degree(self) -> int:
        """Size of the largest subset; 0 for a constant."""
        return max((len(s) for s in self.terms), default=0)

    @property
    def constant(self) -> float:
        """The value at x = 0."""
        return self.terms.get((), 0.0)

    def energy(self, bits: Bits) -> Float:
        """f at bits [..., variables] -> [...]."""
        x = np.asarray(bits, dtype=np.float64)
        if x.shape[-1:] != (self.variables,):
            raise InputError(f"{x.shape[-1:]} bits given, the polynomial has {self.variables} variables")
        total = np.full(x.shape[:-1], self.constant)
        linear = np.zeros(self.variables)
        rows, columns, weights = [], [], []
        for subset, value in self.terms.items():
            if len(subset) == 1:
                linear[subset[0]] = value
            elif len(subset) == 2:
                rows.append(subset[0])
                columns.append(subset[1])
                weights.append(value)
            elif subset:
                total = total + value * np.prod(x[..., list(subset)], axis=-1)
        total = total + x @ linear
        if weights:
            quadratic = np.zeros((self.variables, self.variables))
            quadratic[rows, columns] = weights
            total = total + np.einsum("...i,...i->...", x @ quadratic, x)
        return np.asarray(total)

    def spins(self) -> dict[Subset, float]:
        """Coefficients h_S of sum_S h_S prod s_i with s = 1 - 2x; () is the constant."""
        found: dict[Subset, float] = {}
        for subset, value in self.terms.items():
            share = value / 2 ** len(subset)
            for size in range(len(subset) + 1):
                for part in combinations(subset, size):
                    found[part] = found.get(part, 0.0) + (-share if size % 2 else share)
        return {s: v for s, v in sorted(found.items(), key=lambda item: (len(item[0]), item[0])) if v != 0.0}

    @staticmethod
    def from_spins(variables: int, spins: Mapping[Subset, float]) -> Polynomial:
        """The polynomial of sum_S h_S prod s_i, s = 1 - 2x."""
        found: dict[Subset, float] = {}
        for subset, value in spins.items():
            for size in range(len(subset) + 1):
                for part in combinations(sorted(subset), size):
                    found[part] = found.get(part, 0.0) + value * (-2.0) ** size
        return Polynomial(variables, found)

    def diagonal(self) -> Float:
        """f at all 2^n bit strings; bit i of an index is x_i (qubit 0 least significant, as in qiskit).

        Raises InputError above 28 variables.
        """
        if self.variables > DIAGONAL_QUBITS:
            raise InputError(
                f"{self.variables} qubits: a full diagonal would take {8 * 2**self.variables / 2**30:,.0f} GiB; "
                f"at most {DIAGONAL_QUBITS} qubits (use the subspace or the depth-1 engine)"
            )
        # f(x) sums the coefficients of all subsets of x; five bits at a time that is a product with a 32 x 32 matrix
        values = np.zeros(1 << self.variables)
        for subset, value in self.terms.items():
            values[sum(1 << i for i in subset)] = value
        for start in range(0, self.variables, 5):
            index = np.arange(1 << min(5, self.variables - start))
            inside = (index[:, None] & index == index).astype(np.float64)
            if start == 0:
                values = (values.reshape(-1, len(index)) @ inside.T).ravel()
            else:
                values = np.matmul(inside, values.reshape(-1, len(index), 1 << start)).ravel()
        return values

    def restricted(self, fixed: Mapping[int, int]) -> Polynomial:
        """The polynomial with some variables fixed; the others keep their order and are numbered anew."""
        free = [i for i in range(self.variables) if i not in fixed]
        number = {i: k for k, i in enumerate(free)}
        found: dict[Subset, float] = {}
        for subset, value in self.terms.items():
            if all(fixed.get(i, 1) for i in subset):
                left = tuple(number[i] for i in subset if i not in fixed)
                found[left] = found.get(left, 0.0) + value
        return Polynomial(len(free), found)

    def __add__(self, other: Polynomial) -> Polynomial:
        if other.variables != self.variables:
            raise InputError(f"{self.variables} and {other.variables} variables cannot be added")
        found = dict(self.terms)
        for subset, value in other.terms.items():
            found[subset] = found.get(subset, 0.0) + value
        return Polynomial(self.variables, found)

    def scaled(self, factor: float) -> Polynomial:
        """factor * f."""
        return Polynomial(self.variables, {s: factor * v for s, v in self.terms.items()})


def product(a: Mapping[Subset, float], b: Mapping[Subset, float]) -> dict[Subset, float]:
    """Terms of a(x) b(x): x times x is x."""
    found: dict[Subset, float] = {}
    for s, v in a.items():
        for t, w in b.items():
            both = tuple(sorted({*s, *t}))
            found[both] = found.get(both, 0.0) + v * w
    return found


def total(parts: Iterable[Mapping[Subset, float]]) -> dict[Subset, float]:
    """Terms of the sum of parts."""
    found: dict[Subset, float] = {}
    for part in parts:
        for subset, value in part.items():
            found[subset] = found.get(subset, 0.0) + value
    return found


def exactly_one(group: Iterable[int], weight: float) -> dict[Subset, float]:
    """weight * (1 - sum of the group's bits)^2."""
    one: dict[Subset, float] = {(): 1.0, **{(i,): -1.0 for i in group}}
    return {s: weight * v for s, v in product(one, one).items()}


def all_bits(variables: int) -> Bits:
    """All bit strings [2^n, n] in the order of `diagonal`. For few variables."""
    index = np.arange(1 << variables)
    return ((index[:, None] >> np.arange(variables)) & 1).astype(np.uint8)
