"""And of truth values with broadcasting (ONNX And-7); normal form in `compilers.elementwise`."""

from __future__ import annotations

import numpy as np

from trine.compilers.elementwise import TRUTHS, several

OPERATOR = several("And", np.logical_and, TRUTHS, kinds="b", forms=())
