"""Mish (ONNX Mish-18): x tanh(softplus(x)). Normal form: inputs (x); no attributes."""

from __future__ import annotations

import numpy as np

from trine.compilers.composition import composed, since
from trine.compilers.elementwise import unary
from trine.compilers.graph import Array, Node
from trine.compilers.operators import Spelled
from trine.compilers.operators.softplus import softplus


def mish(x: Array) -> Array:
    """x tanh(softplus(x)) (Misra 2019, arXiv 1908.08681)."""
    return np.asarray(x * np.tanh(softplus(x)))


@since(18)
def spell(node: Node) -> list[Spelled]:
    return composed(node, ("Softplus", ("x",), {}), ("Tanh", ([0],), {}), ("Mul", ([1], "x"), {}))


OPERATOR = unary("Mish", mish, spell=spell, first_opset=18)
