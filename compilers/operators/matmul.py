"""MatMul with a constant matrix on either side, or of two activations (ONNX MatMul-13, NumPy's matmul).

Normal form: inputs (a, b), at most one a constant; constants have no batch axis. Attribute ranks, both operands' axes
an example, only where two activations differ in them or one is a vector (in a graph without batch axis).
A constant matrix after one vector an example is read as Gemm.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.elementwise import require, widest_batch
from trine.compilers.graph import Array, Node, Shape
from trine.compilers.operators import Case, Form, Operator, SourceNode, Unsupported, floats
from trine.compilers.operators.gemm import dense


def without_batch(source: SourceNode, index: int, rank: int) -> str:
    """A constant operand's name once its batch axis (size 1) is gone; `rank` is that of one example."""
    value = source.constant(index, "the operand")
    if value.ndim <= rank or source.batch_of(source.inputs[1 - index]) is None:
        return source.inputs[index]
    if value.ndim > rank + 1 or value.shape[0] != 1:
        raise Unsupported(f"constant {source.inputs[index]} {value.shape} differs between examples")
    return source.define(f"operand{index}", value[0])


def read(source: SourceNode) -> Node:
    a, b, attributes = source.shape(0), source.shape(1), {}
    for i in range(2):
        require(source, "f", i)
    if source.is_constant(1):
        weight = source.constant(1, "the matrix")
        if len(a) == 1 and weight.ndim == 2:
            return dense(source, weight.T, None)
        names = (source.inputs[0], without_batch(source, 1, len(a)))
    elif source.is_constant(0):
        if len(b) < 2:
            raise Unsupported(f"a constant times one vector an example of shape {b} would mix the batch axis")
        names = (without_batch(source, 0, len(b)), source.inputs[1])
    else:
        if source.batch_of() is not None and (len(a) != len(b) or len(a) < 2):
            raise Unsupported(f"activations of shapes {a} and {b} would mix the batch axis")
        names = (source.inputs[0], source.inputs[1])
        attributes = {} if len(a) == len(b) > 1 else {"ranks": (len(a), len(b))}
    node = Node("MatMul", source.name, names, source.outputs, attributes)
    known = {**source.shapes, **{name: value.shape for name, value in source.defined.items()}}
    try:
        shapes(node, [known[name] for name in names])
    except ValueError:
        raise Unsupported(f"shapes {a} and {b} do not fit each other") from None
    return node


def shapes(node: Node, inputs: Sequence[Shape]) -> list[Shape]:
    a, b = inputs
    rows = a[:-1] if len(a) > 1 else ()
    columns = b[:-2] + b[-1:] if len(b) > 1 else ()
    if not a or not b or a[-1] != (b[-2] if len(b) > 1 else b[-1]):
        raise ValueError(f"{a} x {b}")
    stack = np.broadcast_shapes(rows[:-1], columns[:-1])
    return [(*stack, *rows[-1:], *columns[-1:])]


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    a, b = arguments
    left, right = node.attributes.get("ranks", (2, 2))
    if left == right > 1:
        return [floats(np.matmul(a, b))]
    rank = max(left, right, 2)
    rows = a.shape[1:] if left > 1 else (1, *a.shape[1:])
    columns = b.shape[1:] if right > 1 else (*b.shape[1:], 1)
    a = a.reshape(len(a), *(1,) * (rank - len(rows)), *rows)
    b = b.reshape(len(b), *(1,) * (rank - len(columns)), *columns)
    y = np.matmul(a, b)
    y = y if right > 1 else y[..., 0]
    return [floats(y if left > 1 else np.squeeze(y, -1 if right == 1 else -2))]


def macs(node: Node, inputs: Sequence[Shape], output: Shape) -> int:
    return int(np.prod(output, dtype=np.int64)) * inputs[0][-1]


def _draw(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).normal(0, 0.3, shape).astype(np.float32)


OPERATOR = Operator(
    "MatMul", read, shapes, run,
    (
        Case("constant_matrix", ((7, 12),), constants=(_draw(1, 12, 5),)),
        Case("constant_stack", ((3, 7, 12),), constants=(_draw(2, 3, 12, 5),)),
        Case("two_activations", ((4, 6), (6, 5))),
        Case("two_activations_stacked", ((2, 4, 6), (2, 6, 3))),
    ),
    macs,
    (
        Form("vector_by_matrix", ((12,),), {}, {1: _draw(3, 12, 5)}),
        Form("rows_by_matrix", ((7, 12),), {}, {1: _draw(4, 12, 5)}),
        Form("rows_by_vector", ((7, 12),), {}, {1: _draw(5, 12)}),
        Form("matrix_first", ((12, 7),), {}, {0: _draw(6, 5, 12)}),
        Form("matrix_with_batch_axis", ((7, 12),), {}, {1: _draw(7, 1, 12, 5)}),
        Form("attention", ((2, 4, 6), (2, 6, 4))),
    ),
    batch=widest_batch,
)  # fmt: skip
