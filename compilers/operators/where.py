"""Where: the second operand where the first is true, else the third (ONNX Where-16).

Normal form as in `compilers.elementwise`: inputs (condition, a, b), the condition a bool, an activation or a constant.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.elementwise import (
    aligned,
    channel,
    joint_shape,
    read_operands,
    require,
    spell_aligned,
    widest_batch,
)
from trine.compilers.graph import Array, Node
from trine.compilers.operators import Case, Form, Operator, SourceNode, Unsupported


def read(source: SourceNode) -> Node:
    require(source, "b")
    if source.type(1) != source.type(2):
        raise Unsupported(f"branches of types {source.type(1)} and {source.type(2)}")
    names, attributes = read_operands(source)
    return Node("Where", source.name, names, source.outputs, attributes)


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    condition, a, b = aligned(node, arguments)
    return [np.where(condition, a, b)]


def types(node: Node, inputs: Sequence[str]) -> list[str]:
    return [inputs[1]]


_BOOLS, _MASK = ("bool", "float32", "float32"), (np.arange(36) % 3 > 0).reshape(4, 9)

OPERATOR = Operator(
    "Where", read, joint_shape, run,
    (
        Case("same_shape", ((4, 9), (4, 9), (4, 9)), dtypes=_BOOLS),
        Case("one_a_channel", ((4, 1), (4, 9), (4, 1)), dtypes=_BOOLS),
        Case("lower_rank", ((9,), (3, 4, 9), (4, 9)), {"align": (2, 0, 1)}, dtypes=_BOOLS),
        Case("constant_last", ((4, 9), (4, 9)), constants=(channel(),), dtypes=_BOOLS[:2]),
        Case("constants", ((4, 9),), constants=(channel(), np.array(0.5, np.float32)), dtypes=_BOOLS[:1]),
    ),
    forms=(
        Form("constant_condition", ((4, 9), (4, 9)), {}, {0: _MASK}),
        Form("constant_branch", ((4, 9),), {}, {0: _MASK[None], 1: np.array(-9.0, np.float32)}),
    ),
    types=types, batch=widest_batch, spell=spell_aligned,
)  # fmt: skip
