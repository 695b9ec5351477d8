"""Sub with broadcasting (ONNX Sub-14); normal form in `compilers.elementwise`."""

from __future__ import annotations

import numpy as np

from trine.compilers.elementwise import several

OPERATOR = several("Sub", np.subtract)
