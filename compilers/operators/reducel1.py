"""ReduceL1: sums of magnitudes (ONNX ReduceL1-18); normal form in `compilers.reduction`."""

from __future__ import annotations

import numpy as np

from trine.compilers.graph import Array
from trine.compilers.reduction import reduction


def norm(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """The sum of |x| over some axes."""
    return np.asarray(np.abs(x).sum(axis=axes, keepdims=keepdims, dtype=x.dtype))


OPERATOR = reduction("ReduceL1", norm)
