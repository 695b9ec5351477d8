"""ReduceProd over axes of one example (ONNX ReduceProd-18); normal form in `compilers.reduction`."""

from __future__ import annotations

import numpy as np

from trine.compilers.graph import Array
from trine.compilers.reduction import reduction


def product(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """The product over some axes."""
    return np.asarray(x.prod(axis=axes, keepdims=keepdims, dtype=x.dtype))


OPERATOR = reduction("ReduceProd", product, noop=True)
