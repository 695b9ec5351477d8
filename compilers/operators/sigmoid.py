"""Sigmoid (ONNX Sigmoid-13). Normal form: inputs (x); no attributes."""

from __future__ import annotations

import numpy as np

from trine.compilers.elementwise import unary
from trine.compilers.graph import Array


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), by the exponential that cannot overflow."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


OPERATOR = unary("Sigmoid", sigmoid)
