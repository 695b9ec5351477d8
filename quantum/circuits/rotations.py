"""A circuit as Pauli rotations: its Clifford gates are pulled through to the end, where they say what is measured.

Any circuit of a superconducting machine is Clifford gates and turns about Z, so it is a product of exp(-i theta/2 P)
on the first state, and a measurement of commuting Paulis (Litinski 2019, arXiv 1808.02892, section 1). In that picture
a Pauli error anywhere is a Pauli before the rotations that follow it: it turns the sign of those that it does not
commute with, and flips those readings that it does not commute with. Nothing else: that is exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from trine.devices.errors import InputError
from trine.quantum.circuit import Circuit, Gate, gate
from trine.quantum.statevector import FIXED, matrix

SPLITS = (-math.pi / 2, -math.pi / 4, 0.0)
EXACT = 1e-9  # radians within which a turn is a multiple of pi/2, so a Clifford gate
AXES = {
    "rx": "x",
    "ry": "y",
    "rz": "z",
    "p": "z",
    "rxx": "xx",
    "ryy": "yy",
    "rzz": "zz",
    "t": "z",
    "tdg": "z",
}
CLIFFORD = ("id", "x", "y", "z", "h", "s", "sdg", "sx", "sxdg", "cx", "cy", "cz", "swap", "iswap", "ecr")
MOST_QUBITS = 63  # masks are 64-bit integers


@dataclass(frozen=True)
class Pauli:
    """i^phase X^x Z^z on masks of qubits."""

    x: int = 0
    z: int = 0
    phase: int = 0

    def __mul__(self, other: Pauli) -> Pauli:
        swaps = 2 * (self.z & other.x).bit_count()
        return Pauli(self.x ^ other.x, self.z ^ other.z, (self.phase + other.phase + swaps) % 4)

    def commutes(self, other: Pauli) -> bool:
        """Whether the two do."""
        return ((self.x & other.z).bit_count() + (self.z & other.x).bit_count()) % 2 == 0

    @property
    def negative(self) -> bool:
        """Whether it is minus a product of X, Y, Z."""
        return (self.phase - (self.x & self.z).bit_count()) % 4 == 2


@dataclass(frozen=True)
class Rotation:
    """exp(-i theta/2 P)."""

    pauli: Pauli
    theta: float


@dataclass(frozen=True)
class Picture:
    """A circuit's rotations in order, the Paulis that its measurement reads, and what X and Z of each qubit are after
    each gate.

    plus: mask of qubits that begin in |+>, the others in |0>. measured: result bit k is whether measured[k] reads -1.
    before: for gate k, the number of rotations up to and with it. images: after gate k, images[k][q] = (X_q, Z_q) as
    they are on the first state; only for the qubits of the gate.
    """

    qubits: int
    plus: int
    rotations: tuple[Rotation, ...]
    measured: tuple[Pauli, ...]
    before: tuple[int, ...] = field(repr=False)
    images: tuple[dict[int, tuple[Pauli, Pauli]], ...] = field(repr=False)

    def signs(self, errors: Sequence[tuple[Pauli, int]]) -> NDArray[np.bool_]:
        """[errors, rotations + measured]: which signs each error (image, rotations before it) turns."""
        paulis = [r.pauli for r in self.rotations] + list(self.measured)
        x, z = (np.array([getattr(p, part) for p in paulis], np.uint64) for part in ("x", "z"))
        place = np.arange(len(paulis))
        found = np.zeros((len(errors), len(paulis)), bool)
        for k, (error, done) in enumerate(errors):
            odd = np.bitwise_count(x & np.uint64(error.z)) + np.bitwise_count(z & np.uint64(error.x))
            found[k] = (odd % 2 == 1) & (place >= done)
        return found


def picture(circuit: Circuit) -> Picture:
    """Of several that say the same, the one with the fewest rotations that are no products of Z.

    Raises InputError for free angles, more than 63 qubits, or a gate that is neither Clifford nor one rotation.
    """
    if circuit.qubits > MOST_QUBITS:
        raise InputError(f"{circuit.qubits} qubits: rotations are followed on {MOST_QUBITS} at most")
    strange = sorted({g.name for g in circuit.gates} - set(CLIFFORD) - set(AXES) - {"u"})
    if strange or circuit.parameters:
        raise InputError(
            f"{', '.join(strange or circuit.parameters)}: neither Clifford gates nor turns; transpile and bind first"
        )
    first = followed(circuit, 0, None)
    starts = dict.fromkeys((mostly_x(first), (1 << circuit.qubits) - 1))  # QAOA begins in |+> everywhere
    tried = [first, *(followed(circuit, plus, split) for plus in starts for split in (None, *SPLITS))]
    return min(tried, key=lambda made: sum(r.pauli.x > 0 for r in made.rotations))


def followed(circuit: Circuit, plus: int, split: float | None) -> Picture:
    """The circuit from |+> on the qubits of `plus`; split: take quarter turns out of rotations, as `quarters` says."""
    now = [(Pauli(x=1 << q), Pauli(z=1 << q)) for q in range(circuit.qubits)]
    now = [(z, x) if plus >> q & 1 else (x, z) for q, (x, z) in enumerate(now)]
    rotations: list[Rotation] = []
    before, images = [], []
    for whole in circuit.gates:
        for part in turned(whole):
            step(part, now, rotations, split)
        before.append(len(rotations))
        images.append({q: now[q] for q in whole.qubits})
    read = tuple(now[q][1] for q in circuit.read)
    return Picture(circuit.qubits, plus, tuple(rotations), read, tuple(before), tuple(images))


def step(part: Gate, now: list[tuple[Pauli, Pauli]], rotations: list[Rotation], split: float | None) -> None:
    """Append a gate: a rotation, or another meaning of X and Z on its qubits, or both."""
    axis = AXES.get(part.name)
    if axis is not None:
        theta = {"t": math.pi / 4, "tdg": -math.pi / 4}.get(part.name)
        theta = part.angles[0].value({}) if theta is None else theta
        pauli = Pauli()
        for q, letter in zip(part.qubits, axis):
            pauli = pauli * letters(now[q])[letter]
        quarter = quarters(theta, pauli, split)
        rest = theta - quarter * math.pi / 2
        if abs(rest) > EXACT:
            rotations.append(Rotation(pauli, rest))
        name = {"t": "rz", "tdg": "rz"}.get(part.name, part.name)
        part = gate(name, *part.qubits, angles=[(quarter % 4) * math.pi / 2])
    was = [now[q] for q in part.qubits]
    for q, (x, z) in zip(part.qubits, conjugated(part.name, tuple(a.value({}) for a in part.angles))):
        now[q] = (image(x, was), image(z, was))


def quarters(theta: float, pauli: Pauli, split: float | None) -> int:
    """Quarter turns of a rotation that count as a Clifford gate; all of them where nothing else is left.

    A transpiler writes H and then a small turn as one turn by a quarter more. With `split`, products of Z lose the
    nearest number of quarters; others, a mixer's turns, which are not small but alike, go to [split, split + pi/2).
    """
    nearest = round(theta / (math.pi / 2))
    if abs(theta - nearest * math.pi / 2) <= EXACT:
        return nearest
    if split is None:
        return 0
    return math.floor((theta - split) / (math.pi / 2)) if pauli.x else nearest


def letters(pair: tuple[Pauli, Pauli]) -> dict[str, Pauli]:
    """x, y and z of a qubit; Y = i X Z."""
    x, z = pair
    return {"x": x, "z": z, "y": Pauli(phase=1) * x * z}


def image(pauli: Pauli, now: list[tuple[Pauli, Pauli]]) -> Pauli:
    """A Pauli on a gate's own qubits, as one on the first state."""
    found = Pauli(phase=pauli.phase)
    for k, (x, _) in enumerate(now):
        if pauli.x >> k & 1:
            found = found * x
    for k, (_, z) in enumerate(now):
        if pauli.z >> k & 1:
            found = found * z
    return found


