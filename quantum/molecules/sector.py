"""The states with given numbers of electrons, and a Hamiltonian among them as a sparse matrix: exact energies."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.devices.errors import InputError, MissingExtra
from trine.quantum.engines.state import free_memory
from trine.quantum.hamiltonian import Hamiltonian
from trine.quantum.molecules.integrals import Float

Index = NDArray[np.int64]
DENSE = 300  # states to which plain diagonalisation is faster and surer than Lanczos
LEAK = 1e-9  # hartree


class Sector:
    """Strings with counts[r] ones among the widths[r] bits of each register, lowest register first; ascending in each.

    A molecule has two registers, spin up and spin down; a count of None admits all strings of its register.
    states: the strings as numbers [size].
    """

    def __init__(
        self, widths: Sequence[int], counts: Sequence[int | None], memory: int | None = None
    ) -> None:
        """List them. Raises InputError with the memory that it would take, and the limit."""
        self.widths, self.counts = tuple(widths), tuple(counts)
        registers = list(zip(self.widths, self.counts, strict=True))
        if any(k is not None and not 0 <= k <= w for w, k in registers):
            raise InputError(f"{self.counts} electrons do not fit registers of {self.widths}")
        self.size = prod(1 << w if k is None else comb(w, k) for w, k in registers)
        limit = free_memory() if memory is None else memory
        needed = 64 * self.size + sum(8 << w for w in self.widths)
        refuse(f"{self.size:,} states of {self.counts} electrons", needed, limit)
        self._ranks: list[Index] = []
        self.states: Index = np.zeros(1, np.int64)
        shift = 0
        for width, count in registers:
            strings = np.arange(1 << width)
            if count is not None:
                strings = strings[np.bitwise_count(strings) == count]
            rank = np.full(1 << width, -1, np.int64)
            rank[strings] = np.arange(len(strings)) * len(self.states)
            self._ranks.append(rank)
            self.states = ((strings[:, None] << shift) | self.states[None, :]).reshape(-1)
            shift += width

    @property
    def reference(self) -> int:
        """Place of the string with the lowest bits of each register set."""
        return 0

    def places(self, strings: Index) -> Index:
        """Where strings [k] are in `states`; negative for those outside."""
        found, outside, shift = np.zeros(strings.shape, np.int64), np.zeros(strings.shape, bool), 0
        for width, rank in zip(self.widths, self._ranks, strict=True):
            part = rank[(strings >> shift) & ((1 << width) - 1)]
            outside |= part < 0
            found += part
            shift += width
        return np.where(outside, -1, found)

    def matrix(self, hamiltonian: Hamiltonian, memory: int | None = None) -> Any:
        """scipy CSR [size, size], real where the Hamiltonian is.

        Raises InputError where it does not keep the numbers of electrons, or with the memory it would take.
        """
        if sum(self.widths) != hamiltonian.qubits:
            raise InputError(f"registers of {self.widths} bits, a Hamiltonian on {hamiltonian.qubits} qubits")
        try:
            from scipy.sparse import coo_array
        except ImportError:
            raise MissingExtra("scipy", "quantum", "sparse Hamiltonians") from None
        xs, zs, weights = hamiltonian.masks()
        flips = np.unique(xs)
        limit = free_memory() if memory is None else memory
        refuse(f"the Hamiltonian among {self.size:,} states", 40 * self.size * max(1, len(flips) // 4), limit)
        rows, columns, values, leak = [], [], [], 0.0
        for flip in flips:
            chosen = xs == flip
            value = np.zeros(self.size, np.complex128)
            for z, weight in zip(zs[chosen], weights[chosen], strict=True):
                value += weight * (1.0 - 2.0 * (np.bitwise_count(self.states & z) & 1))
            there = self.places(self.states ^ flip)
            leak = max(leak, float(np.abs(value[there < 0]).max(initial=0.0)))
            kept = (there >= 0) & (value != 0)
            rows.append(there[kept])
            columns.append(np.flatnonzero(kept))
            values.append(value[kept])
        if leak > LEAK:
            raise InputError(f"the Hamiltonian does not keep {self.counts} electrons (by {leak:.1g} hartree)")
        entries = np.concatenate(values)
        if not np.abs(entries.imag).any():
            entries = entries.real.copy()
        places = (np.concatenate(rows), np.concatenate(columns))
        return coo_array((entries, places), shape=(self.size, self.size)).tocsr()

    def lowest(self, hamiltonian: Hamiltonian) -> tuple[float, Float]:
        """(lowest eigenvalue, its vector [size]): full configuration interaction. Raises InputError as `matrix`."""
        return lowest(self.matrix(hamiltonian))


def lowest(matrix: Any) -> tuple[float, Float]:
    """Lowest eigenvalue and vector of a hermitian sparse matrix; the start of Lanczos is fixed."""
    size = matrix.shape[0]
    if size <= DENSE:
        values, vectors = np.linalg.eigh(matrix.toarray())
        return float(values[0]), vectors[:, 0]
    from scipy.sparse.linalg import eigsh

    start = np.random.default_rng(0).standard_normal(size)
    values, vectors = eigsh(matrix, k=1, which="SA", v0=start, tol=1e-12)
    return float(values[0]), vectors[:, 0]


def refuse(what: str, needed: int, limit: int) -> None:
    """Raise InputError where that many bytes are not there."""
    if needed > limit:
        raise InputError(
            f"{what} would take {needed / 2**30:,.1f} GiB, {limit / 2**30:,.1f} GiB may be used: choose a smaller "
            "active space (--active-electrons, --active-orbitals)"
        )
