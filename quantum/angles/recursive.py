"""Recursive QAOA: fix the strongest correlation, shrink, repeat (Bravyi, Kliesch, Koenig and Tang 2020)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from trine.devices.errors import InputError
from trine.quantum.engines.state import Correlations
from trine.quantum.polynomial import Bits, Polynomial, Subset
from trine.quantum.samples import Angles

TIE = 1e-12  # correlations this near are equal: the first is taken, whatever the last bit says


class Correlated(Protocol):
    """An engine that gives correlations: full, subspace, depth-one."""

    def correlations(self, angles: Angles) -> Correlations:
        """Of spins and of pairs of spins."""
        ...


@dataclass(frozen=True)
class Step:
    """Spin `fixed` = sign * spin `kept`, or sign alone where kept is None; the correlation that said so."""

    fixed: int
    kept: int | None
    sign: int
    correlation: float


@dataclass(frozen=True)
class Recursive:
    """The string found [n], its cost, and the steps that led to it, in the problem's own numbering."""

    bits: tuple[int, ...]
    cost: float
    steps: tuple[Step, ...] = field(repr=False)


@dataclass(frozen=True)
class Reduction:
    """What recursive QAOA fixed on the way to a core: `core` is the cost of the spins `kept`, in ascending order."""

    variables: int
    kept: tuple[int, ...]
    steps: tuple[Step, ...]
    core: Polynomial = field(repr=False)

    @staticmethod
    def of(polynomial: Polynomial, steps: Sequence[Step]) -> Reduction:
        """Steps applied to a problem's cost. Raises InputError for a spin that is fixed twice or is not there."""
        spins, alive = polynomial.spins(), list(range(polynomial.variables))
        for step in steps:
            if step.fixed not in alive or step.kept not in (None, *alive) or step.kept == step.fixed:
                raise InputError(f"spin {step.fixed} cannot be fixed by spin {step.kept}: not there any more")
            spins = substituted(spins, step)
            alive.remove(step.fixed)
        return Reduction(polynomial.variables, tuple(alive), tuple(steps), left_of(spins, alive))

    def expand(self, bits: Bits) -> Bits:
        """Strings of the core [k, kept] -> strings of the problem [k, variables], each fixed spin put back."""
        found = np.zeros((len(bits), self.variables), np.uint8)
        found[:, list(self.kept)] = bits
        for step in reversed(self.steps):
            flip = step.sign < 0
            found[:, step.fixed] = flip if step.kept is None else found[:, step.kept] ^ flip
        return found


def left_of(spins: Mapping[Subset, float], alive: Sequence[int]) -> Polynomial:
    """The cost of the spins that are left, numbered anew."""
    number = {q: k for k, q in enumerate(alive)}
    return Polynomial.from_spins(len(alive), {tuple(number[q] for q in s): v for s, v in spins.items()})


def reduced(
    polynomial: Polynomial, engine_of: Callable[[Polynomial], Correlated],
    angles_of: Callable[[Any, Polynomial], Angles], until: int = 8,
    progress: Callable[[Step], None] | None = None,
) -> Reduction:  # fmt: skip
    """Recursive QAOA (arXiv 1910.08980) until `until` spins are left.

    engine_of(polynomial) makes an engine of what is left, angles_of(engine, polynomial) chooses its angles. The
    largest |<s_i>| or |<s_i s_j>| over the terms fixes a spin. Raises InputError for `until` outside 1 to 20.
    """
    if not 1 <= until <= 20:
        raise InputError(f"until is {until}: give 1 to 20 spins")
    spins = polynomial.spins()
    alive, steps = list(range(polynomial.variables)), []
    while len(alive) > until:
        left = left_of(spins, alive)
        engine = engine_of(left)
        step = strongest(alive, spins, engine.correlations(angles_of(engine, left)))
        spins = substituted(spins, step)
        alive.remove(step.fixed)
        steps.append(step)
        if progress is not None:
            progress(step)
    return Reduction.of(polynomial, steps)


def recursive(
    polynomial: Polynomial, engine_of: Callable[[Polynomial], Correlated],
    angles_of: Callable[[Any, Polynomial], Angles], until: int = 8,
    progress: Callable[[Step], None] | None = None,
) -> Recursive:  # fmt: skip
    """`reduced`, then the best of all strings of the core. Raises InputError as `reduced` does."""
    found = reduced(polynomial, engine_of, angles_of, until, progress)
    best = int(found.core.diagonal().argmin())
    core = (best >> np.arange(len(found.kept)) & 1).astype(np.uint8)
    bits = found.expand(core[None])[0]
    return Recursive(tuple(bits.tolist()), float(polynomial.energy(bits)), found.steps)


def strongest(alive: list[int], spins: Mapping[Subset, float], found: Correlations) -> Step:
    """The largest correlation among the terms of one and two spins; a spin without such a term is free: +1."""
    number = {q: k for k, q in enumerate(alive)}
    best: Step | None = None
    for subset in spins:
        if not 1 <= len(subset) <= 2:
            continue
        first, last = number[subset[0]], number[subset[-1]]
        value = float(found.singles[first] if len(subset) == 1 else found.pairs[first, last])
        if best is None or abs(value) > abs(best.correlation) + TIE:
            kept = subset[0] if len(subset) == 2 else None
            best = Step(subset[-1], kept, 1 if value >= 0 else -1, value)
    if best is not None:
        return best
    k = int(np.abs(found.singles).argmax())
    return Step(alive[k], None, 1 if found.singles[k] >= 0 else -1, float(found.singles[k]))


def substituted(spins: Mapping[Subset, float], step: Step) -> dict[Subset, float]:
    """The spin replaced in every term; a spin times itself is one."""
    made: dict[Subset, float] = {}
    for subset, value in spins.items():
        rest = set(subset)
        if step.fixed in rest:
            value = value * step.sign
            rest.remove(step.fixed)
            if step.kept is not None:
                rest ^= {step.kept}
        key = tuple(sorted(rest))
        made[key] = made.get(key, 0.0) + value
    return {s: v for s, v in made.items() if v != 0.0}
