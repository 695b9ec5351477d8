"""Phase and X mixer over a full state in two passes through memory, compiled by numba and kept on disk.

A state is float [2 * 2^n]: one vector's lanes of real parts, then its imaginary parts, then the next vector's. Two
arrays would put 16 rows of a butterfly on one set of the first-level cache, which holds 12; this way it is 8 (the
high qubits of a block turn three times faster).

The mixer exp(-i beta sum X) is the product over qubits of cos(beta) (1 - i tan(beta) X): the cosines go into the
phases as one factor, and what is left costs one multiply-add a number and qubit. `low_pass` multiplies phases and
turns the low qubits block by block; `high_pass` turns the others on columns copied to a buffer (rows a power of two
apart would fall on each other in the cache). Both take three qubits at a time in registers. What it buys:
benchmarks/qaoa_engine.py.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from trine.quantum.engines.vectors import (
    BYTES,
    constant,
    flipped,
    fma,
    lane_sum,
    load,
    load_as,
    nearest_whole,
    splat,
    store,
)  # fmt: skip

njit: Any = numba.njit  # numba has no types of its own: its decorators would make every function untyped
INNER = 12  # bits of a block kept in the first-level cache while its low qubits turn

# Taylor coefficients of sin(x) / x and cos(x) in x^2 up to x^14 and x^16: below 1e-16 on |x| <= pi/4
SIN = tuple(float((-1) ** k / np.prod(np.arange(1.0, 2 * k + 2))) for k in range(8))
COS = tuple(float((-1) ** k / np.prod(np.arange(1.0, 2 * k + 1))) for k in range(9))
QUARTER = float(np.pi / 2)


@njit(cache=True, forceinline=True)
def turns(x: Any) -> Any:
    """cos and sin of x full turns, lane by lane: both of a quarter of the angle, doubled twice."""
    x = x - nearest_whole(x)
    x = x * constant(QUARTER, x)
    y = x * x
    s = constant(SIN[7], x)
    s = fma(s, y, constant(SIN[6], x))
    s = fma(s, y, constant(SIN[5], x))
    s = fma(s, y, constant(SIN[4], x))
    s = fma(s, y, constant(SIN[3], x))
    s = fma(s, y, constant(SIN[2], x))
    s = fma(s, y, constant(SIN[1], x))
    s = fma(s, y, constant(1.0, x))
    s = s * x
    c = constant(COS[8], x)
    c = fma(c, y, constant(COS[7], x))
    c = fma(c, y, constant(COS[6], x))
    c = fma(c, y, constant(COS[5], x))
    c = fma(c, y, constant(COS[4], x))
    c = fma(c, y, constant(COS[3], x))
    c = fma(c, y, constant(COS[2], x))
    c = fma(c, y, constant(COS[1], x))
    c = fma(c, y, constant(1.0, x))
    two, unit = constant(2.0, x), constant(1.0, x)
    s2 = two * s * c
    c2 = unit - two * s * s
    return unit - two * s2 * s2, two * s2 * c2


@njit(cache=True, forceinline=True)
def turn(ar: Any, ai: Any, br: Any, bi: Any, t: Any, m: Any) -> Any:
    """(1 - i t X) on a pair; m = -t."""
    return fma(t, bi, ar), fma(m, br, ai), fma(t, ai, br), fma(m, ar, bi)


@njit(cache=True, forceinline=True)
def turn_one(sr: Any, si: Any, s: int, ss: int, dr: Any, di: Any, d: int, ds: int, t: Any, m: Any) -> None:
    """One qubit: two rows ss apart, written ds apart."""
    ar, ai, br, bi = load(sr, s), load(si, s), load(sr, s + ss), load(si, s + ss)
    ar, ai, br, bi = turn(ar, ai, br, bi, t, m)
    store(dr, d, ar)
    store(di, d, ai)
    store(dr, d + ds, br)
    store(di, d + ds, bi)


@njit(cache=True, forceinline=True)
def turn_three(sr: Any, si: Any, s: int, ss: int, dr: Any, di: Any, d: int, ds: int, t: Any, m: Any) -> None:
    """Three qubits: eight rows ss apart, written ds apart."""
    ar, ai, br, bi = load(sr, s), load(si, s), load(sr, s + ss), load(si, s + ss)
    cr, ci, er, ei = load(sr, s + 2 * ss), load(si, s + 2 * ss), load(sr, s + 3 * ss), load(si, s + 3 * ss)
    fr, fi, gr, gi = load(sr, s + 4 * ss), load(si, s + 4 * ss), load(sr, s + 5 * ss), load(si, s + 5 * ss)
    hr, hi, kr, ki = load(sr, s + 6 * ss), load(si, s + 6 * ss), load(sr, s + 7 * ss), load(si, s + 7 * ss)
    ar, ai, fr, fi = turn(ar, ai, fr, fi, t, m)
    br, bi, gr, gi = turn(br, bi, gr, gi, t, m)
    cr, ci, hr, hi = turn(cr, ci, hr, hi, t, m)
    er, ei, kr, ki = turn(er, ei, kr, ki, t, m)
    ar, ai, cr, ci = turn(ar, ai, cr, ci, t, m)
    br, bi, er, ei = turn(br, bi, er, ei, t, m)
    fr, fi, hr, hi = turn(fr, fi, hr, hi, t, m)
    gr, gi, kr, ki = turn(gr, gi, kr, ki, t, m)
    ar, ai, br, bi = turn(ar, ai, br, bi, t, m)
    cr, ci, er, ei = turn(cr, ci, er, ei, t, m)
    fr, fi, gr, gi = turn(fr, fi, gr, gi, t, m)
    hr, hi, kr, ki = turn(hr, hi, kr, ki, t, m)
    store(dr, d, ar)
    store(di, d, ai)
    store(dr, d + ds, br)
    store(di, d + ds, bi)
    store(dr, d + 2 * ds, cr)
    store(di, d + 2 * ds, ci)
    store(dr, d + 3 * ds, er)
    store(di, d + 3 * ds, ei)
    store(dr, d + 4 * ds, fr)
    store(di, d + 4 * ds, fi)
    store(dr, d + 5 * ds, gr)
    store(di, d + 5 * ds, gi)
    store(dr, d + 6 * ds, hr)
    store(di, d + 6 * ds, hi)
    store(dr, d + 7 * ds, kr)
    store(di, d + 7 * ds, ki)


@njit(cache=True)
def stage(
    sr: Any, si: Any, s: int, ss: int, dr: Any, di: Any, d: int, ds: int,
    width: int, rows: int, bit: int, bits: int, t: Any,
) -> None:  # fmt: skip
    """Turn qubits bit..bit + bits - 1 (one or three) of the row number; rows of `width`, ss and ds apart.

    All in numbers, two an amplitude; si is sr from its first imaginary part on, as di is of dr.
    """
    lanes = BYTES // sr.itemsize
    tv, mv = splat(t), splat(-t)
    step = 1 << bit
    for top in range(0, rows, step << bits):
        for row in range(top, top + step):
            for j in range(0, width, 2 * lanes):
                a, b = s + row * ss + j, d + row * ds + j
                if bits == 3:
                    turn_three(sr, si, a, step * ss, dr, di, b, step * ds, tv, mv)
                else:
                    turn_one(sr, si, a, step * ss, dr, di, b, step * ds, tv, mv)


@njit(cache=True)
def within(re: Any, im: Any, at: int, low: int, high: int, t: Any) -> None:
    """Turn qubits low..high - 1 of the block of 2^high amplitudes from number `at`; low is at least the lanes' bits."""
    bit = low
    while bit < high:
        bits = 3 if high - bit >= 3 else 1
        stage(re, im, at, 2 << low, re, im, at, 2 << low, 2 << low, 1 << (high - low), bit - low, bits, t)
        bit += bits


