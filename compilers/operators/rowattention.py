"""RowAttention: softmax(scale * a b) v, one row of weights after the other (Vaswani et al. 2017, arXiv 1706.03762).

No operator of ONNX: `compilers.attention` makes it of a MatMul, a Softmax and a MatMul, and it is spelled so again.
Normal form: inputs a (..., m, k), b (..., k, n), v (..., n, d), activations all, of one rank and with equal leading
axes; attribute scale.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.graph import Array, Node, Shape
from trine.compilers.operators import Case, Operator, SourceNode, Spelled, Unsupported, floats


def read(source: SourceNode) -> Node:
    raise Unsupported("is no operator of ONNX; write MatMul, Softmax and MatMul")


def shapes(node: Node, inputs: Sequence[Shape]) -> list[Shape]:
    return [(*inputs[0][:-1], inputs[2][-1])]


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    a, b, v = (x.astype(np.float64) for x in arguments)
    scores = np.matmul(a, b) * node.attributes["scale"]
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return [floats(np.matmul(weights, v) / weights.sum(axis=-1, keepdims=True))]


def macs(node: Node, inputs: Sequence[Shape], output: Shape) -> int:
    keys, values = inputs[1], inputs[2]
    return int(np.prod(inputs[0][:-1])) * keys[-1] * (keys[-2] + values[-1])


def spell(node: Node, opset: int) -> list[Spelled]:
    """MatMul, Mul, Softmax, MatMul."""
    a, b, v = node.inputs
    names = [f"{node.name}.{role}" for role in ("scores", "scaled", "weights", "scale")]
    scale = {names[3]: np.array(node.attributes["scale"], np.float32)}
    return [
        Spelled("MatMul", (a, b), (names[0],)),
        Spelled("Mul", (names[0], names[3]), (names[1],), constants=scale),
        Spelled("Softmax", (names[1],), (names[2],), {"axis": -1}),
        Spelled("MatMul", (names[2], v), node.outputs),
    ]


OPERATOR = Operator(
    "RowAttention", read, shapes, run,
    (
        Case("one_head", ((6, 4), (4, 6), (6, 5)), {"scale": 0.5}),
        Case("two_heads", ((2, 7, 3), (2, 3, 9), (2, 9, 4)), {"scale": 1.0}),
        Case("one_query", ((1, 8), (8, 12), (12, 1)), {"scale": 2.0}),
    ),
    macs, spell=spell,
)  # fmt: skip
