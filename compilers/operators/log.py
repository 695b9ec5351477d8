"""Natural logarithm (ONNX Log-13); NaN below zero. Normal form: inputs (x); no attributes."""

from __future__ import annotations

import numpy as np

from trine.compilers.elementwise import unary

OPERATOR = unary("Log", np.log, reals={0: (0.2, np.inf)})
