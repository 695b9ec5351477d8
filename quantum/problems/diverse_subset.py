"""Diverse subset of a library: the most valuable compounds of which no two are alike.

Two compounds conflict where their Tanimoto similarity reaches a threshold: a maximum-weight independent set of the
similarity graph; optionally of exactly `size` compounds. Selection by dissimilarity: Willett 1999 (J. Comput. Biol.
6, 447); independent sets on neutral atoms: Ebadi et al. 2022 (Science 376, 1209).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from trine.devices.errors import InputError
from trine.quantum.optima import selection
from trine.quantum.optima.selection import Items, Pair
from trine.quantum.polynomial import Bits, Polynomial, Subset, product
from trine.quantum.problem import Encoding, Exact, Problem, Reader

LOOKED_AT = 50_000  # branches spent on showing that a size is impossible


@dataclass(frozen=True)
class Library:
    """Compounds, their value, the pairs too similar to be had together, and how similar those are.

    size: how many are wanted, None for as many as pay. penalty: None for the default.
    """

    names: tuple[str, ...]
    weights: tuple[float, ...]
    similar: tuple[Pair, ...]
    tanimoto: tuple[float, ...] = ()
    size: int | None = None
    penalty: float | None = None

    @cached_property
    def bound(self) -> float:
        """A penalty above this suffices.

        With a size k: a subset of m compounds gains at most T(m) = the m largest weights, a proper answer at least
        B(k) = the k smallest, so a broken conflict must cost more than T(k) - B(k), and m instead of k compounds
        (m - k)^2 P > T(m) - B(k); without one, as in `selection`.
        """
        conflict = selection.penalty_bound(Items(self.weights, self.similar))
        if self.size is None:
            return conflict
        order = sorted(self.weights, reverse=True)
        least = sum(order[len(order) - self.size :])
        wrong = [(sum(order[:m]) - least) / max(1, (m - self.size) ** 2) for m in range(len(order) + 1)]
        return max(0.0, *wrong)

    @cached_property
    def items(self) -> Items:
        """Similar compounds conflict."""
        default = 1.5 * self.bound or 1.0
        return Items(self.weights, self.similar, default if self.penalty is None else self.penalty)

    def as_json(self) -> dict[str, Any]:
        """The instance's object."""
        return {
            "names": list(self.names),
            "weights": list(self.weights),
            "similar": [list(p) for p in self.similar],
            "tanimoto": list(self.tanimoto),
            "size": self.size,
            "penalty": self.penalty,
        }


def parse(data: Mapping[str, Any]) -> Library:
    """From a file's `instance`. Raises InputError, also where no subset of the wanted size exists."""
    reader = Reader(data, ("names", "similar"), ("weights", "tanimoto", "size", "penalty"))
    names = reader.texts("names")
    if not reader.problems and (not names or len(set(names)) != len(names)):
        reader.problems.append("names: give at least one compound, each name once")
    similar = reader.edges("similar", len(names))
    given = data.get("similar")
    tanimoto = reader.numbers("tanimoto", len(similar)) if data.get("tanimoto") else ()
    if tanimoto and not reader.problems and isinstance(given, list):
        order = sorted(range(len(given)), key=lambda k: sorted(given[k]))
        tanimoto = tuple(tanimoto[k] for k in order)
    size = None if data.get("size") is None else reader.whole("size", low=1, high=max(1, len(names)))
    weights, penalty = selection.read_weights(reader, len(names)), selection.read_penalty(reader)
    reader.done()
    found = Library(names, weights, similar, tanimoto, size, penalty)
    if penalty is not None and penalty <= found.bound and (similar or size):
        raise InputError(f"penalty is {penalty:g}: give more than {found.bound:g}, or leave it out")
    refuse_impossible_size(found)
    return found


def refuse_impossible_size(library: Library) -> None:
    """Raise InputError where it can be shown that no subset has the wanted size."""
    if library.size is None:
        return
    equal = Items((1.0,) * len(library.names), library.similar)
    try:
        found = selection.heaviest(equal, library.size, LOOKED_AT)
    except InputError:
        return  # neither found nor excluded: left to `exact`
    if found is None:
        most = round(-selection.exact(equal).cost)
        raise InputError(
            f"size is {library.size}: at most {most} compounds can be had without two similar ones; "
            "lower size or raise the threshold"
        )


