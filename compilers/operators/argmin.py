"""ArgMin along one axis of one example (ONNX ArgMin-13); normal form as ArgMax's."""

from __future__ import annotations

import numpy as np

from trine.compilers.operators.argmax import argument

OPERATOR = argument("ArgMin", np.argmin)
