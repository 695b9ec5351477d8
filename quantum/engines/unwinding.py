"""The way back through a layer for two states at once: the final state and its adjoint, with both derivatives.

As in `butterflies`, mixers are turned without their cosines. <adjoint| sum X |state> is the same before and after a
turn but for those cosines, so each stage's sum is weighed by the cosines of the qubits turned before it.
"""

from __future__ import annotations

from typing import Any

import numba

from trine.quantum.engines.butterflies import INNER, turn, turns
from trine.quantum.engines.vectors import BYTES, constant, flipped, fma, lane_sum, load, load_as, splat, store

njit: Any = numba.njit


@njit(cache=True, forceinline=True)
def overlap(ar: Any, ai: Any, sr: Any, si: Any, found: Any) -> Any:
    """found plus the imaginary part of conj(a) s."""
    return fma(ar, si, found) - ai * sr


@njit(cache=True, forceinline=True)
def turn_one(given: Any, s: int, ss: int, made: Any, d: int, ds: int, t: Any, m: Any) -> Any:
    """One qubit of both states; returns its overlap before the turn."""
    pr, pi, qr, qi = load(given[0], s), load(given[1], s), load(given[0], s + ss), load(given[1], s + ss)
    ar, ai, br, bi = load(given[2], s), load(given[3], s), load(given[2], s + ss), load(given[3], s + ss)
    found = overlap(br, bi, pr, pi, overlap(ar, ai, qr, qi, constant(0.0, t)))
    pr, pi, qr, qi = turn(pr, pi, qr, qi, t, m)
    ar, ai, br, bi = turn(ar, ai, br, bi, t, m)
    store(made[0], d, pr)
    store(made[1], d, pi)
    store(made[0], d + ds, qr)
    store(made[1], d + ds, qi)
    store(made[2], d, ar)
    store(made[3], d, ai)
    store(made[2], d + ds, br)
    store(made[3], d + ds, bi)
    return found


@njit(cache=True, forceinline=True)
def load_four(re: Any, im: Any, s: int, ss: int) -> Any:
    """Four rows ss apart."""
    return (
        load(re, s), load(im, s), load(re, s + ss), load(im, s + ss),
        load(re, s + 2 * ss), load(im, s + 2 * ss), load(re, s + 3 * ss), load(im, s + 3 * ss),
    )  # fmt: skip


@njit(cache=True, forceinline=True)
def turn_four(
    pr: Any, pi: Any, qr: Any, qi: Any, ur: Any, ui: Any, vr: Any, vi: Any,
    re: Any, im: Any, d: int, ds: int, t: Any, m: Any,
) -> None:  # fmt: skip
    """Two qubits on four rows, stored ds apart."""
    pr, pi, qr, qi = turn(pr, pi, qr, qi, t, m)
    ur, ui, vr, vi = turn(ur, ui, vr, vi, t, m)
    pr, pi, ur, ui = turn(pr, pi, ur, ui, t, m)
    qr, qi, vr, vi = turn(qr, qi, vr, vi, t, m)
    store(re, d, pr)
    store(im, d, pi)
    store(re, d + ds, qr)
    store(im, d + ds, qi)
    store(re, d + 2 * ds, ur)
    store(im, d + 2 * ds, ui)
    store(re, d + 3 * ds, vr)
    store(im, d + 3 * ds, vi)


@njit(cache=True, forceinline=True)
def turn_two(given: Any, s: int, ss: int, made: Any, d: int, ds: int, t: Any, m: Any) -> Any:
    """Two qubits of both states; returns their overlaps before the turns, (a0 + a3)*(s1 + s2) + (a1 + a2)*(s0 + s3)."""
    pr, pi, qr, qi, ur, ui, vr, vi = load_four(given[0], given[1], s, ss)
    ar, ai, br, bi, cr, ci, er, ei = load_four(given[2], given[3], s, ss)
    found = overlap(ar + er, ai + ei, qr + ur, qi + ui, constant(0.0, t))
    found = overlap(br + cr, bi + ci, pr + vr, pi + vi, found)
    turn_four(pr, pi, qr, qi, ur, ui, vr, vi, made[0], made[1], d, ds, t, m)
    turn_four(ar, ai, br, bi, cr, ci, er, ei, made[2], made[3], d, ds, t, m)
    return found


@njit(cache=True)
def stage(
    given: Any,
    s: int,
    ss: int,
    made: Any,
    d: int,
    ds: int,
    width: int,
    rows: int,
    bit: int,
    bits: int,
    t: Any,
) -> float:
    """Turn qubits bit..bit + bits - 1 (one or two) of the row number in both states; returns their overlaps."""
    lanes = BYTES // given[0].itemsize
    tv, mv = splat(t), splat(-t)
    step = 1 << bit
    total = 0.0
    for top in range(0, rows, step << bits):
        found = constant(0.0, tv)
        for row in range(top, top + step):
            for j in range(0, width, 2 * lanes):
                a, b = s + row * ss + j, d + row * ds + j
                if bits == 2:
                    found = found + turn_two(given, a, step * ss, made, b, step * ds, tv, mv)
                else:
                    found = found + turn_one(given, a, step * ss, made, b, step * ds, tv, mv)
        total += lane_sum(found)
    return total


@njit(cache=True)
def within(both: Any, at: int, low: int, high: int, t: Any, weight: float, square: float) -> Any:
    """Undo qubits low..high - 1 of the block of 2^high numbers at `at`; returns (overlaps, weight then)."""
    total, bit = 0.0, low
    while bit < high:
        bits = 2 if high - bit >= 2 else 1
        found = stage(both, at, 2 << low, both, at, 2 << low, 2 << low, 1 << (high - low), bit - low, bits, t)
        total += weight * found
        weight *= square**bits
        bit += bits
    return total, weight


