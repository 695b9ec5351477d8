"""Not of truth values (ONNX Not-1). Normal form: inputs (x); no attributes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from trine.compilers.elementwise import unary

BY_VALUE = unary("Not", np.logical_not, kinds="b")

OPERATOR = replace(
    BY_VALUE, cases=tuple(replace(case, dtypes=("bool",)) for case in BY_VALUE.cases), forms=()
)
