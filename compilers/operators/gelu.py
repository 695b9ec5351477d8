"""Gelu (ONNX Gelu-20): x times the normal distribution function of x, or its approximation by tanh.

Normal form: inputs (x); attribute approximate ("none" or "tanh").
"""

from __future__ import annotations

from collections.abc import Sequence
from math import pi, sqrt

import numpy as np

from trine.compilers.composition import Part, composed, since
from trine.compilers.elementwise import apply, require, same_shape
from trine.compilers.graph import Array, Node
from trine.compilers.operators import Case, Form, Operator, SourceNode, Spelled, Unsupported
from trine.compilers.operators.erf import erf

CUBE = 0.044715  # Hendrycks and Gimpel 2016, arXiv 1606.08415


def gelu(x: Array, approximate: str) -> Array:
    """x / 2 * (1 + erf(x / sqrt 2)), or with tanh(sqrt(2 / pi) * (x + 0.044715 x^3)) in erf's place."""
    t = x.dtype.type
    inner = (
        np.tanh(t(sqrt(2 / pi)) * (x + t(CUBE) * x * x * x)) if approximate == "tanh" else erf(x / t(sqrt(2)))
    )
    return np.asarray(t(0.5) * x * (t(1) + inner))


def read(source: SourceNode) -> Node:
    require(source, "f")
    approximate = str(source.attributes.get("approximate", "none"))
    if approximate not in ("none", "tanh"):
        raise Unsupported(f"approximate {approximate}; none and tanh are known")
    return Node("Gelu", source.name, source.inputs, source.outputs, {"approximate": approximate})


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    return [apply(gelu, arguments[0].dtype, arguments[0], **node.attributes)]


@since(20)
def spell(node: Node) -> list[Spelled]:
    inner: list[Part]
    if node.attributes["approximate"] == "none":
        inner = [("Mul", ("x", sqrt(0.5)), {}), ("Erf", ([0],), {})]
    else:
        inner = [
            ("Mul", ("x", "x"), {}), ("Mul", ([0], "x"), {}), ("Mul", ([1], CUBE), {}), ("Add", ([2], "x"), {}),
            ("Mul", ([3], sqrt(2 / pi)), {}), ("Tanh", ([4],), {}),
        ]  # fmt: skip
    n = len(inner)
    outer: list[Part] = [("Add", ([n - 1], 1.0), {}), ("Mul", ([n], "x"), {}), ("Mul", ([n + 1], 0.5), {})]
    return composed(node, *inner, *outer)


OPERATOR = Operator(
    "Gelu", read, same_shape, run,
    tuple(
        Case(f"{approximate}_{name}", (shape,), {"approximate": approximate})
        for approximate in ("none", "tanh")
        for name, shape in (("vector", (37,)), ("signal", (4, 9)))
    ),
    forms=(
        Form("default", ((4, 9),), opsets=(20, 999)),
        Form("tanh", ((4, 9),), {"approximate": "tanh"}, opsets=(20, 999)),
    ),
    spell=spell,
)  # fmt: skip
