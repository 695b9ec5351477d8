"""ThresholdedRelu (ONNX ThresholdedRelu-10): x above alpha, else 0. Normal form: inputs (x); attribute alpha."""

from __future__ import annotations

import numpy as np

from trine.compilers.elementwise import unary
from trine.compilers.graph import Array


def thresholded_relu(x: Array, alpha: float) -> Array:
    """x where it exceeds alpha, else 0."""
    t = x.dtype.type
    return np.where(x > t(alpha), x, t(0))


OPERATOR = unary("ThresholdedRelu", thresholded_relu, {"alpha": 1.0}, others=({"alpha": 0.25},))
