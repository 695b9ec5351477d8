"""Products of many values in integers: a number is m 2^e with |m| up to 2^30, renormalised after each factor.

A product of n factors is off by at most n 2^-30 of itself, so its int8 rounding is one step from the real product's at
most. What leaves the range in between only moves e; float32 becomes infinite or 0 there.
"""

from __future__ import annotations

from math import frexp

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]
BITS = 30


def fixed(value: float, power: int = 1) -> tuple[int, int]:
    """(m, e) of value^power, m of BITS bits."""
    m, e = 0.5, 1
    for _ in range(power):
        m, more = frexp(m * value)
        e += more
    return round(m * 2.0**BITS), e - BITS


def times(m: Int64, e: Int64, factor: Int64 | int, exponent: int = 0) -> tuple[Int64, Int64]:
    """m 2^e times factor 2^exponent, |factor| up to 2^30."""
    product = m * factor
    size, shift = np.abs(product), np.zeros(np.shape(product), np.int64)
    while (large := (size >> shift) > 1 << BITS).any():
        shift = shift + large
    return (product + ((np.int64(1) << shift) >> 1)) >> shift, e + exponent + shift


def rounded(m: Int64, e: Int64) -> Int64:
    """The nearest whole number, halves up, saturated to 2^30 where it is larger."""
    down = np.clip(-e, 0, 62)
    near = (m + ((np.int64(1) << down) >> 1)) >> down
    return np.where(e > 0, np.sign(m) << BITS, near)
