"""Mod with broadcasting (ONNX Mod-13): remainder with the divisor's sign, or with the dividend's where fmod is 1.

Normal form as in `compilers.elementwise`, and attribute fmod.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from trine.compilers.elementwise import aligned, apply, several
from trine.compilers.graph import Array, Node
from trine.compilers.operators import Case, Form, SourceNode, Unsupported

BINARY = several("Mod", np.mod)


def read(source: SourceNode) -> Node:
    node, fmod = BINARY.read(source), source.integer("fmod", 0)
    if not fmod and np.dtype(source.type()).kind == "f" and source.opset < 28:
        raise Unsupported("floats need fmod = 1 before opset 28")
    return replace(node, attributes={**node.attributes, "fmod": fmod})


def remainder(a: Array, b: Array, fmod: int) -> Array:
    """The remainder of a by b; of integers by 0 it is 0."""
    return np.asarray(np.fmod(a, b) if fmod else np.mod(a, b))


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    a, b = aligned(node, arguments)
    return [apply(remainder, a.dtype, a, b, fmod=node.attributes["fmod"])]


_STEPS = np.array([0.75], np.float32)

OPERATOR = replace(
    BINARY, read=read, run=run, reals={1: (0.5, np.inf)},
    cases=(
        Case("constant", ((4, 9),), {"fmod": 1}, (_STEPS,)),
        Case("same_shape", ((4, 9), (4, 9)), {"fmod": 1}),
        Case("one_a_channel", ((4, 9), (4, 1)), {"fmod": 1}),
    ),
    forms=(Form("constant", ((4, 9),), {"fmod": 1}, {1: _STEPS}),),
)  # fmt: skip
