"""Swish (ONNX Swish-24): x sigmoid(alpha x). Normal form: inputs (x); attribute alpha."""

from __future__ import annotations

from dataclasses import replace

from trine.compilers.composition import Part, composed
from trine.compilers.elementwise import unary
from trine.compilers.graph import Array, Node
from trine.compilers.operators import Spelled
from trine.compilers.operators.sigmoid import sigmoid


def swish(x: Array, alpha: float) -> Array:
    """x sigmoid(alpha x) (Ramachandran et al. 2017, arXiv 1710.05941)."""
    return x * sigmoid(x.dtype.type(alpha) * x)


def spell(node: Node, opset: int) -> list[Spelled]:
    """As Mul and Sigmoid in every opset: onnxruntime 1.31 has no Swish."""
    scaled: Part = ("Mul", ("x", node.attributes["alpha"]), {})
    return composed(node, scaled, ("Sigmoid", ([0],), {}), ("Mul", ([1], "x"), {}))


OPERATOR = replace(unary("Swish", swish, {"alpha": 1.0}, others=({"alpha": 1.5},), spell=spell), forms=())
