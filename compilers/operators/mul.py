"""Mul with broadcasting (ONNX Mul-14); normal form as Add's."""

from __future__ import annotations

import numpy as np

from trine.compilers.operators.add import pair

OPERATOR = pair("Mul", np.multiply)
