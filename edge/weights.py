"""Weights and biases of a layer as integers, and the bounds of their sums."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array, Stored
from trine.edge.lowbit import SMALLEST_SCALE, scales_of, to_codes
from trine.edge.program import QMAX, QMIN

BIAS_LIMIT = 2.0**29
LARGEST_SUM = 2**31 - 1


def quantize_weight(
    weight: Array, clip: NDArray[np.float32] | None = None, bits: int = 8
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Codes of `bits` bits (see `lowbit`) with a scale a channel, axis 0. clip: real maximum a channel."""
    rows = weight.reshape(weight.shape[0], -1)
    scale = scales_of(rows, bits, clip)
    return to_codes(rows / scale[:, None], bits).reshape(weight.shape), scale


def wide_sum_bound(weight: NDArray[np.int8], bias: NDArray[np.int64]) -> int:
    """Greatest magnitude that a partial sum, in any order, over int16 inputs can have; weight [channels, ...]."""
    rows = np.abs(weight.reshape(weight.shape[0], -1).astype(np.int64)).sum(axis=1)
    return int((np.abs(bias) + 32768 * rows).max(initial=0))


def linear_sum_bounds(
    weight: NDArray[np.int8], bias: NDArray[np.int64], zero_point: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Least and greatest int32 sum of each channel over all int8 inputs; weight [channels, ...], bias int64.

    Raises ValueError where a partial sum, in any order and with the zero point folded into the bias, could
    leave int32.
    """
    rows = weight.reshape(weight.shape[0], -1).astype(np.int64)
    positive, negative = np.where(rows > 0, rows, 0).sum(axis=1), np.where(rows < 0, rows, 0).sum(axis=1)
    top, bottom = QMAX - zero_point, QMIN - zero_point
    low, high = bias + top * negative + bottom * positive, bias + top * positive + bottom * negative
    partial = np.abs(bias - zero_point * rows.sum(axis=1)) + 128 * np.abs(rows).sum(axis=1)
    if partial.max(initial=0) > LARGEST_SUM:
        raise ValueError(f"an int32 sum could reach {partial.max()}; split the layer or scale its bias down")
    return low, high


def stored_linear(
    weight: Stored, bias: Stored | None, real: Array, real_bias: Array | None, source_scale: np.float32
) -> tuple[NDArray[np.int8], NDArray[np.int64], NDArray[np.float32]]:
    """As `quantize_linear`, with the integers that the model itself stores; real: the weight [channels, ...] they mean.

    Raises ValueError where they are not symmetric int8 a channel, or the bias is not in units of the sums.
    """
    turned = weight if np.array_equal(weight.real, real) else weight.transposed()
    low = 128 if turned.integers.dtype == np.uint8 else 0
    zeros = turned.zero_point.astype(np.int64) - low
    if turned.integers.dtype not in (np.int8, np.uint8) or zeros.any() or turned.axis not in (0, None):
        raise ValueError("the model stores a weight that is not symmetric int8 for each output channel")
    q = (turned.integers.astype(np.int64) - low).astype(np.int8)
    scale = np.broadcast_to(turned.scale, (len(q),)).astype(np.float32)
    if real_bias is None:
        return q, np.zeros(len(q), np.int64), scale
    units = (source_scale * scale).astype(np.float32)
    if (
        bias is not None
        and bias.integers.dtype == np.int32
        and np.allclose(bias.scale, units, rtol=1e-6, atol=0)
    ):
        return q, bias.integers.astype(np.int64).reshape(-1), scale
    return (
        q,
        np.rint(real_bias.astype(np.float64) / units.astype(np.float64)).astype(np.int64).reshape(-1),
        scale,
    )


def quantize_linear(
    weight: Array,
    bias: Array | None,
    source_scale: np.float32,
    clip: NDArray[np.float32] | None,
    bits: int = 8,
) -> tuple[NDArray[np.int8], NDArray[np.int64], NDArray[np.float32]]:
    """(weight codes, int32 bias, weight scale) of a layer; weight [channels, ...], bias [channels] or None.

    The bias counts in units of float32(source_scale * weight_scale), as QDQ stores it. Where a channel's
    weights are so small (or all zero) that its bias would leave +-2^29, the channel's weight scale is
    raised until it does not.
    """
    real = np.zeros(weight.shape[0]) if bias is None else bias.astype(np.float64)
    _, scale = quantize_weight(weight, clip, bits)
    dead = ~np.any(weight.reshape(weight.shape[0], -1), axis=1)
    if (
        bits == 2
    ):  # no code is zero: a channel without weights gets the smallest that leave its bias exact enough
        scale = np.where(dead, SMALLEST_SCALE, scale)
    kept = 2.0**27 if bits == 2 else 2.0**20
    least = np.abs(real) / (float(source_scale) * np.where(dead, kept, BIAS_LIMIT))
    scale = np.where(dead & (least > 0), least, np.maximum(scale, least)).astype(np.float32)
    rows = weight.reshape(weight.shape[0], -1) / scale[:, None]
    q = to_codes(rows, bits).reshape(weight.shape)
    return q, np.rint(real / (source_scale * scale).astype(np.float64)).astype(np.int64), scale
