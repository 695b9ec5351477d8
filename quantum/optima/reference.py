"""Exact optima by plain enumeration: what every answer is measured against where it can be reached."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from trine.devices.errors import InputError
from trine.quantum.feasible import OneHot
from trine.quantum.polynomial import Bits, Polynomial
from trine.quantum.problem import Exact

ENUMERATED = 24  # qubits: 2^24 doubles are 128 MiB


def lowest_string(polynomial: Polynomial) -> Exact:
    """The lowest of all 2^n strings, the first in order among equals. Raises InputError above 24 variables."""
    if polynomial.variables > ENUMERATED:
        raise InputError(f"{polynomial.variables} variables: enumeration goes to {ENUMERATED}")
    values = polynomial.diagonal()
    index = int(values.argmin())
    bits = tuple(index >> i & 1 for i in range(polynomial.variables))
    return Exact(float(values[index]), bits, f"all {len(values):,} bit strings")


def lowest_of(candidates: Iterable[Bits], polynomial: Polynomial, method: str) -> Exact | None:
    """The lowest of candidates [n], the first among equals; None where there is none."""
    best: Exact | None = None
    for bits in candidates:
        value = float(polynomial.energy(bits))
        if best is None or value < best.cost:
            best = Exact(value, tuple(int(b) for b in bits), method)
    return best


def product_strings(feasible: OneHot, limit: int = 1 << 22) -> np.ndarray:
    """All strings of a product of one-hot groups [size, n]. Raises InputError above `limit`."""
    if feasible.size > limit:
        raise InputError(f"{feasible.size:,} combinations: enumeration goes to {limit:,}")
    sizes = [len(g) for g in feasible.groups]
    choice = (
        np.stack(np.unravel_index(np.arange(feasible.size), sizes), axis=1)
        if sizes
        else np.zeros((1, 0), int)
    )
    found = np.zeros((feasible.size, feasible.qubits), np.uint8)
    for k, group in enumerate(feasible.groups):
        found[np.arange(feasible.size), np.asarray(group)[choice[:, k]]] = 1
    return found
