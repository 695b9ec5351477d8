"""ReduceSum over axes of one example (ONNX ReduceSum-13); normal form in `compilers.reduction`."""

from __future__ import annotations

import numpy as np

from trine.compilers.graph import Array
from trine.compilers.reduction import reduction


def total(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """The sum over some axes."""
    return np.asarray(x.sum(axis=axes, keepdims=keepdims, dtype=x.dtype))


OPERATOR = reduction("ReduceSum", total, first=13, noop=True)
