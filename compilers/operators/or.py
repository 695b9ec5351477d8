"""Or of truth values with broadcasting (ONNX Or-7); normal form in `compilers.elementwise`."""

from __future__ import annotations

import numpy as np

from trine.compilers.elementwise import TRUTHS, several

OPERATOR = several("Or", np.logical_or, TRUTHS, kinds="b", forms=())
