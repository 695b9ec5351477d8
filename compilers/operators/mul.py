"""Mul with broadcasting (ONNX Mul-14); normal form in `compilers.elementwise`, a constant second."""

from __future__ import annotations

import numpy as np

from trine.compilers.elementwise import several

OPERATOR = several("Mul", np.multiply, commutes=True)
