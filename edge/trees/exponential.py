"""exp, the logistic function and softmax of fixed-point sums in integers, 30 bits behind the point; good to 1.1e-8."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array

LOG2_E = 1549082005  # 2^30 / ln 2
LN_2 = 1488522236  # 2^31 ln 2
POWERS = np.rint(2.0 ** (31 - np.arange(32) / 32)).astype(np.uint32)  # 2^-(i/32), 31 bits behind the point
ONE = 1 << 30


def decay(distance: Array, bits: int) -> NDArray[np.int64]:
    """exp(-distance * 2^-bits), 30 bits behind the point; distance >= 0, below 2^32.

    2^-(n + i/32 + r): a shift, a table, and the first four terms of the exponential series.
    """
    t = np.asarray(distance, np.uint64) * np.uint64(LOG2_E)
    shift = bits + 4  # 26 bits stay behind the point
    if shift < 0:
        t = np.where(np.asarray(distance) > 0, np.uint64(2**32 - 1), np.uint64(0))
    else:
        t = np.minimum(t >> np.uint64(min(shift, 63)), np.uint64(2**32 - 1))
    index, rest = (t >> np.uint64(21)) & np.uint64(31), t & np.uint64((1 << 21) - 1)
    x = (rest * np.uint64(LN_2)) >> np.uint64(26)  # 31 bits behind the point
    square = (x * x) >> np.uint64(31)
    cube = (square * x) >> np.uint64(31)
    series = np.uint64(2**31) - x + square // np.uint64(2) - cube // np.uint64(6)
    e = ((POWERS[index].astype(np.uint64) * series) >> np.uint64(32)).astype(np.int64)
    return np.asarray(e >> np.minimum(t >> np.uint64(26), np.uint64(63)).astype(np.int64))


def sigmoid(total: Array, bits: int) -> NDArray[np.int64]:
    """1 / (1 + exp(-total * 2^-bits)), 30 bits behind the point."""
    p = (np.int64(ONE) << 30) // (ONE + decay(np.abs(total), bits))
    return np.asarray(np.where(total < 0, ONE - p, p), np.int64)


def shares(total: Array, bits: int, zero: int) -> NDArray[np.int64]:
    """Softmax over the last axis, 30 bits behind the point; sums within `zero` of 0 keep 0 (none where it is -1)."""
    room = max(total.shape[-1] - 1, 0).bit_length()
    e = decay(total.max(axis=-1, keepdims=True) - total, bits) >> room
    e = np.where(np.abs(total) <= zero, 0, e)
    whole = e.sum(axis=-1, keepdims=True)
    return np.asarray(np.where(whole > 0, (e << 30) // np.maximum(whole, 1), 0), np.int64)
