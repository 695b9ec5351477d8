"""Celu (ONNX Celu-12): alpha (exp(x / alpha) - 1) below zero. Normal form: inputs (x); attribute alpha."""

from __future__ import annotations

import numpy as np

from trine.compilers.elementwise import unary
from trine.compilers.graph import Array


def celu(x: Array, alpha: float) -> Array:
    """x, below zero alpha (exp(x / alpha) - 1) (Barron 2017, arXiv 1704.07483)."""
    t = x.dtype.type
    return np.where(x < 0, t(alpha) * np.expm1(np.minimum(x, 0) / t(alpha)), x)


OPERATOR = unary("Celu", celu, {"alpha": 1.0}, others=({"alpha": 2.0},))
