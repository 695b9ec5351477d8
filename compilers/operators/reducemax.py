"""ReduceMax over axes of one example (ONNX ReduceMax-20); normal form in `compilers.reduction`."""

from __future__ import annotations

from typing import Any

import numpy as np

from trine.compilers.graph import Array
from trine.compilers.reduction import reduction


def ends(dtype: Any) -> tuple[Any, Any]:
    """The least and the greatest value of a type: the answers over no values at all."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return -np.inf, np.inf
    return (False, True) if kind.kind == "b" else (np.iinfo(kind).min, np.iinfo(kind).max)


def greatest(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """The greatest value over some axes."""
    return np.asarray(x.max(axis=axes, keepdims=keepdims, initial=ends(x.dtype)[0]))


OPERATOR = reduction("ReduceMax", greatest, kinds="fiub", noop=True)
