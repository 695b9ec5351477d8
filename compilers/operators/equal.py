"""Equal with broadcasting (ONNX Equal-19), a bool; normal form in `compilers.elementwise`."""

from __future__ import annotations

import numpy as np

from trine.compilers.elementwise import several

OPERATOR = several("Equal", np.equal, kinds="fiub", to_truth=True)
