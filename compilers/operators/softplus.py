"""Softplus (ONNX Softplus-1): log(1 + exp(x)). Normal form: inputs (x); no attributes."""

from __future__ import annotations

import numpy as np

from trine.compilers.elementwise import unary
from trine.compilers.graph import Array


def softplus(x: Array) -> Array:
    """log(1 + exp(x)), without overflow."""
    return np.asarray(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))))


OPERATOR = unary("Softplus", softplus)
