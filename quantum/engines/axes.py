"""Phases and complete-graph mixers over a product of small sets, compiled by numba and kept on disk.

The mixer of one set of d choices is exp(-i beta (J - 1)), J all ones: exp(i beta) (1 + f J) with
f = (exp(-i beta d) - 1) / d, so a turn adds f times the sum over the axis. For d = 2 that is the X mixer. The phases
exp(i beta) are left out.

A state is a matrix [rows, columns]: the first axes number its rows, the others its columns. A pass turns the axes of
the rows on some columns at a time, in a buffer, and writes the transpose; a second pass turns the others and
transposes back. So the numbers next to each other never belong to the axis at work. What it buys:
benchmarks/qaoa_engine.py.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from trine.quantum.engines.butterflies import turns
from trine.quantum.engines.unwinding import overlap
from trine.quantum.engines.vectors import BYTES, constant, fma, lane_sum, load, splat, store

njit: Any = numba.njit
TILE = 1 << 11  # pairs that are one piece of work
COLUMNS = 16  # of a buffer in which axes are turned


@njit(cache=True, parallel=True)
def phase(re: Any, im: Any, values: Any, gamma: Any, scale: Any, fresh: bool, blocks: int) -> None:
    """State times scale exp(-i gamma values), gamma in turns; fresh: of a state of ones. blocks divides the size."""
    lanes = BYTES // re.itemsize
    size = values.size // blocks
    for block in numba.prange(blocks):
        factor, rate = splat(scale), splat(gamma)
        for j in range(block * size, block * size + size, lanes):
            c, s = turns(load(values, j) * rate)
            c, s = c * factor, s * factor
            if fresh:
                store(re, j, c)
                store(im, j, constant(0.0, s) - s)
            else:
                r, i = load(re, j), load(im, j)
                store(re, j, fma(r, c, i * s))
                store(im, j, i * c - r * s)


@njit(cache=True, parallel=True)
def cost_overlap(state: Any, adjoint: Any, values: Any, parts: Any) -> None:
    """parts [blocks]: imaginary parts of <adjoint| values |state>, over equal blocks."""
    lanes = BYTES // state.itemsize
    size = values.size // len(parts)
    pr, pi, ar, ai = state[0], state[1], adjoint[0], adjoint[1]
    for block in numba.prange(len(parts)):
        zero = splat(pr.dtype.type(0))
        found = zero
        for j in range(block * size, block * size + size, lanes):
            found = fma(
                load(values, j), overlap(load(ar, j), load(ai, j), load(pr, j), load(pi, j), zero), found
            )
        parts[block] = lane_sum(found)


@njit(cache=True, forceinline=True)
def turn_rows(re: Any, im: Any, sizes: Any, beta: float) -> None:
    """Turn all axes of a buffer [prod(sizes), COLUMNS]: x += f times the sum over the axis."""
    lanes = BYTES // re.itemsize
    apart = COLUMNS
    for k in range(len(sizes) - 1, -1, -1):
        d = sizes[k]
        fr, fi = splat((np.cos(beta * d) - 1) / d), splat(-np.sin(beta * d) / d)
        minus = constant(0.0, fr) - fi
        for top in range(0, re.size, apart * d):
            for j in range(top, top + apart, lanes):
                if d == 3:  # rotamers' usual number: all in registers, half the time
                    a, b, e, u = load(re, j), load(re, j + apart), load(re, j + 2 * apart), load(im, j)
                    v, w = load(im, j + apart), load(im, j + 2 * apart)
                    sr, si = a + b + e, u + v + w
                    tr, ti = fma(fr, sr, minus * si), fma(fr, si, fi * sr)
                    store(re, j, a + tr)
                    store(re, j + apart, b + tr)
                    store(re, j + 2 * apart, e + tr)
                    store(im, j, u + ti)
                    store(im, j + apart, v + ti)
                    store(im, j + 2 * apart, w + ti)
                    continue
                sr, si = load(re, j), load(im, j)
                for c in range(1, d):
                    sr, si = sr + load(re, j + c * apart), si + load(im, j + c * apart)
                tr, ti = fma(fr, sr, minus * si), fma(fr, si, fi * sr)
                for c in range(d):
                    at = j + c * apart
                    store(re, at, load(re, at) + tr)
                    store(im, at, load(im, at) + ti)
        apart *= d


@njit(cache=True, forceinline=True)
def sums_overlap(pr: Any, pi: Any, ar: Any, ai: Any, sizes: Any) -> Any:
    """Imaginary part of <adjoint| sum over axes of J |state> in two buffers [prod(sizes), COLUMNS]."""
    lanes = BYTES // pr.itemsize
    total = constant(0.0, load(pr, 0))
    apart = COLUMNS
    for k in range(len(sizes) - 1, -1, -1):
        d = sizes[k]
        for top in range(0, pr.size, apart * d):
            for j in range(top, top + apart, lanes):
                sr, si, tr, ti = load(pr, j), load(pi, j), load(ar, j), load(ai, j)
                for c in range(1, d):
                    at = j + c * apart
                    sr, si, tr, ti = (
                        sr + load(pr, at),
                        si + load(pi, at),
                        tr + load(ar, at),
                        ti + load(ai, at),
                    )
                total = overlap(tr, ti, sr, si, total)
        apart *= d
    return lane_sum(total)


@njit(cache=True, forceinline=True)
def fetch(source: Any, buffer: Any, at: int, rows: int, columns: int, width: int) -> None:
    """Columns at..at + COLUMNS of [rows, columns] into a buffer; those from `width` on are zero."""
    lanes = BYTES // source.itemsize
    for row in range(rows):
        for j in range(0, COLUMNS, lanes):
            store(buffer, row * COLUMNS + j, load(source, row * columns + at + j))
    if width < COLUMNS:
        for row in range(rows):
            for j in range(width, COLUMNS):
                buffer[row * COLUMNS + j] = 0.0


@njit(cache=True, forceinline=True)
def put_across(buffer: Any, target: Any, at: int, rows: int, width: int) -> None:
    """The buffer's columns become rows at..at + width - 1 of [columns, rows]; 32 at a time, to stay in the cache."""
    for top in range(0, rows, 32):
        end = min(top + 32, rows)
        for row in range(top, end):
            for j in range(width):
                target[(at + j) * rows + row] = buffer[row * COLUMNS + j]


