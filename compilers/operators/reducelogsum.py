"""ReduceLogSum: logarithms of sums (ONNX ReduceLogSum-18); normal form in `compilers.reduction`."""

from __future__ import annotations

import numpy as np

from trine.compilers.graph import Array
from trine.compilers.reduction import reduction


def log_sum(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """log of the sum over some axes; NaN where that is negative."""
    return np.asarray(np.log(x.sum(axis=axes, keepdims=keepdims)))


OPERATOR = reduction("ReduceLogSum", log_sum, kinds="f", reals={0: (0.2, np.inf)})
