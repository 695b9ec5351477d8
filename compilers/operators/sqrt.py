"""Sqrt (ONNX Sqrt-13); NaN below zero. Normal form: inputs (x); no attributes."""

from __future__ import annotations

import numpy as np

from trine.compilers.elementwise import unary

OPERATOR = unary("Sqrt", np.sqrt, reals={0: (0.0, np.inf)})
