"""ReduceLogSumExp (ONNX ReduceLogSumExp-18); normal form in `compilers.reduction`."""

from __future__ import annotations

import numpy as np

from trine.compilers.graph import Array
from trine.compilers.reduction import reduction


def log_sum_exp(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """log of the sum of exp(x) over some axes, the greatest x taken out first so that none overflows."""
    most = x.max(axis=axes, keepdims=True, initial=-np.inf)
    most = np.where(np.isfinite(most), most, 0).astype(x.dtype)
    total = np.log(np.exp(x - most).sum(axis=axes, keepdims=keepdims))
    return np.asarray(total + most.reshape(total.shape))


OPERATOR = reduction("ReduceLogSumExp", log_sum_exp, kinds="f")
