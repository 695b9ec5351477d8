"""Reciprocal (ONNX Reciprocal-13). Normal form: inputs (x); no attributes."""

from __future__ import annotations

import numpy as np

from trine.compilers.elementwise import unary
from trine.compilers.graph import Array


def reciprocal(x: Array) -> Array:
    """1 / x."""
    return np.asarray(x.dtype.type(1) / x)


OPERATOR = unary("Reciprocal", reciprocal, reals={0: (0.5, np.inf)})
