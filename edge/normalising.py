"""Normalisation in integers: exact sums, and the reciprocal of the square root by Newton's rule in fixed point.

For a run of N codes c (less the zero point, real value scale * c), with S and Q the exact sums of c and of its squares:

    d = N c - S                       N times the centred code; S = 0 where nothing is centred
    W = ((N Q - S S) >> k) + E        N N times the variance in units of the code, E = N N epsilon / scale² / 2^k
    h = (d * y) >> s                  d / sqrt(W), with F bits behind the point
    q = (((h * M) >> 32) + A) >> t    gamma, beta, the output's scale and its zero point; saturated

where W = m 2^e with m in [2^30, 2^32) and e even, and y is 1 / sqrt(m) with 46 bits behind the point
(`reciprocal_root`, relative error below 2^-27). Codes are int8, or int16 in runs of
up to 2^14. The answer is the correctly rounded one but next to a tie (measured: within 1e-4 of an output step of int8);
onnxruntime's float32 may differ there by one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array
from trine.compilers.normalisation import Runs, entries
from trine.edge.program import QuantizedTensor

Int64 = NDArray[np.int64]
LONGEST = {"int8": 2**20, "int16": 2**14}  # values of a run: d * y stays inside 64 bits, d of int16 inside 32
REACH = {"int8": 255, "int16": 32768}  # of a code less its zero point
WIDEST = 2**62
MAX_SHIFT = 22
NEWTON_STEPS = 4
START, SLOPE = (
    2319282339,
    322122547,
)  # 1.08 and 0.15 with 31 bits behind the point: 1.08 - 0.15 v is 1 / sqrt(v) to 12 %


@dataclass(frozen=True)
class Rule:
    """The numbers of the rule above that are known when compiling. multiplier, addend, shift: one a channel."""

    narrowing: int
    fraction: int
    epsilon: int
    multiplier: NDArray[np.int32]
    addend: NDArray[np.int32]
    shift: NDArray[np.int32]


def rule_of(runs: Runs, gamma: Array, beta: Array | None, x: QuantizedTensor, y: QuantizedTensor) -> Rule:
    """The rule of one layer. Raises ValueError where its numbers leave their integers."""
    if runs.length > LONGEST[x.dtype]:
        raise ValueError(
            f"normalises over {runs.length} values; "
            f"at most {LONGEST[x.dtype]} of {x.dtype} keep its sums inside 64 bits"
        )
    epsilon = runs.length**2 * runs.epsilon / float(x.scale) ** 2
    narrowing = 0
    while (runs.length**2 * REACH[x.dtype] ** 2 + epsilon) / 2.0**narrowing >= WIDEST:
        narrowing += 2
    fraction = 30 - int(np.ceil(np.log2(runs.length) / 2))
    scale = gamma.reshape(-1).astype(np.float64) / float(y.scale)
    offset = np.zeros_like(scale) if beta is None else beta.reshape(-1).astype(np.float64) / float(y.scale)
    room = np.minimum(
        fraction - 1 - np.log2(np.maximum(np.abs(scale), 2.0**-40)),
        29 - np.log2(np.abs(offset) + REACH[y.dtype] + 2),
    )
    shift = np.minimum(np.floor(room - 1e-6), MAX_SHIFT).astype(np.int64)
    if shift.min() < 1:
        raise ValueError(f"gamma {np.abs(gamma).max()} or beta dwarf the output's scale {y.scale}")
    multiplier = np.rint(scale * 2.0 ** (32 + shift - fraction)).astype(np.int64)
    addend = (
        np.rint(offset * 2.0**shift).astype(np.int64) + (y.zero_point << shift) + (np.int64(1) << (shift - 1))
    )
    parts = (multiplier.astype(np.int32), addend.astype(np.int32), shift.astype(np.int32))
    return Rule(narrowing, fraction, round(epsilon / 2.0**narrowing), *parts)


def reciprocal_root(m: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """2^46 / sqrt(m) for m in [2^30, 2^32), to a relative error below 2^-27."""
    y = np.uint64(START) - ((m * np.uint64(SLOPE)) >> np.uint64(30))
    for _ in range(NEWTON_STEPS):
        product = (m * ((y * y) >> np.uint64(31))) >> np.uint64(30)
        y = (y * (np.uint64(3 << 31) - product)) >> np.uint64(32)
    return np.asarray(y, np.uint64)


def mantissa(w: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], Int64]:
    """(m in [2^30, 2^32), even e) with w = m 2^e, bits below m's last cut off; w > 0."""
    m, e = w.copy(), np.zeros(w.shape, np.int64)
    while (large := m >> np.uint64(32) != 0).any():
        m, e = np.where(large, m >> np.uint64(2), m), e + 2 * large
    while (small := m < np.uint64(2**30)).any():
        m, e = np.where(small, m << np.uint64(2), m), e - 2 * small
    return m, e


def normalise(codes: Array, zero_point: int, runs: Runs, rule: Rule, low: int, high: int) -> Array:
    """The definition: codes [n, *shape] -> codes of the same shape and type."""
    c = codes.reshape(len(codes), runs.count, runs.length).astype(np.int64) - zero_point
    sums = c.sum(axis=2, keepdims=True) * runs.centred
    squares = (c * c).sum(axis=2, keepdims=True)
    w = ((runs.length * squares - sums * sums) >> rule.narrowing) + rule.epsilon
    m, e = mantissa(np.maximum(w, 1).astype(np.uint64))
    y = reciprocal_root(m).astype(np.int64)
    shift = np.minimum(46 + e // 2 + rule.narrowing // 2 - rule.fraction, 62)
    h = ((runs.length * c - sums) * y) >> shift
    multiplier, addend, place = (
        entries(values, runs).astype(np.int64) for values in (rule.multiplier, rule.addend, rule.shift)
    )
    q = (((h * multiplier) >> 32) + addend) >> place
    return np.asarray(np.clip(q, low, high).reshape(codes.shape), codes.dtype)
