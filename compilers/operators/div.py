"""Div with broadcasting (ONNX Div-14), of whole numbers towards zero; normal form in `compilers.elementwise`."""

from __future__ import annotations

import numpy as np

from trine.compilers.elementwise import several
from trine.compilers.graph import Array


def divide(a: Array, b: Array) -> Array:
    """a / b; of integers towards zero, and 0 where b is 0."""
    if np.result_type(a, b).kind == "f":
        return np.asarray(a / b)
    quotient = a // b
    return np.asarray(np.where((a % b != 0) & ((a < 0) != (b < 0)), quotient + 1, quotient))


OPERATOR = several("Div", divide, reals={1: (0.5, np.inf)}, low=0.5)
