"""HardSigmoid (ONNX HardSigmoid-6): max(0, min(1, alpha x + beta)). Normal form: inputs (x); alpha, beta."""

from __future__ import annotations

import numpy as np

from trine.compilers.elementwise import unary
from trine.compilers.graph import Array


def hard_sigmoid(x: Array, alpha: float, beta: float) -> Array:
    """max(0, min(1, alpha x + beta))."""
    t = x.dtype.type
    return np.asarray(np.clip(t(alpha) * x + t(beta), t(0), t(1)))


OPERATOR = unary(
    "HardSigmoid", hard_sigmoid, {"alpha": 0.2, "beta": 0.5}, others=({"alpha": 0.5, "beta": 0.6},)
)
