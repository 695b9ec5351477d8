"""QUBO: a quadratic function of bits, minimised, without constraints; the form most machines take.

Survey: Kochenberger et al. 2014 (J. Comb. Optim. 28, 58).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trine.quantum.feasible import AllStates
from trine.quantum.optima import linear_programs, selection
from trine.quantum.polynomial import Bits, Polynomial, Subset
from trine.quantum.problem import Encoding, Exact, Problem, Reader

Pair = tuple[int, int]


@dataclass(frozen=True)
class Quadratic:
    """constant + sum linear_i x_i + sum over pairs i < j of couplings times x_i x_j."""

    names: tuple[str, ...]
    linear: tuple[float, ...]
    pairs: tuple[Pair, ...]
    couplings: tuple[float, ...]
    constant: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """The instance's object."""
        return {
            "names": list(self.names),
            "linear": list(self.linear),
            "pairs": [list(p) for p in self.pairs],
            "couplings": list(self.couplings),
            "constant": self.constant,
        }


def parse(data: Mapping[str, Any]) -> Quadratic:
    """From a file's `instance`: linear, pairs and couplings, or `matrix` Q of x^T Q x. Raises InputError."""
    if "matrix" in data:
        reader = Reader(data, ("matrix",), ("names", "constant"))
        linear, pairs, couplings = read_matrix(reader)
    else:
        reader = Reader(data, ("linear", "pairs", "couplings"), ("names", "constant"))
        linear = reader.numbers("linear")
        pairs, couplings = read_couplings(reader, len(linear))
    names = reader.texts("names") or tuple(f"x{i}" for i in range(len(linear)))
    reader.number("constant")
    if not reader.problems:
        if not linear:
            reader.problems.append("linear is empty: give one number a variable")
        if len(names) != len(linear) or len(set(names)) != len(names):
            reader.problems.append(f"names: give {len(linear)} different names, or leave them out")
    reader.done()
    return Quadratic(names, linear, pairs, couplings, reader.number("constant"))


def read_couplings(reader: Reader, count: int) -> tuple[tuple[Pair, ...], tuple[float, ...]]:
    """`pairs` ascending and the number in `couplings` for each."""
    given = reader.data.get("pairs")
    values = reader.numbers("couplings", len(given) if isinstance(given, list) else None)
    pairs = reader.edges("pairs", count)
    if reader.problems or not isinstance(given, list):
        return (), ()
    order = sorted(range(len(given)), key=lambda k: sorted(given[k]))
    return pairs, tuple(values[k] for k in order)


def read_matrix(reader: Reader) -> tuple[tuple[float, ...], tuple[Pair, ...], tuple[float, ...]]:
    """Linear part, pairs and couplings of a symmetric or triangular matrix; another is ambiguous and refused."""
    rows = reader.data.get("matrix")
    if (
        not isinstance(rows, list)
        or not rows
        or not all(isinstance(r, list) and len(r) == len(rows) for r in rows)
    ):
        reader.problems.append("matrix: give a square list of lists of numbers")
        return (), (), ()
    for i, row in enumerate(rows):
        for j, v in enumerate(row):
            if isinstance(v, bool) or not isinstance(v, int | float) or not math.isfinite(v):
                reader.problems.append(f"matrix[{i}][{j}] is {v!r}: give a finite number")
    if reader.problems:
        return (), (), ()
    matrix = np.array(rows, np.float64)
    upper, lower = np.triu(matrix, 1), np.tril(matrix, -1)
    if upper.any() and lower.any() and not np.allclose(upper, lower.T, rtol=1e-12, atol=0):
        i, j = map(int, np.argwhere(np.abs(upper - lower.T) > 1e-12 * np.abs(matrix).max())[0])
        reader.problems.append(
            f"matrix is not symmetric: [{i}][{j}] is {matrix[i, j]:g} but [{j}][{i}] is {matrix[j, i]:g}; give a "
            "symmetric or a triangular one ((Q + Q^T)/2 is the same function of bits)"
        )
        return (), (), ()
    both = upper + lower.T
    pairs = tuple((int(i), int(j)) for i, j in np.argwhere(both))
    return tuple(np.diag(matrix).tolist()), pairs, tuple(float(both[p]) for p in pairs)


