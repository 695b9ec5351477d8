"""LeakyRelu (ONNX LeakyRelu-16). Normal form: inputs (x); attribute alpha, the slope below zero."""

from __future__ import annotations

import numpy as np

from trine.compilers.elementwise import unary
from trine.compilers.graph import Array


def leaky_relu(x: Array, alpha: float) -> Array:
    """x, times alpha below zero."""
    return np.where(x < 0, x.dtype.type(alpha) * x, x)


OPERATOR = unary("LeakyRelu", leaky_relu, {"alpha": 0.01}, others=({"alpha": 0.1},))
