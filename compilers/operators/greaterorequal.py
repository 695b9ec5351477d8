"""GreaterOrEqual with broadcasting (ONNX GreaterOrEqual-16), a bool; normal form in `compilers.elementwise`."""

from __future__ import annotations

import numpy as np

from trine.compilers.elementwise import several

OPERATOR = several("GreaterOrEqual", np.greater_equal, kinds="fiu", to_truth=True)
