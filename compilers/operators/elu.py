"""Elu (ONNX Elu-6): alpha (exp(x) - 1) below zero. Normal form: inputs (x); attribute alpha."""

from __future__ import annotations

import numpy as np

from trine.compilers.elementwise import unary
from trine.compilers.graph import Array


def elu(x: Array, alpha: float) -> Array:
    """x, below zero alpha (exp(x) - 1) (Clevert et al. 2016, arXiv 1511.07289)."""
    return np.where(x < 0, x.dtype.type(alpha) * np.expm1(np.minimum(x, 0)), x)


OPERATOR = unary("Elu", elu, {"alpha": 1.0}, others=({"alpha": 2.0},))
