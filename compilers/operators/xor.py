"""Xor of truth values with broadcasting (ONNX Xor-7); normal form in `compilers.elementwise`."""

from __future__ import annotations

import numpy as np

from trine.compilers.elementwise import TRUTHS, several

OPERATOR = several("Xor", np.logical_xor, TRUTHS, kinds="b", forms=())
