"""IsNaN (ONNX IsNaN-13). Normal form: inputs (x); no attributes; a bool."""

from __future__ import annotations

import numpy as np

from trine.compilers.elementwise import unary

OPERATOR = unary("IsNaN", np.isnan, to_truth=True)
