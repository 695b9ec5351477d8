"""ReduceSumSquare: sums of squares (ONNX ReduceSumSquare-18); normal form in `compilers.reduction`."""

from __future__ import annotations

import numpy as np

from trine.compilers.graph import Array
from trine.compilers.reduction import reduction


def energy(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """The sum of x^2 over some axes."""
    return np.asarray(np.square(x).sum(axis=axes, keepdims=keepdims, dtype=x.dtype))


OPERATOR = reduction("ReduceSumSquare", energy)
