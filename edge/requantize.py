"""From an int32 sum to int8: the float32 rule, the integer-only rule, and the decision whether they are
equal.

The float rule is what onnxruntime's integer kernels compute (measured there over 8.3 M outputs, 0 different):
q = saturate(round_half_even(float32(sum) * ratio) + zero_point), ratio = float32(sx * sw) / sy.
The integer rule is one 32x32 -> high 32 multiply, one addition and one shift:
q = saturate((((sum << left) * multiplier >> 32) + addend) >> shift).
Both are monotone steps in the sum with at most 255 thresholds, so they are equal on a whole range of sums
if and only if their thresholds are; `equal_on_range` finds the thresholds of both by bisection.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]
Array = NDArray[Any]
Rule = Callable[[Int64], Int64]
WIDE_RULES = ("int16", "int16_tflite")
MAX_SHIFT = 22  # high word + (zero_point << shift) + half stays inside int32
MAX_SHIFT_INT16 = 30  # likewise, where the zero point is 0
MAX_NUDGE = 4096  # float32 steps tried; 1e-4 relative, a hundredth of an int8 step at most


@dataclass(frozen=True)
class Requantizer:
    """How int32 sums of each output channel become int8.

    ratio: float32 [channels], the real ratio of the float rule. multiplier: int32 [channels]; shift: int
    [channels]; left: bits the sum is shifted up first (0 but for very large ratios). low, high: saturation
    bounds.
    rule: "exact" (float rule, and the integer rule proved equal to it) or "tflite" (gemmlowp's double
    rounding:
    there shift is the right shift after the doubling high multiply, negative = left). Of int16 outputs: "int16" (the
    integer rule is the definition; left negative: sums of 64 bits, shifted right first) or "int16_tflite" (one product
    of 64 bits with a multiplier of 15, one shift that rounds).
    by_float: bool [channels], the channels of stated scales for which no integer rule is equal: C uses the float rule.
    """

    ratio: NDArray[np.float32]
    multiplier: NDArray[np.int32]
    shift: NDArray[np.int32]
    left: int
    zero_point: int
    low: int
    high: int
    rule: str = "exact"
    by_float: NDArray[np.bool_] | None = None

    @property
    def addend(self) -> NDArray[np.int32]:
        """Half of the last place, and the zero point, at the height of the high word."""
        return (np.int64(1) << (self.shift.astype(np.int64) - 1)).astype(np.int32) + np.int32(
            self.zero_point
        ) * (np.int32(1) << self.shift)

    def part(self, entries: NDArray[np.int64] | NDArray[np.bool_]) -> Requantizer:
        """The requantiser of some channels, or of one entry a position."""
        return replace(
            self, ratio=self.ratio[entries], multiplier=self.multiplier[entries], shift=self.shift[entries],
            by_float=None if self.by_float is None else self.by_float[entries],
        )  # fmt: skip

    def in_float(self, channels: NDArray[np.bool_]) -> Requantizer:
        """The same with some channels rounded in float32."""
        return replace(self, by_float=channels) if channels.any() else self

    def apply(self, sums: NDArray[np.int64] | NDArray[np.int32], axis: int = 1) -> NDArray[Any]:
        """The definition: sums [..., channels on `axis`, ...] -> int8 (int16) of the same shape."""
        if self.rule in WIDE_RULES:
            return self.apply_wide(sums, axis)
        if self.rule == "tflite":
            q = tflite_rule(sums, _along(self.multiplier, sums, axis), _along(self.shift, sums, axis))
            return np.clip(q + self.zero_point, self.low, self.high).astype(np.int8)
        real = float_rule(sums, _along(self.ratio, sums, axis))
        return np.clip(real + self.zero_point, self.low, self.high).astype(np.int8)

    def apply_wide(self, sums: NDArray[np.int64] | NDArray[np.int32], axis: int) -> NDArray[np.int16]:
        """The definition of int16 outputs, in integers."""
        multiplier, shift = (
            _along(values, sums, axis).astype(np.int64) for values in (self.multiplier, self.shift)
        )
        half, whole = np.int64(1) << (shift - 1), sums.astype(np.int64)
        if self.rule == "int16_tflite":
            q = (whole * multiplier + half) >> shift
        else:
            whole = whole << self.left if self.left >= 0 else whole >> -self.left
            q = ((whole * multiplier >> 32) + half) >> shift
        return np.asarray(np.clip(q, self.low, self.high), np.int16)

    def apply_integer(self, sums: NDArray[np.int64], axis: int = 1) -> NDArray[Any]:
        """The integer-only rule, as the C computes it."""
        if self.rule != "exact":
            return self.apply(sums, axis)
        multiplier, addend, shift = (
            _along(values, sums, axis).astype(np.int64)
            for values in (self.multiplier, self.addend, self.shift)
        )
        q = (((sums.astype(np.int64) << self.left) * multiplier >> 32) + addend) >> shift
        whole = np.asarray(np.clip(q, self.low, self.high), np.int8)
        if self.by_float is None:
            return whole
        return np.where(_along(self.by_float, sums, axis), self.apply(sums, axis), whole)


def _along(values: Array, sums: Array, axis: int) -> Array:
    """A per-channel vector shaped to broadcast on one axis of the sums; one value serves all channels."""
    shape = [1] * sums.ndim
    shape[axis] = values.size
    return values.reshape(shape)


def float_rule(sums: Array, ratio: Array) -> NDArray[np.float32]:
    """round_half_even(float32(sum) * ratio), every operation in float32."""
    return np.asarray(np.rint(sums.astype(np.float32) * ratio), np.float32)


def tflite_rule(sums: Array, multiplier: Array, shift: Array) -> Int64:
    """TensorFlow Lite's MultiplyByQuantizedMultiplier: doubling high multiply, then rounding divide by
    2^shift.

    (gemmlowp SaturatingRoundingDoublingHighMul and RoundingDivideByPOT; Jacob et al. 2018, arXiv 1712.05877.)
    """
    right = shift.astype(np.int64)
    x = sums.astype(np.int64) << np.maximum(-right, 0)
    product = x * multiplier.astype(np.int64)
    nudge = np.where(product >= 0, 1 << 30, 1 - (1 << 30))
    quotient = product + nudge
    high = np.where(quotient >= 0, quotient >> 31, -((-quotient) >> 31))  # C division truncates
    right = np.maximum(right, 0)
    mask = (np.int64(1) << right) - 1
    threshold = (mask >> 1) + (high < 0)
    return np.asarray((high >> right) + ((high & mask) > threshold), np.int64)


def split_ratio(
    ratio: NDArray[np.float32], largest_sum: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], int]:
    """(multiplier, shift, left) of the integer rule for ratios of channels whose sums stay within
    +-largest_sum.

    Raises ValueError if the ratio is too large for the sums (a defect of the quantiser: such an output
    saturates).
    """
    left = max(int(np.ceil(np.log2(max(float(ratio.max()), 2.0**-60) / 0.24999))), 0)
    if largest_sum << left >= 2**31:
        raise ValueError(f"ratio {ratio.max()} with sums up to {largest_sum} leaves int32")
    scaled = ratio.astype(np.float64) / 2.0**left
    shift = np.clip(np.floor(-np.log2(scaled) - 1.0), 1, MAX_SHIFT).astype(np.int64)
    multiplier = np.rint(scaled * 2.0 ** (32 + shift)).astype(np.int64)
    over = multiplier >= 2**31
    shift = shift - over
    multiplier = np.where(over, np.rint(scaled * 2.0 ** (32 + shift)).astype(np.int64), multiplier)
    return multiplier.astype(np.int32), shift.astype(np.int32), left


def split_ratio_tflite(ratio: NDArray[np.float64]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """TensorFlow Lite's QuantizeMultiplier: (31-bit multiplier, right shift, negative = left)."""
    mantissa, exponent = np.frexp(ratio)
    multiplier = np.rint(mantissa * 2.0**31).astype(np.int64)
    carry = multiplier == 2**31
    multiplier = np.where(carry, multiplier // 2, multiplier)
    return multiplier.astype(np.int32), -(exponent + carry).astype(np.int32)


def reduced_multiplier(multiplier: NDArray[np.int32]) -> NDArray[np.int32]:
    """TensorFlow Lite's multiplier of 15 bits for sums of 64 (MultiplyByQuantizedMultiplier of int64)."""
    rounded = (multiplier.astype(np.int64) + (1 << 15)) >> 16
    return np.asarray(np.minimum(rounded, 0x7FFF), np.int32)


def thresholds(rule: Rule, low: Int64, high: Int64, levels: Int64, guess: Int64) -> Int64:
    """For a monotone rule on sums [channels, levels]: the least sum in [low, high] that reaches each level.

    low, high: [channels, 1]; levels: [1, levels]; guess: [channels, levels], where to look first. high + 1 where
    no sum reaches it. Bisection, from a narrow bracket around the guess where the rule confirms that it holds.
    """
    width = 4 + (np.abs(guess) >> 20)
    below, reached = np.clip(guess - width, low - 1, high), np.clip(guess + width, low, high + 1)
    holds = ((below < low) | (rule(below) < levels)) & ((reached > high) | (rule(reached) >= levels))
    below, reached = np.where(holds, below, low - 1), np.where(holds, reached, high + 1)
    while (open_ := reached - below > 1).any():
        middle = (below + reached) >> 1
        hit = rule(middle) >= levels
        reached, below = np.where(open_ & hit, middle, reached), np.where(open_ & ~hit, middle, below)
    return reached


def equal_on_range(r: Requantizer, low: Int64, high: Int64) -> NDArray[np.bool_]:
    """Whether float and integer rule agree for every sum in [low, high], decided for each channel.

    low, high: int64 [channels], the proven bounds of the sums. Both rules are monotone, so they agree everywhere
    if the integer rule steps up exactly where the float rule does.
    """
    levels = np.arange(r.low + 1, r.high + 1, dtype=np.int64)[None, :]
    least, greatest = low[:, None], high[:, None]
    guess = np.rint((levels - 0.5 - r.zero_point) / r.ratio.astype(np.float64)[:, None])
    guess = np.clip(guess, least - 1, greatest + 1).astype(np.int64)

    def by_float(sums: Int64) -> Int64:
        return r.apply(sums, axis=0).astype(np.int64)

    step = thresholds(by_float, least, greatest, levels, guess)
    at, before = np.minimum(step, greatest), np.maximum(step - 1, least)
    rises = (step > greatest) | (r.apply_integer(at, axis=0) >= levels)
    not_earlier = (step - 1 < least) | (r.apply_integer(before, axis=0) < levels)
    return np.asarray((rises & not_earlier).all(axis=1))


@dataclass(frozen=True)
class Certificate:
    """What the decision found for one layer: channels proved equal, how many of them needed a nudged
    scale, how many are rounded in float32 because their scale is stated."""

    channels: int
    nudged: int
    low: int
    high: int
    by_float: int = 0


def make_requantizer(
    ratio: NDArray[np.float32], low: Int64, high: Int64, zero_point: int, bounds: tuple[int, int]
) -> Requantizer:
    """The requantiser of given ratios; low, high: bounds of the sums of each channel."""
    largest = int(max(np.abs(low).max(), np.abs(high).max()))
    multiplier, shift, left = split_ratio(ratio, largest)
    return Requantizer(ratio, multiplier, shift, left, zero_point, *bounds)


def as_stated(
    ratio: NDArray[np.float32], low: Int64, high: Int64, zero_point: int, bounds: tuple[int, int]
) -> tuple[Requantizer, Certificate]:
    """The requantiser of scales that may not move: the float rule where no integer rule equals it."""
    made = make_requantizer(ratio, low, high, zero_point, bounds)
    unequal = ~equal_on_range(made, low, high)
    return made.in_float(unequal), Certificate(
        ratio.size, 0, int(low.min()), int(high.max()), int(unequal.sum())
    )


def certify(
    input_scale: np.float32,
    weight_scale: NDArray[np.float32],
    output_scale: np.float32,
    low: Int64,
    high: Int64,
    zero_point: int,
    bounds: tuple[int, int],
) -> tuple[Requantizer, NDArray[np.float32], Certificate]:
    """Nudge each channel's weight scale, by steps of float32, until the integer rule equals the float rule.

    weight_scale: float32 [channels]. low, high: int64 [channels], bounds of the sums. Returns the
    requantiser, the weight scales to use, and the certificate. Raises ValueError if a channel cannot be
    settled within MAX_NUDGE steps.
    """
    scale = weight_scale.copy()
    open_ = np.ones(scale.shape, bool)
    nudged = np.zeros(scale.shape, bool)
    for step in range(MAX_NUDGE):
        ratio = ((input_scale * scale) / output_scale).astype(np.float32)
        requantizer = make_requantizer(ratio, low, high, zero_point, bounds)
        where = np.flatnonzero(open_)
        open_[where] = ~equal_on_range(requantizer.part(where), low[where], high[where])
        if not open_.any():
            return (
                requantizer,
                scale,
                Certificate(scale.size, int(nudged.sum()), int(low.min()), int(high.max())),
            )
        nudged |= open_
        # Up and down in turn, further out each time: the nearest scale that can be proved is kept.
        offset = (step // 2 + 1) * (1 if step % 2 == 0 else -1)
        nearby = _float_steps(weight_scale[open_], offset)
        scale[open_] = nearby
    raise ValueError(
        f"{int(open_.sum())} channels: no scale within {MAX_NUDGE} float32 steps is exact in integers"
    )


def _float_steps(x: NDArray[np.float32], steps: int) -> NDArray[np.float32]:
    """Positive float32 numbers moved by whole steps of their last place."""
    return (x.view(np.int32) + np.int32(steps)).view(np.float32)
