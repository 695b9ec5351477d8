"""RowAttention: softmax(scale * a b) v, one row of weights after the other (Vaswani et al. 2017, arXiv 1706.03762).

No operator of ONNX: `compilers.attention` makes it of a MatMul, a Softmax and a MatMul, and it is spelled so again.
Normal form: inputs a (..., m, k), b (..., k, n), v (..., n, d)[, mask], the first three activations of one rank with
equal leading axes; attribute scale. mask: truth values of the scores that count, a constant or an activation, whose
shape ends in (m or 1, n) after leading axes that are a's, or 1, or (of a constant) absent. A row without any score
that counts is 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.attention import HIDDEN, NEVER
from trine.compilers.graph import Array, Node, Shape
from trine.compilers.operators import Case, Operator, SourceNode, Spelled, Unsupported, floats


def read(source: SourceNode) -> Node:
    raise Unsupported("is no operator of ONNX; write MatMul, Softmax and MatMul")


def shapes(node: Node, inputs: Sequence[Shape]) -> list[Shape]:
    return [(*inputs[0][:-1], inputs[2][-1])]


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    a, b, v = (x.astype(np.float64) for x in arguments[:3])
    scores = np.matmul(a, b) * node.attributes["scale"]
    mask = arguments[3] if len(arguments) > 3 else np.True_
    greatest = np.where(mask, scores, -np.inf).max(axis=-1, keepdims=True)
    weights = np.exp(np.where(mask, scores - np.where(np.isfinite(greatest), greatest, 0), -np.inf))
    total = weights.sum(axis=-1, keepdims=True)
    return [floats(np.matmul(weights, v) / np.where(total, total, 1))]


def macs(node: Node, inputs: Sequence[Shape], output: Shape) -> int:
    keys, values = inputs[1], inputs[2]
    return int(np.prod(inputs[0][:-1])) * keys[-1] * (keys[-2] + values[-1])


def spell(node: Node, opset: int) -> list[Spelled]:
    """MatMul, Mul, Softmax, MatMul; what is masked is hidden before the Softmax and taken out after it."""
    a, b, v = node.inputs[:3]
    roles = ("scores", "scaled", "weights", "scale", "shown", "kept", "hidden", "never")
    n = {role: f"{node.name}.{role}" for role in roles}
    scale = {n["scale"]: np.array(node.attributes["scale"], np.float32)}
    hidden = {n["hidden"]: np.array(HIDDEN, np.float32)}
    never = {n["never"]: np.array(NEVER, np.float32)}
    masked = len(node.inputs) > 3
    before, after = ("shown", "kept") if masked else ("scaled", "weights")
    nodes = [
        Spelled("MatMul", (a, b), (n["scores"],)),
        Spelled("Mul", (n["scores"], n["scale"]), (n["scaled"],), constants=scale),
        Spelled("Softmax", (n[before],), (n["weights"],), {"axis": -1}),
        Spelled("MatMul", (n[after], v), node.outputs),
    ]
    if masked:
        mask = node.inputs[3]
        nodes.insert(2, Spelled("Where", (mask, n["scaled"], n["hidden"]), (n["shown"],), constants=hidden))
        nodes.insert(4, Spelled("Where", (mask, n["weights"], n["never"]), (n["kept"],), constants=never))
    return nodes


_CAUSAL = np.tri(7, 9, 2) > 0
_SOME = np.arange(5 * 6).reshape(5, 6) % 4 > 0
_SOME[2] = False  # a row without any score

OPERATOR = Operator(
    "RowAttention", read, shapes, run,
    (
        Case("one_head", ((6, 4), (4, 6), (6, 5)), {"scale": 0.5}),
        Case("two_heads", ((2, 7, 3), (2, 3, 9), (2, 9, 4)), {"scale": 1.0}),
        Case("one_query", ((1, 8), (8, 12), (12, 1)), {"scale": 2.0}),
        Case("causal", ((2, 7, 3), (2, 3, 9), (2, 9, 4)), {"scale": 1.0}, (_CAUSAL,)),
        Case("masked_row", ((5, 3), (3, 6), (6, 4)), {"scale": 0.5}, (_SOME,)),
        Case("given_mask", ((2, 4, 3), (2, 3, 6), (2, 6, 5), (1, 4, 6)), {"scale": 1.0},
             dtypes=("float32", "float32", "float32", "bool")),
    ),
    macs, spell=spell,
)  # fmt: skip