@njit(cache=True, parallel=True)
def turn_across(
    given: Any, made: Any, rows: int, columns: int, sizes: Any, beta: float, scratch: Any
) -> None:
    """Turn the axes of the rows of [rows, columns] and write the transpose. scratch [threads, 4, rows * COLUMNS]."""
    for work in numba.prange(-(-columns // COLUMNS)):
        near = scratch[numba.get_thread_id(), :, : rows * COLUMNS]
        at = work * COLUMNS
        width = min(COLUMNS, columns - at)
        for part in range(2):
            fetch(given[part], near[part], at, rows, columns, width)
        turn_rows(near[0], near[1], sizes, beta)
        for part in range(2):
            put_across(near[part], made[part], at, rows, width)


@njit(cache=True, parallel=True)
def unwind_across(
    given: Any, made: Any, rows: int, columns: int, sizes: Any, beta: float, scratch: Any, parts: Any
) -> None:
    """As turn_across for state and adjoint [4, size] together; parts [columns / COLUMNS]: overlaps of the axes' J."""
    for work in numba.prange(-(-columns // COLUMNS)):
        near = scratch[numba.get_thread_id(), :, : rows * COLUMNS]
        at = work * COLUMNS
        width = min(COLUMNS, columns - at)
        for part in range(4):
            fetch(given[part], near[part], at, rows, columns, width)
        parts[work] = sums_overlap(near[0], near[1], near[2], near[3], sizes)
        turn_rows(near[0], near[1], sizes, beta)
        turn_rows(near[2], near[3], sizes, beta)
        for part in range(4):
            put_across(near[part], made[part], at, rows, width)


@njit(cache=True, parallel=True)
def turn_pairs(re: Any, im: Any, used: int, apart: int, c: float, z: float, x: float) -> None:
    """c - i (z Z + x X) on the pairs `apart` of one qubit."""
    for work in numba.prange(max(1, used // (2 * TILE))):
        each = used // 2 // max(1, used // (2 * TILE))
        for pair in range(work * each, (work + 1) * each):
            j = (pair // apart) * 2 * apart + pair % apart
            k = j + apart
            ar, ai, br, bi = re[j], im[j], re[k], im[k]
            re[j], im[j] = c * ar + z * ai + x * bi, c * ai - z * ar - x * br
            re[k], im[k] = c * br - z * bi + x * ai, c * bi + z * br - x * ar
