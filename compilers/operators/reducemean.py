"""ReduceMean over axes of one example (ONNX ReduceMean-18); normal form in `compilers.reduction`."""

from __future__ import annotations

import numpy as np

from trine.compilers.graph import Array
from trine.compilers.reduction import reduction


def mean(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """The mean over some axes."""
    return np.asarray(x.mean(axis=axes, keepdims=keepdims))


OPERATOR = reduction("ReduceMean", mean, kinds="f", noop=True)
