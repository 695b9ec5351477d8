"""IsInf (ONNX IsInf-10). Normal form: inputs (x); attributes detect_negative and detect_positive; a bool."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.elementwise import require, same_shape, to_bool
from trine.compilers.graph import Array, Node
from trine.compilers.operators import Case, Form, Operator, SourceNode

SIGNS = ("detect_negative", "detect_positive")


def read(source: SourceNode) -> Node:
    require(source, "f")
    attributes = {name: source.integer(name, 1) for name in SIGNS}
    return Node("IsInf", source.name, source.inputs, source.outputs, attributes)


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    x, (negative, positive) = arguments[0], (bool(node.attributes[name]) for name in SIGNS)
    return [np.isinf(x) & np.where(x < 0, negative, positive)]


_BOTH = {"detect_negative": 1, "detect_positive": 1}

OPERATOR = Operator(
    "IsInf", read, same_shape, run,
    (Case("signal", ((4, 9),), _BOTH), Case("positive", ((4, 9),), {**_BOTH, "detect_negative": 0}),
     Case("image", ((3, 5, 4),), {**_BOTH, "detect_positive": 0})),
    forms=(Form("default", ((4, 9),)),), types=to_bool,
)  # fmt: skip
