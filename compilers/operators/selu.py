"""Selu (ONNX Selu-6): gamma times Elu. Normal form: inputs (x); attributes alpha and gamma."""

from __future__ import annotations

import numpy as np

from trine.compilers.elementwise import unary
from trine.compilers.graph import Array
from trine.compilers.operators.elu import elu


def selu(x: Array, alpha: float, gamma: float) -> Array:
    """gamma times x, below zero gamma alpha (exp(x) - 1) (Klambauer et al. 2017, arXiv 1706.02515)."""
    return np.asarray(x.dtype.type(gamma) * elu(x, alpha))


DEFAULTS = {"alpha": 1.6732632423543772, "gamma": 1.0507009873554805}  # of the ONNX specification

OPERATOR = unary("Selu", selu, DEFAULTS, others=({"alpha": 2.0, "gamma": 3.0},))
