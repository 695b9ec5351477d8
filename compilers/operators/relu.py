"""Relu (ONNX Relu-14). Normal form: inputs (x); no attributes."""

from __future__ import annotations

import numpy as np

from trine.compilers.elementwise import unary
from trine.compilers.graph import Array


def relu(x: Array) -> Array:
    """max(x, 0)."""
    return np.asarray(np.maximum(x, x.dtype.type(0)))


OPERATOR = unary("Relu", relu, kinds="fi")
