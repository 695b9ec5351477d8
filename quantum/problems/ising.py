"""Ising model: a quadratic function of spins s = 1 - 2x, minimised.

Barahona 1982 (J. Phys. A 15, 3241). dimod's spins have the other sign: `trine formulate ising --bqm` turns them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trine.devices.errors import InputError
from trine.quantum.feasible import AllStates
from trine.quantum.optima import linear_programs
from trine.quantum.polynomial import Bits, Polynomial, Subset
from trine.quantum.problem import Encoding, Exact, Problem, Reader
from trine.quantum.problems.qubo import Pair, descend, read_couplings


@dataclass(frozen=True)
class Spins:
    """constant + sum fields_i s_i + sum over pairs i < j of couplings times s_i s_j."""

    names: tuple[str, ...]
    fields: tuple[float, ...]
    pairs: tuple[Pair, ...]
    couplings: tuple[float, ...]
    constant: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """The instance's object."""
        return {
            "names": list(self.names),
            "fields": list(self.fields),
            "pairs": [list(p) for p in self.pairs],
            "couplings": list(self.couplings),
            "constant": self.constant,
        }


def parse(data: Mapping[str, Any]) -> Spins:
    """From a file's `instance`. Raises InputError."""
    reader = Reader(data, ("fields", "pairs", "couplings"), ("names", "constant"))
    fields = reader.numbers("fields")
    pairs, couplings = read_couplings(reader, len(fields))
    names = reader.texts("names") or tuple(f"s{i}" for i in range(len(fields)))
    constant = reader.number("constant")
    if not reader.problems:
        if not fields:
            reader.problems.append("fields is empty: give one number a spin")
        if len(names) != len(fields) or len(set(names)) != len(names):
            reader.problems.append(f"names: give {len(fields)} different names, or leave them out")
    reader.done()
    return Spins(names, fields, pairs, couplings, constant)


def encode(model: Spins) -> Encoding:
    """s = 1 - 2x."""
    terms: dict[Subset, float] = {(): model.constant, **{(i,): v for i, v in enumerate(model.fields)}}
    terms |= dict(zip(model.pairs, model.couplings, strict=True))
    polynomial = Polynomial.from_spins(len(model.fields), terms)
    labels = tuple(f"{name} is -1" for name in model.names)
    return Encoding(polynomial, polynomial, AllStates(len(model.fields)), labels)


def cost(model: Spins, bits: Bits) -> float:
    """The function's value."""
    spins = [1 - 2 * int(b) for b in bits]
    alone = sum(h * s for h, s in zip(model.fields, spins, strict=True))
    joint = sum(v * spins[i] * spins[j] for (i, j), v in zip(model.pairs, model.couplings, strict=True))
    return model.constant + alone + joint


def decode(model: Spins, bits: Bits) -> dict[str, Any]:
    """Each spin, and the value."""
    spins = {name: 1 - 2 * int(b) for name, b in zip(model.names, bits, strict=True)}
    return {"spins": spins, "value": cost(model, bits)}


def bits_of(model: Spins, answer: Mapping[str, Any]) -> Bits:
    """From the spins."""
    spins = answer["spins"]
    wrong = [n for n in model.names if spins.get(n) not in (1, -1)]
    if wrong:
        raise InputError(f"spins: {', '.join(wrong[:5])} must be 1 or -1")
    return np.array([(1 - spins[n]) // 2 for n in model.names], np.uint8)


def exact(model: Spins) -> Exact | None:
    """All strings to 24 spins, then HiGHS."""
    return linear_programs.lowest(encode(model).polynomial)


def greedy(model: Spins) -> Bits:
    """From all spins up, the flip that gains most, until none does."""
    return descend(encode(model).polynomial)


def example() -> Spins:
    """A triangle that cannot please all its bonds: value -1 at best, -1.5 with the field on one spin."""
    return Spins(("s0", "s1", "s2"), (0.5, 0.0, 0.0), ((0, 1), (0, 2), (1, 2)), (1.0, 1.0, 1.0))


def sample(generator: np.random.Generator, qubits: int) -> Spins:
    """Half of all pairs, couplings and fields from a normal distribution (Sherrington-Kirkpatrick, thinned)."""
    n = max(1, qubits)
    pairs = tuple((i, j) for i in range(n) for j in range(i + 1, n) if generator.random() < 0.5)
    fields, joint = (np.round(generator.normal(size=k), 3).tolist() for k in (n, len(pairs)))
    return Spins(tuple(f"s{i}" for i in range(n)), tuple(fields), pairs, tuple(joint))


PROBLEM = Problem(
    "ising", "any quadratic function of spins", "Barahona 1982 (J. Phys. A 15, 3241)",
    parse, encode, cost, lambda model, bits: [], decode, bits_of, exact, greedy, example, sample,
    keys={
        "names": "one a spin; s0, s1, ... if left out",
        "fields": "one a spin",
        "pairs": "list of [i, j]",
        "couplings": "one a pair",
        "constant": "added; 0 if left out",
    },
)  # fmt: skip
