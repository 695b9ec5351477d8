"""Which bit strings satisfy a problem's hard constraints: the subspace engine's states, random sampling's draws."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from trine.devices.errors import InputError
from trine.quantum.polynomial import Bits


@dataclass(frozen=True)
class AllStates:
    """No constraint: all 2^n bit strings."""

    qubits: int

    @property
    def size(self) -> int:
        """Number of feasible bit strings."""
        return 1 << self.qubits

    def contains(self, bits: Bits) -> bool:
        """Whether one bit string [n] is feasible."""
        return True

    def draw(self, generator: np.random.Generator, count: int) -> Bits:
        """`count` feasible strings, uniformly."""
        return generator.integers(0, 2, (count, self.qubits), dtype=np.uint8)


@dataclass(frozen=True)
class OneHot:
    """Exactly one bit in each group; the groups are disjoint and cover all qubits (rotamers, codons, positions)."""

    groups: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        flat = [i for group in self.groups for i in group]
        if sorted(flat) != list(range(len(flat))) or not all(self.groups):
            raise InputError("one-hot groups must be non-empty, disjoint and cover all qubits")

    @property
    def qubits(self) -> int:
        """Bits in all groups."""
        return sum(map(len, self.groups))

    @property
    def size(self) -> int:
        """Product of the groups' sizes."""
        found = 1
        for group in self.groups:
            found *= len(group)
        return found

    def contains(self, bits: Bits) -> bool:
        """Whether one bit string [n] is feasible."""
        return all(int(bits[list(group)].sum()) == 1 for group in self.groups)

    def draw(self, generator: np.random.Generator, count: int) -> Bits:
        """`count` feasible strings, uniformly."""
        found = np.zeros((count, self.qubits), np.uint8)
        for group in self.groups:
            chosen = np.asarray(group)[generator.integers(0, len(group), count)]
            found[np.arange(count), chosen] = 1
        return found


@dataclass(frozen=True)
class IndependentSets:
    """No two bits of a conflict together: independent sets of the conflict graph, cliques of its complement."""

    qubits: int
    conflicts: tuple[tuple[int, int], ...]

    @cached_property
    def masks(self) -> tuple[int, ...]:
        """For each bit, the bits in conflict with it, as an integer with bit j set for j."""
        found = [0] * self.qubits
        for i, j in self.conflicts:
            found[i] |= 1 << j
            found[j] |= 1 << i
        return tuple(found)

    @property
    def size(self) -> int:
        """Number of independent sets, the empty one included; counts them one by one."""
        return sum(1 for _ in self.sets())

    def sets(self) -> Iterator[int]:
        """All independent sets as integers, ascending by their largest members; the empty set first."""
        stack = [(0, 0, 0)]
        while stack:
            chosen, start, barred = stack.pop()
            yield chosen
            for i in range(self.qubits - 1, start - 1, -1):
                if not barred >> i & 1:
                    stack.append((chosen | 1 << i, i + 1, barred | self.masks[i]))

    def contains(self, bits: Bits) -> bool:
        """Whether one bit string [n] is feasible."""
        return not any(bits[i] and bits[j] for i, j in self.conflicts)

    def draw(self, generator: np.random.Generator, count: int) -> Bits:
        """`count` feasible strings by adding bits in random order until a random size; not uniform over sets.

        Uniform draws need all sets listed (`sets`); the baselines say which one they used.
        """
        found = np.zeros((count, self.qubits), np.uint8)
        for row in found:
            barred, left = 0, int(generator.integers(0, self.qubits + 1))
            for i in generator.permutation(self.qubits)[:left]:
                if not barred >> int(i) & 1:
                    row[i] = 1
                    barred |= self.masks[int(i)]
        return found


Feasible = AllStates | OneHot | IndependentSets
