"""A state vector under Pauli rotations exp(-i theta/2 P), and samples of products of Z: single precision."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from trine.quantum.engines.state import threads
from trine.quantum.polynomial import Bits

State = NDArray[np.complex64]
njit: Any = numba.njit
ROWS = 1 << 8  # of a state at a time while its phases are made: 2^8 rows of 2^12 are 8 MiB
Turn = tuple[int, int, int, float]  # x, z, power of i, theta: exp(-i theta/2 i^power X^x Z^z)


def evolved(qubits: int, plus: int, turns: Iterable[Turn]) -> State:
    """The state [2^qubits] after rotations, from |+> on the qubits of `plus` and |0> on the others."""
    state = begun(qubits, plus)
    with threads(len(state)):
        turn_all(state, turns)
    return state


def turn_all(state: State, turns: Iterable[Turn]) -> None:
    """Rotations in order, in place."""
    for diagonal, run in groupby(gathered(turns), key=lambda turn: turn[0] == 0):
        if diagonal:
            phase(state, [(z, theta / 2 * (-1 if power == 2 else 1)) for _, z, power, theta in run])
            continue
        for x, z, power, theta in run:
            # -i sin(theta/2) i^power, on the amplitude that comes from the other string
            factor = np.complex64(-1j * np.sin(theta / 2) * 1j**power)
            rotate(state, x, z, np.float32(np.cos(theta / 2)), factor, x.bit_length() - 1)


def gathered(turns: Iterable[Turn]) -> list[Turn]:
    """The same product with diagonal turns moved forward past those that they commute with, to the last diagonal one:
    a run of them costs as much as one."""
    found: list[Turn] = []
    for turn in turns:
        place = len(found)
        if turn[0] == 0:
            back = place
            while back and found[back - 1][0] and not (found[back - 1][0] & turn[1]).bit_count() % 2:
                back -= 1
            place = back if back and found[back - 1][0] == 0 else place
        found.insert(place, turn)
    return found


def begun(qubits: int, plus: int) -> State:
    """|+> on the qubits of a mask, |0> on the others."""
    state = np.ones(1, np.complex64)
    for q in range(qubits):
        state = np.concatenate([state, state if plus >> q & 1 else np.zeros_like(state)])
    state *= np.float32(2 ** (-plus.bit_count() / 2))
    return state


def signs(masks: Sequence[int], size: int) -> NDArray[np.float32]:
    """[len(masks), size]: (-1)^(bits of the mask in the index)."""
    index = np.arange(size, dtype=np.uint64)
    odd = np.bitwise_count(np.array(masks, np.uint64)[:, None] & index) & 1
    return np.asarray(1 - 2 * odd.astype(np.float32), np.float32)


def phase(state: State, terms: Sequence[tuple[int, float]]) -> None:
    """State times exp(-i sum of angle (-1)^(bits of mask in the index)), in place.

    The index is cut in two halves, so the sum is a product of two small matrices: a row for each pattern of masks in
    the upper half.
    """
    low = (len(state).bit_length() - 1) // 2
    width = 1 << low
    upper = sorted({mask >> low for mask, _ in terms})
    place = {mask: k for k, mask in enumerate(upper)}
    inner = np.zeros((len(upper), width), np.float32)
    lower = signs([mask & width - 1 for mask, _ in terms], width)
    for (mask, angle), row in zip(terms, lower):
        inner[place[mask >> low]] += np.float32(angle) * row
    rows = state.reshape(-1, width)
    outer = signs(upper, len(rows)).T
    for at in range(0, len(rows), ROWS):
        angles = outer[at : at + ROWS] @ inner
        turn = np.empty(angles.shape, np.complex64)
        np.cos(angles, out=turn.real)
        np.sin(-angles, out=turn.imag)
        rows[at : at + ROWS] *= turn


@njit(cache=True)
def odd(value: int) -> int:
    """Whether a number has an odd number of ones."""
    for shift in (32, 16, 8, 4, 2, 1):
        value ^= value >> shift
    return value & 1


@njit(cache=True, parallel=True)
def rotate(state: Any, x: int, z: int, c: Any, factor: Any, pivot: int) -> None:
    """State to c state + factor X^x Z^z state, in place; pivot: a bit of x."""
    apart = 1 << pivot
    there = -factor if odd(z & x) else factor  # Z^z on the partner's string
    if z == 0:
        for pair in numba.prange(len(state) // 2):
            i = ((pair >> pivot) << (pivot + 1)) | (pair & (apart - 1))
            a, b = state[i], state[i ^ x]
            state[i], state[i ^ x] = c * a + there * b, c * b + factor * a
        return
    for pair in numba.prange(len(state) // 2):
        i = ((pair >> pivot) << (pivot + 1)) | (pair & (apart - 1))
        a, b = state[i], state[i ^ x]
        if odd(z & i):
            a, b = -a, -b
            state[i], state[i ^ x] = there * b - c * a, factor * a - c * b
        else:
            state[i], state[i ^ x] = c * a + there * b, c * b + factor * a


def drawn(state: State, masks: Sequence[int], shots: int, generator: np.random.Generator) -> Bits:
    """Samples [shots, len(masks)]: parities of each mask in strings drawn from the state."""
    width = 1 << (len(state).bit_length() - 1) // 2
    rows = state.reshape(-1, width)
    chances = np.array([np.vdot(row, row).real for row in rows], np.float64)
    row = generator.choice(len(rows), shots, p=chances / chances.sum())
    index = np.empty(shots, np.int64)
    for r in np.unique(row):
        here = np.abs(rows[r].astype(np.complex128)) ** 2
        which = np.flatnonzero(row == r)
        index[which] = r * width + generator.choice(width, len(which), p=here / here.sum())
    parity = np.bitwise_count(np.array(masks, np.uint64) & index[:, None].astype(np.uint64)) & 1
    return np.asarray(parity, np.uint8)
