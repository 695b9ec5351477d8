"""Greater with broadcasting (ONNX Greater-13), a bool; normal form in `compilers.elementwise`."""

from __future__ import annotations

import numpy as np

from trine.compilers.elementwise import several

OPERATOR = several("Greater", np.greater, kinds="fiu", to_truth=True)
