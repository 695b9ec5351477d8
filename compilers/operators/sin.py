"""Sin (ONNX Sin-13). Normal form: inputs (x); no attributes."""

from __future__ import annotations

import numpy as np

from trine.compilers.elementwise import unary

OPERATOR = unary("Sin", np.sin)