@njit(cache=True, forceinline=True)
def turn_lanes(r: Any, i: Any, t: Any, m: Any) -> Any:
    """Turn the qubits inside a vector: 3 of eight lanes, 4 of sixteen."""
    r, i = fma(t, flipped(i, 1), r), fma(m, flipped(r, 1), i)
    r, i = fma(t, flipped(i, 2), r), fma(m, flipped(r, 2), i)
    r, i = fma(t, flipped(i, 4), r), fma(m, flipped(r, 4), i)
    return r, i


@njit(cache=True, parallel=True)
def low_pass(state: Any, values: Any, gamma: Any, t: Any, scale: Any, low: int, fresh: bool) -> None:
    """State times scale exp(-i gamma values), then qubits 0..low - 1 turned.

    values [2^n]; gamma in turns. fresh: the state is taken as all ones and not read.
    """
    lanes = BYTES // state.itemsize
    re, im = state, state[lanes:]
    bits = 3 if lanes == 8 else 4
    inner = min(low, INNER)
    for block in numba.prange(values.size >> low):
        first = block << low
        tv, mv, size = splat(t), splat(-t), splat(scale)
        for part in range(first, first + (1 << low), 1 << inner):
            for j in range(part, part + (1 << inner), lanes):
                c, s = turns(load_as(values, j, tv) * splat(gamma))
                c, s = c * size, s * size
                if fresh:
                    r, i = c, constant(0.0, s) - s
                else:
                    r, i = load(re, 2 * j), load(im, 2 * j)
                    r, i = fma(r, c, i * s), i * c - r * s
                r, i = turn_lanes(r, i, tv, mv)
                if bits == 4:
                    r, i = fma(tv, flipped(i, 8), r), fma(mv, flipped(r, 8), i)
                store(re, 2 * j, r)
                store(im, 2 * j, i)
            within(re, im, 2 * part, bits, inner, t)
        within(re, im, 2 * first, inner, low, t)


