"""Add with broadcasting (ONNX Add-14); normal form in `compilers.elementwise`, a constant second."""

from __future__ import annotations

import numpy as np

from trine.compilers.elementwise import several

OPERATOR = several("Add", np.add, commutes=True)
