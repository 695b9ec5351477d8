"""HardSwish (ONNX HardSwish-14): x max(0, min(1, x / 6 + 1 / 2)). Normal form: inputs (x); no attributes."""

from __future__ import annotations

from trine.compilers.composition import composed, since
from trine.compilers.elementwise import unary
from trine.compilers.graph import Array, Node
from trine.compilers.operators import Spelled
from trine.compilers.operators.hardsigmoid import hard_sigmoid


def hard_swish(x: Array) -> Array:
    """x max(0, min(1, x / 6 + 1 / 2)) (Howard et al. 2019, arXiv 1905.02244)."""
    return x * hard_sigmoid(x, 1 / 6, 0.5)


@since(14)
def spell(node: Node) -> list[Spelled]:
    return composed(node, ("HardSigmoid", ("x",), {"alpha": 1 / 6, "beta": 0.5}), ("Mul", ([0], "x"), {}))


OPERATOR = unary("HardSwish", hard_swish, spell=spell, first_opset=14)