@njit(cache=True, parallel=True)
def high_pass(state: Any, low: int, t: Any, width: int, scratch: Any) -> None:
    """Qubits low..n - 1 turned, `width` columns at a time. scratch [threads, 2 * 2^(n - low) * width]."""
    lanes = BYTES // state.itemsize
    re, im = state, state[lanes:]
    rows, apart, wide = state.size >> (low + 1), 2 << low, 2 * width
    high = 0
    while rows >> high > 1:
        high += 1
    for chunk in numba.prange(apart // wide):
        at = chunk * wide
        br = scratch[numba.get_thread_id()]
        bi = br[lanes:]
        bit = 0
        while bit < high:
            bits = 3 if high - bit >= 3 else 1
            first, last = bit == 0, bit + bits == high
            if first and last:
                stage(re, im, at, apart, re, im, at, apart, wide, rows, bit, bits, t)
            elif first:
                stage(re, im, at, apart, br, bi, 0, wide, wide, rows, bit, bits, t)
            elif last:
                stage(br, bi, 0, wide, re, im, at, apart, wide, rows, bit, bits, t)
            else:
                stage(br, bi, 0, wide, br, bi, 0, wide, wide, rows, bit, bits, t)
            bit += bits


@njit(cache=True, parallel=True)
def moments(state: Any, values: Any, parts: Any) -> None:
    """parts [blocks, 2]: sums of values |state|^2 and of |state|^2 over equal blocks, in a fixed order."""
    lanes = BYTES // state.itemsize
    re, im = state, state[lanes:]
    size = values.size // len(parts)
    for block in numba.prange(len(parts)):
        zero = splat(re.dtype.type(0))
        energy, norm = zero, zero
        for j in range(block * size, block * size + size, lanes):
            r, i = load(re, 2 * j), load(im, 2 * j)
            weight = fma(r, r, i * i)
            energy = fma(weight, load_as(values, j, zero), energy)
            norm = norm + weight
        parts[block, 0] = lane_sum(energy)
        parts[block, 1] = lane_sum(norm)
