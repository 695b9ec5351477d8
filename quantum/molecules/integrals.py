"""`Integrals`: a molecule's electrons in orbitals, before qubits; active spaces."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from trine.devices.errors import InputError
from trine.quantum.engines.state import free_memory

Float = NDArray[np.float64]
SYMMETRIC = 1e-6  # hartree; integrals written to fewer digits are refused
MOST_ORBITALS = 31  # two qubits each: masks are 64-bit integers


@dataclass(frozen=True)
class Integrals:
    """Spatial orbitals with one set for both spins, energies in hartree.

    constant: nuclear repulsion and frozen electrons. one: h_pq [n, n]. two: (pq|rs) in chemists' order [n, n, n, n],
    real orbitals. electrons: spin up and spin down. Raises InputError naming all that cannot be.
    """

    constant: float
    one: Float = field(repr=False)
    two: Float = field(repr=False)
    electrons: tuple[int, int]

    def __post_init__(self) -> None:
        n, problems = len(self.one), []
        if self.one.shape != (n, n) or self.two.shape != (n, n, n, n) or n < 1:
            raise InputError(
                f"integrals of shapes {self.one.shape} and {self.two.shape} do not belong together"
            )
        if not (np.isfinite(self.one).all() and np.isfinite(self.two).all() and np.isfinite(self.constant)):
            raise InputError("an integral is no finite number")
        if np.abs(self.one - self.one.T).max() > SYMMETRIC:
            problems.append("h_pq is not symmetric")
        for axes, name in (((1, 0, 2, 3), "(qp|rs)"), ((2, 3, 0, 1), "(rs|pq)")):
            if np.abs(self.two - self.two.transpose(axes)).max() > SYMMETRIC:
                problems.append(f"(pq|rs) differs from {name}: real orbitals in chemists' order are needed")
        if any(not 0 <= count <= n for count in self.electrons) or sum(self.electrons) < 1:
            problems.append(f"{self.electrons[0]} up and {self.electrons[1]} down electrons in {n} orbitals")
        if problems:
            raise InputError("; ".join(problems))

    @property
    def orbitals(self) -> int:
        """Spatial orbitals; two qubits each."""
        return len(self.one)

    def reference_energy(self) -> float:
        """Of the lowest orbitals filled: Hartree-Fock's where the orbitals are (Szabo and Ostlund 2.3)."""
        up, down = (slice(0, count) for count in self.electrons)
        total = self.constant
        for own, other in ((up, down), (down, up)):
            total += float(np.trace(self.one[own, own]))
            total += 0.5 * float(np.einsum("iijj->", self.two[own, own, own, own]))
            total -= 0.5 * float(np.einsum("ijji->", self.two[own, own, own, own]))
            total += 0.5 * float(np.einsum("iijj->", self.two[own, own, other, other]))
        return total

    def stationarity(self) -> float:
        """Largest |F_ia| between filled and empty orbitals of a closed shell, hartree: zero at Hartree-Fock."""
        filled = slice(0, self.electrons[0])
        fock = self.one + 2 * np.einsum("pqii->pq", self.two[:, :, filled, filled])
        fock -= np.einsum("piiq->pq", self.two[:, filled, filled, :])
        return float(np.abs(fock[filled, self.electrons[0] :]).max(initial=0.0))

    def active(self, electrons: int | None, orbitals: int | None) -> Integrals:
        """Only so many electrons in so many orbitals around the highest filled one; those below stay filled.

        Raises InputError for a space that cannot be cut from this one.
        """
        total, n = sum(self.electrons), self.orbitals
        electrons = total if electrons is None else electrons
        frozen, odd = divmod(total - electrons, 2)
        orbitals = n - frozen if orbitals is None else orbitals
        problems = []
        if odd or frozen < 0 or frozen > min(self.electrons) or electrons < 1:
            problems.append(
                f"{electrons} active electrons of {total}: leave an even number out, keep at least one"
            )
        elif frozen + orbitals > n or orbitals < max(self.electrons) - frozen:
            low = max(self.electrons) - frozen
            problems.append(
                f"{orbitals} active orbitals: {electrons} active electrons leave {low} to {n - frozen}"
            )
        if problems:
            raise InputError("; ".join(problems))
        core, kept = slice(0, frozen), slice(frozen, frozen + orbitals)
        mean = 2 * np.einsum("pqii->pq", self.two[:, :, core, core])
        mean -= np.einsum("piiq->pq", self.two[:, core, core, :])
        constant = self.constant + float(np.trace(2 * self.one[core, core] + mean[core, core]))
        left = (self.electrons[0] - frozen, self.electrons[1] - frozen)
        return replace(
            self, constant=constant, one=(self.one + mean)[kept, kept], two=self.two[kept, kept, kept, kept],
            electrons=left,
        )  # fmt: skip


def check_orbitals(orbitals: int) -> None:
    """Raise InputError for more orbitals than masks can hold."""
    if orbitals > MOST_ORBITALS:
        raise InputError(
            f"{orbitals} orbitals are {2 * orbitals} qubits, at most {2 * MOST_ORBITALS} can be stated: "
            "choose an active space (--active-electrons, --active-orbitals)"
        )


def check_memory(orbitals: int) -> None:
    """Raise InputError where the integrals, and a copy of them, would not fit into memory."""
    needed, limit = 16 * orbitals**4, free_memory()
    if needed > limit:
        raise InputError(
            f"integrals over {orbitals} orbitals would take {needed / 2**30:,.1f} GiB, {limit / 2**30:,.1f} GiB are "
            "free: choose the active space in the program that writes them"
        )
