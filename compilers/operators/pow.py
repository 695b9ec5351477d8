"""Pow with broadcasting (ONNX Pow-15); the result has the base's type. Normal form in `compilers.elementwise`."""

from __future__ import annotations

import numpy as np

from trine.compilers.elementwise import several
from trine.compilers.graph import Array


def power(base: Array, exponent: Array) -> Array:
    """base^exponent by way of float64; NaN for a negative base and a broken exponent."""
    return np.asarray(np.power(base.astype(np.float64), exponent.astype(np.float64)))


OPERATOR = several("Pow", power, same_types=False, reals={0: (0.2, 2.0), 1: (-2.0, 2.0)}, low=0.5)
