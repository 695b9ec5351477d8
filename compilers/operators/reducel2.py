"""ReduceL2: roots of sums of squares (ONNX ReduceL2-18); normal form in `compilers.reduction`."""

from __future__ import annotations

import numpy as np

from trine.compilers.graph import Array
from trine.compilers.operators.reducesumsquare import energy
from trine.compilers.reduction import reduction


def length(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """The Euclidean norm over some axes."""
    return np.asarray(np.sqrt(energy(x, axes, keepdims)))


OPERATOR = reduction("ReduceL2", length, kinds="f")