@njit(cache=True, parallel=True)
def high_unwind(
    state: Any, adjoint: Any, low: int, t: Any, square: float, width: int, scratch: Any, parts: Any
) -> None:
    """Qubits low..n - 1 turned by t in both; parts [2^low / width, 1] gets their overlaps. square: cos^2."""
    lanes = BYTES // state.itemsize
    both = (state, state[lanes:], adjoint, adjoint[lanes:])
    rows, apart, wide = state.size >> (low + 1), 2 << low, 2 * width
    high = 0
    while rows >> high > 1:
        high += 1
    for chunk in numba.prange(apart // wide):
        at = chunk * wide
        buffer = scratch[numba.get_thread_id()]
        near = (buffer[0], buffer[0][lanes:], buffer[1], buffer[1][lanes:])
        bit, total, weight = 0, 0.0, 1.0
        while bit < high:
            bits = 2 if high - bit >= 2 else 1
            first, last = bit == 0, bit + bits == high
            if first and last:
                found = stage(both, at, apart, both, at, apart, wide, rows, bit, bits, t)
            elif first:
                found = stage(both, at, apart, near, 0, wide, wide, rows, bit, bits, t)
            elif last:
                found = stage(near, 0, wide, both, at, apart, wide, rows, bit, bits, t)
            else:
                found = stage(near, 0, wide, near, 0, wide, wide, rows, bit, bits, t)
            total += weight * found
            weight *= square**bits
            bit += bits
        parts[chunk] = total


@njit(cache=True, forceinline=True)
def turn_lane(pr: Any, pi: Any, ar: Any, ai: Any, mask: Any, t: Any, m: Any) -> Any:
    """One qubit inside the vectors of both states, and its overlap before."""
    fr, fi, gr, gi = flipped(pr, mask), flipped(pi, mask), flipped(ar, mask), flipped(ai, mask)
    found = overlap(ar, ai, fr, fi, constant(0.0, t))
    return fma(t, fi, pr), fma(m, fr, pi), fma(t, gi, ar), fma(m, gr, ai), found


@njit(cache=True, parallel=True)
def low_unwind(
    state: Any, adjoint: Any, values: Any, gamma: Any, t: Any, square: float, scale: Any, low: int, weight: float,
    last: bool, parts: Any,
) -> None:  # fmt: skip
    """Qubits 0..low - 1 turned by t in both, then both times scale exp(+i gamma values).

    parts [2^n / 2^low, 2]: overlaps of the turns, those of the costs in the values' unit. weight: cos^2 of the qubits
    turned before. last: nothing comes after, the states are not written back.
    """
    lanes = BYTES // state.itemsize
    both = (state, state[lanes:], adjoint, adjoint[lanes:])
    bits = 3 if lanes == 8 else 4
    inner = min(low, INNER)
    for block in numba.prange(values.size >> low):
        first = block << low
        tv, mv, size = splat(t), splat(-t), splat(scale)
        mixed, then = within(both, 2 * first, inner, low, t, weight, square)
        cost = 0.0
        for part in range(first, first + (1 << low), 1 << inner):
            found, left = within(both, 2 * part, bits, inner, t, then, square)
            mixed += found
            zero = constant(0.0, tv)
            one, two, four, eight, phases = zero, zero, zero, zero, zero
            for j in range(part, part + (1 << inner), lanes):
                pr, pi, ar, ai = (
                    load(both[0], 2 * j),
                    load(both[1], 2 * j),
                    load(both[2], 2 * j),
                    load(both[3], 2 * j),
                )
                pr, pi, ar, ai, more = turn_lane(pr, pi, ar, ai, 1, tv, mv)
                one = one + more
                pr, pi, ar, ai, more = turn_lane(pr, pi, ar, ai, 2, tv, mv)
                two = two + more
                pr, pi, ar, ai, more = turn_lane(pr, pi, ar, ai, 4, tv, mv)
                four = four + more
                if bits == 4:
                    pr, pi, ar, ai, more = turn_lane(pr, pi, ar, ai, 8, tv, mv)
                    eight = eight + more
                value = load_as(values, j, tv)
                phases = fma(value, overlap(ar, ai, pr, pi, zero), phases)
                if not last:
                    c, s = turns(value * splat(gamma))
                    c, s = c * size, s * size
                    store(both[0], 2 * j, pr * c - pi * s)
                    store(both[1], 2 * j, fma(pi, c, pr * s))
                    store(both[2], 2 * j, ar * c - ai * s)
                    store(both[3], 2 * j, fma(ai, c, ar * s))
            mixed += left * (
                lane_sum(one)
                + square * (lane_sum(two) + square * (lane_sum(four) + square * lane_sum(eight)))
            )
            cost += left * square**bits * lane_sum(phases)
        parts[block, 0] = mixed
        parts[block, 1] = cost


@njit(cache=True, parallel=True)
def weighed(state: Any, observable: Any, adjoint: Any, blocks: int) -> None:
    """adjoint = observable * state; blocks divides the size."""
    lanes = BYTES // state.itemsize
    size = observable.size // blocks
    for block in numba.prange(blocks):
        for j in range(block * size, block * size + size, lanes):
            r, i = load(state, 2 * j), load(state, 2 * j + lanes)
            value = load_as(observable, j, r)
            store(adjoint, 2 * j, r * value)
            store(adjoint, 2 * j + lanes, i * value)
