"""How many shots a stated precision takes."""

from __future__ import annotations

import math

from trine.devices.errors import InputError


def for_precision(deviation: float, precision: float) -> int:
    """Shots for a standard error of `precision` of a mean whose samples deviate by `deviation` (same unit)."""
    if not precision > 0 or not math.isfinite(precision):
        raise InputError(f"precision is {precision:g}: give a positive number in the cost's unit")
    return max(1, math.ceil((deviation / precision) ** 2))


def to_see(probability: float, confidence: float = 0.99) -> int | None:
    """Shots until a string of that probability has been seen at least once; None where it never will."""
    if probability <= 0:
        return None
    if probability >= 1:
        return 1
    return max(1, math.ceil(math.log1p(-confidence) / math.log1p(-probability)))