def encode(library: Library) -> Encoding:
    """-sum w_i x_i + P sum over similar pairs x_i x_j, and P (size - sum x_i)^2 where a size is wanted."""
    found = selection.encode(library.items, library.names)
    if library.size is None:
        return found
    count = len(library.names)
    short: dict[Subset, float] = {(): float(library.size), **{(i,): -1.0 for i in range(count)}}
    sized = Polynomial(count, product(short, short)).scaled(selection.penalty_of(library.items))
    why = "above all that a broken conflict or another number of compounds can gain"
    return replace(
        found, polynomial=found.polynomial + sized, inside=found.inside + sized, penalty_source=why
    )


def cost(library: Library, bits: Bits) -> float:
    """Minus the value chosen, plus the penalties."""
    found = selection.cost(library.items, bits)
    if library.size is not None:
        found += selection.penalty_of(library.items) * (library.size - int(bits.sum())) ** 2
    return found


def violations(library: Library, bits: Bits) -> list[str]:
    """Similar pairs chosen; another number than wanted."""
    level: dict[Pair, float] = (
        dict(zip(library.similar, library.tanimoto, strict=True)) if library.tanimoto else {}
    )
    found = []
    for i, j in selection.broken(library.items, bits):
        how = f" (Tanimoto {level[i, j]:.2f})" if level else ""
        found.append(f"{library.names[i]} and {library.names[j]} are too similar{how}")
    if library.size not in (None, int(bits.sum())):
        found.append(f"{int(bits.sum())} compounds, wanted are {library.size}")
    return found


def decode(library: Library, bits: Bits) -> dict[str, Any]:
    """The compounds by name, and their value."""
    chosen = [i for i in range(len(library.names)) if bits[i]]
    return {
        "compounds": [library.names[i] for i in chosen],
        "value": sum(library.weights[i] for i in chosen),
        "left_out": len(library.names) - len(chosen),
    }


def bits_of(library: Library, answer: Mapping[str, Any]) -> Bits:
    """From the names."""
    place: dict[object, int] = {name: i for i, name in enumerate(library.names)}
    return selection.chosen_bits(len(place), [place.get(n, n) for n in answer["compounds"]], "compound")


def exact(library: Library) -> Exact | None:
    """Branch and bound."""
    return selection.heaviest(library.items, library.size)


def greedy(library: Library) -> Bits:
    """The most valuable compound not similar to those taken; if that misses the size, the first subset that has it."""
    bits = selection.greedy(library.items)
    if library.size is None:
        return bits
    for i in np.flatnonzero(bits)[::-1]:
        if int(bits.sum()) > library.size and library.weights[i] == min(np.array(library.weights)[bits == 1]):
            bits[i] = 0
    if int(bits.sum()) == library.size:
        return bits
    found = selection.heaviest(library.items, library.size)
    assert found is not None  # `parse` refuses impossible sizes
    return np.array(found.bits, np.uint8)


def example() -> Library:
    """Four painkillers: two salicylates are alike, two anilides are alike; one of each pair, value 2.7."""
    names = ("aspirin", "salicylic acid", "paracetamol", "phenacetin")
    return Library(names, (1.5, 1.0, 1.2, 0.9), ((0, 1), (2, 3)), (0.45, 0.53))


def sample(generator: np.random.Generator, qubits: int) -> Library:
    """A third of all pairs similar; every second instance wants three compounds if it can have them."""
    count = max(2, qubits)
    pairs = [(i, j) for i in range(count) for j in range(i + 1, count)]
    similar = tuple(p for p in pairs if generator.random() < 1 / 3)
    weights = tuple(np.round(generator.uniform(0.1, 2, count), 3).tolist())
    library = Library(tuple(f"compound {i}" for i in range(count)), weights, similar)
    wanted = replace(library, size=min(3, count))
    return wanted if generator.random() < 0.5 and selection.heaviest(library.items, wanted.size) else library


PROBLEM = Problem(
    "diverse_subset", "most valuable compounds of which no two are alike",
    "Willett 1999 (J. Comput. Biol. 6, 447); Ebadi et al. 2022 (Science 376, 1209)",
    parse, encode, cost, violations, decode, bits_of, exact, greedy, example, sample,
    unit="value",
    keys={
        "names": "one a compound",
        "weights": "value of each, above 0; 1 if left out",
        "similar": "list of [i, j]: pairs whose Tanimoto similarity reaches the threshold",
        "tanimoto": "similarity of each of these pairs; may be left out",
        "size": "how many are wanted; null: as many as pay",
        "penalty": "on a similar pair and on a wrong number; left out or null: 1.5 times what suffices",
    },
)  # fmt: skip