def turned(whole: Gate) -> tuple[Gate, ...]:
    """u as three rotations, any other gate as it is."""
    if whole.name != "u":
        return (whole,)
    theta, phi, lam = whole.angles
    (q,) = whole.qubits
    return (gate("rz", q, angles=[lam]), gate("ry", q, angles=[theta]), gate("rz", q, angles=[phi]))


@cache
def conjugated(name: str, angles: tuple[float, ...]) -> tuple[tuple[Pauli, Pauli], ...]:
    """(U^-1 X_k U, U^-1 Z_k U) of a Clifford gate for each of its qubits, from its matrix."""
    width = 2 if name in ("cx", "cy", "cz", "swap", "iswap", "ecr", "rxx", "ryy", "rzz") else 1
    unitary = matrix(gate(name, *range(width), angles=angles))
    found = []
    for k in range(width):
        pair = []
        for pauli in (Pauli(x=1 << k), Pauli(z=1 << k)):
            pair.append(recognised(unitary.conj().T @ dense(pauli, width) @ unitary, width))
        found.append((pair[0], pair[1]))
    return tuple(found)


def dense(pauli: Pauli, width: int) -> NDArray[np.complex128]:
    """The matrix, first qubit least significant."""
    found = np.array([[1j**pauli.phase]])
    for k in range(width):
        one = np.eye(2, dtype=complex)
        if pauli.x >> k & 1:
            one = one @ np.array(FIXED["x"], complex)
        if pauli.z >> k & 1:
            one = one @ np.array(FIXED["z"], complex)
        found = np.kron(one, found)
    return found


def recognised(values: NDArray[np.complex128], width: int) -> Pauli:
    """The Pauli with that matrix."""
    for x, z, phase in product(range(1 << width), range(1 << width), range(4)):
        pauli = Pauli(x, z, phase)
        if np.allclose(values, dense(pauli, width), atol=1e-9):
            return pauli
    raise InputError("a gate taken for a Clifford gate is none")


def mostly_x(made: Picture) -> int:
    """Mask of qubits on which more rotations have an X than a Z: there the picture is simpler from |+>."""
    found = 0
    for q in range(made.qubits):
        ones = sum((r.pauli.x >> q & 1) - (r.pauli.z >> q & 1) for r in made.rotations)
        found |= (ones > 0) << q
    return found


def diagonalised(measured: Sequence[Pauli]) -> tuple[tuple[Rotation, ...], tuple[Pauli, ...]]:
    """(rotations by pi/2, products of Z) so that reading the products after the rotations reads the commuting Paulis.

    Each M with an X on qubit q goes to +-Z_q by the rotation about i M Z_q, which all Z products found so far commute
    with.
    """
    now, rotations = list(measured), []
    for k in range(len(now)):
        pauli = now[k]
        if not pauli.x:
            continue
        axis = Pauli(phase=1) * pauli * Pauli(z=pauli.x & -pauli.x)
        rotations.append(Rotation(axis, math.pi / 2))
        # U M U^-1 = i M axis for U = exp(-i pi/4 axis), where the two do not commute
        now = [m if m.commutes(axis) else Pauli(phase=1) * m * axis for m in now]
    return tuple(rotations), tuple(now)