def encode(model: Quadratic) -> Encoding:
    """Itself."""
    terms: dict[Subset, float] = {(): model.constant, **{(i,): v for i, v in enumerate(model.linear)}}
    terms |= dict(zip(model.pairs, model.couplings, strict=True))
    polynomial = Polynomial(len(model.linear), terms)
    return Encoding(polynomial, polynomial, AllStates(len(model.linear)), model.names)


def cost(model: Quadratic, bits: Bits) -> float:
    """The function's value."""
    linear = sum(v for i, v in enumerate(model.linear) if bits[i])
    joint = sum(v for (i, j), v in zip(model.pairs, model.couplings, strict=True) if bits[i] and bits[j])
    return model.constant + linear + joint


def decode(model: Quadratic, bits: Bits) -> dict[str, Any]:
    """The variables that are 1, and the value."""
    return {"ones": [n for n, b in zip(model.names, bits, strict=True) if b], "value": cost(model, bits)}


def bits_of(model: Quadratic, answer: Mapping[str, Any]) -> Bits:
    """From the variables that are 1."""
    place: dict[object, int] = {name: i for i, name in enumerate(model.names)}
    return selection.chosen_bits(len(place), [place.get(n, n) for n in answer["ones"]], "variable")


def exact(model: Quadratic) -> Exact | None:
    """All strings to 24 variables, then HiGHS."""
    return linear_programs.lowest(encode(model).polynomial)


def greedy(model: Quadratic) -> Bits:
    """From all zeros, the flip that gains most, until none does."""
    return descend(encode(model).polynomial)


def descend(polynomial: Polynomial) -> Bits:
    """Steepest descent by single flips from all zeros, the first flip among equals; degree at most two."""
    n = polynomial.variables
    linear, quadratic = np.zeros(n), np.zeros((n, n))
    for subset, value in polynomial.terms.items():
        if len(subset) == 1:
            linear[subset[0]] = value
        elif subset:
            quadratic[subset] += value
    quadratic += quadratic.T
    bits = np.zeros(n, np.uint8)
    while True:
        change = (1 - 2.0 * bits) * (linear + quadratic @ bits)
        best = int(change.argmin())
        if change[best] >= -1e-12 * (1 + np.abs(change).max()):
            return bits
        bits[best] ^= 1


def example() -> Quadratic:
    """-x0 - x1 - x2 + 2 x0 x1 + 2 x1 x2: x0 and x2 on, value -2."""
    return Quadratic(("x0", "x1", "x2"), (-1.0, -1.0, -1.0), ((0, 1), (1, 2)), (2.0, 2.0))


def sample(generator: np.random.Generator, qubits: int) -> Quadratic:
    """Half of all pairs, whole numbers from -100 to 100 as Beasley's bqp."""
    n = max(1, qubits)
    pairs = tuple((i, j) for i in range(n) for j in range(i + 1, n) if generator.random() < 0.5)
    linear, joint = (generator.integers(-100, 101, k).astype(float).tolist() for k in (n, len(pairs)))
    return Quadratic(tuple(f"x{i}" for i in range(n)), tuple(linear), pairs, tuple(joint))


PROBLEM = Problem(
    "qubo", "any quadratic function of bits", "Kochenberger et al. 2014 (J. Comb. Optim. 28, 58)",
    parse, encode, cost, lambda model, bits: [], decode, bits_of, exact, greedy, example, sample,
    keys={
        "names": "one a variable; x0, x1, ... if left out",
        "linear": "one a variable; or instead of this and the next two, matrix: symmetric or triangular Q of x^T Q x",
        "pairs": "list of [i, j]",
        "couplings": "one a pair",
        "constant": "added; 0 if left out",
    },
)  # fmt: skip
