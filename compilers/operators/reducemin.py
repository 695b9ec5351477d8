"""ReduceMin over axes of one example (ONNX ReduceMin-20); normal form in `compilers.reduction`."""

from __future__ import annotations

import numpy as np

from trine.compilers.graph import Array
from trine.compilers.operators.reducemax import ends
from trine.compilers.reduction import reduction


def least(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """The least value over some axes."""
    return np.asarray(x.min(axis=axes, keepdims=keepdims, initial=ends(x.dtype)[1]))


OPERATOR = reduction("ReduceMin", least, kinds="fiub", noop=True)
