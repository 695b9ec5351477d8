"""The error function (ONNX Erf-13). Normal form: inputs (x); no attributes."""

from __future__ import annotations

import numpy as np

from trine.compilers.elementwise import unary
from trine.compilers.graph import Array


def erf(x: Array) -> Array:
    """2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x."""
    from scipy import special

    return np.asarray(special.erf(x))


OPERATOR = unary("Erf", erf)
