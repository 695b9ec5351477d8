"""Round to whole numbers, half to even (ONNX Round-11). Normal form: inputs (x); no attributes."""

from __future__ import annotations

import numpy as np

from trine.compilers.elementwise import unary

OPERATOR = unary("Round", np.rint)
