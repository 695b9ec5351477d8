"""Min of any number of operands (ONNX Min-13), NaN if one is; normal form in `compilers.elementwise`."""

from __future__ import annotations

from functools import reduce

import numpy as np

from trine.compilers.elementwise import operand_cases, several
from trine.compilers.graph import Array
from trine.compilers.operators import Case


def least(*operands: Array) -> Array:
    """The least of the operands, element by element."""
    return np.asarray(reduce(np.minimum, operands))


OPERATOR = several(
    "Min", least, (*operand_cases(), Case("three", ((4, 9), (4, 1), (4, 9))), Case("one", ((4, 9),)))
)
