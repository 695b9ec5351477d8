"""Less with broadcasting (ONNX Less-13), a bool; normal form in `compilers.elementwise`."""

from __future__ import annotations

import numpy as np

from trine.compilers.elementwise import several

OPERATOR = several("Less", np.less, kinds="fiu", to_truth=True)
