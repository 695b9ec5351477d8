"""Other qubits for the same electrons: linear codes b' = A b over GF(2) of Jordan-Wigner's bits b.

Parity, its two-qubit reduction and Z2 tapering (Bravyi et al. 2017, arXiv 1701.08213) are one thing: a choice of rows
of A. A permutes bit strings, so X^x Z^z becomes X^(A x) Z^(A^-T z) without a sign; a new bit that no term flips is a
symmetry, and stays as the reference has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trine.devices.errors import InputError, nearest
from trine.quantum.hamiltonian import Hamiltonian
from trine.quantum.molecules.fermions import Sum, as_hamiltonian, as_sum

MAPPINGS = ("jordan-wigner", "parity", "parity-reduced", "tapered")


@dataclass(frozen=True)
class Code:
    """rows[k]: mask of the old bits whose parity is new bit k. fixed: new bits that are dropped, with their values.

    Raises InputError for rows that are not independent.
    """

    name: str
    rows: tuple[int, ...]
    fixed: Mapping[int, int]

    def __post_init__(self) -> None:
        inverse(self.rows)

    @property
    def kept(self) -> tuple[int, ...]:
        """New bits that become qubits, in order."""
        return tuple(k for k in range(len(self.rows)) if k not in self.fixed)

    @property
    def qubits(self) -> int:
        """Number of qubits left."""
        return len(self.kept)

    def full(self, occupation: int) -> int:
        """The new string of an old one, with its fixed bits (masks)."""
        return times(self.rows, occupation)

    def bits(self, occupation: int) -> int:
        """The new string of an old one on the qubits left (masks)."""
        full = self.full(occupation)
        return sum((full >> k & 1) << place for place, k in enumerate(self.kept))

    def admits(self, occupation: int) -> bool:
        """Whether an old string has the fixed bits."""
        full = self.full(occupation)
        return all(full >> k & 1 == bit for k, bit in self.fixed.items())

    def terms(self, total: Mapping[tuple[int, int], complex]) -> Sum | None:
        """A sum of X^x Z^z on the qubits left; None where it flips a bit that is fixed."""
        turned = columns(inverse(self.rows), len(self.rows))
        fixed = sum(1 << k for k in self.fixed)
        ones = sum(bit << k for k, bit in self.fixed.items())
        found: Sum = {}
        for (x, z), value in total.items():
            x, z = times(self.rows, x), times(turned, z)
            if x & fixed:
                return None
            sign = -1 if (z & ones).bit_count() & 1 else 1
            key = tuple(sum((m >> k & 1) << place for place, k in enumerate(self.kept)) for m in (x, z))
            found[key[0], key[1]] = found.get((key[0], key[1]), 0.0) + sign * value
        return found

    def apply(self, hamiltonian: Hamiltonian) -> Hamiltonian:
        """The same energies on the qubits left. Raises InputError where a fixed bit is no symmetry."""
        found = self.terms(as_sum(hamiltonian))
        if found is None:
            raise InputError(f"{self.name}: the Hamiltonian does not keep a bit that the code fixes")
        return as_hamiltonian(found, self.qubits)


def code_named(name: str, hamiltonian: Hamiltonian, reference: int) -> Code:
    """One of MAPPINGS for a Jordan-Wigner Hamiltonian of two equal halves (up, down), in the reference's sector.

    jordan-wigner: as it is. parity: bit k is the parity of bits 0..k. parity-reduced: without the two that count
    up and all electrons. tapered: without all products of Z that commute with every term. Raises InputError.
    """
    n = hamiltonian.qubits
    if name not in MAPPINGS:
        raise InputError(f"mapping {name!r}: {nearest(name, MAPPINGS)}")
    if name == "jordan-wigner":
        return Code(name, tuple(1 << k for k in range(n)), {})
    if name == "tapered":
        symmetries = kernel([x for x, _ in as_sum(hamiltonian)], n)
        rows, fixed = list(completed(symmetries, n)), tuple(range(len(symmetries)))
    else:
        rows = [(2 << k) - 1 for k in range(n)]
        fixed = (n // 2 - 1, n - 1) if name == "parity-reduced" else ()
    full = times(rows, reference)
    return Code(name, tuple(rows), {k: full >> k & 1 for k in fixed})


def times(rows: Sequence[int], vector: int) -> int:
    """Matrix times vector over GF(2)."""
    return sum(((row & vector).bit_count() & 1) << k for k, row in enumerate(rows))


def columns(rows: Sequence[int], n: int) -> tuple[int, ...]:
    """The transpose."""
    return tuple(sum((row >> j & 1) << k for k, row in enumerate(rows)) for j in range(n))


def inverse(rows: Sequence[int]) -> tuple[int, ...]:
    """Over GF(2) by Gauss and Jordan. Raises InputError for a singular matrix."""
    n = len(rows)
    work = [row | (1 << (n + k)) for k, row in enumerate(rows)]
    for k in range(n):
        pivot = next((j for j in range(k, n) if work[j] >> k & 1), None)
        if pivot is None:
            raise InputError("the rows of a code must be independent")
        work[k], work[pivot] = work[pivot], work[k]
        for j in range(n):
            if j != k and work[j] >> k & 1:
                work[j] ^= work[k]
    return tuple(row >> n for row in work)


def reduced(vectors: Sequence[int]) -> dict[int, int]:
    """Reduced row echelon form: highest bit -> row."""
    found: dict[int, int] = {}
    for vector in vectors:
        for pivot, row in found.items():
            if vector >> pivot & 1:
                vector ^= row
        if not vector:
            continue
        top = vector.bit_length() - 1
        found = {p: row ^ vector if row >> top & 1 else row for p, row in found.items()}
        found[top] = vector
    return found


def kernel(vectors: Sequence[int], n: int) -> tuple[int, ...]:
    """A basis of all v with even overlap with every vector, ascending."""
    rows = reduced(vectors)
    free = [k for k in range(n) if k not in rows]
    return tuple(sorted((1 << k) | sum((row >> k & 1) << p for p, row in rows.items()) for k in free))


def completed(rows: Sequence[int], n: int) -> tuple[int, ...]:
    """The rows, then single bits that make the matrix invertible."""
    pivots = reduced(rows)
    return (*rows, *(1 << k for k in range(n) if k not in pivots))
