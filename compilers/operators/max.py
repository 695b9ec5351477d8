"""Max of any number of operands (ONNX Max-13), NaN if one is; normal form in `compilers.elementwise`."""

from __future__ import annotations

from functools import reduce

import numpy as np

from trine.compilers.elementwise import operand_cases, several
from trine.compilers.graph import Array
from trine.compilers.operators import Case


def greatest(*operands: Array) -> Array:
    """The greatest of the operands, element by element."""
    return np.asarray(reduce(np.maximum, operands))


OPERATOR = several(
    "Max", greatest, (*operand_cases(), Case("three", ((4, 9), (4, 1), (4, 9))), Case("one", ((4, 9),)))
)
