"""LayerNormalization over the last axes of one example (ONNX LayerNormalization-17).

Normal form: inputs (x, gamma[, beta]), constants of the shape of the normalised axes; attributes last, how many axes
these are, and epsilon. Further outputs, where they are read: the mean and 1 / deviation.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.graph import Array, Node, Shape
from trine.compilers.normalisation import by_parts, normalised, runs_of, statistics
from trine.compilers.operators import Case, Form, Operator, SourceNode, Spelled, Unsupported

LAYER_OPSET = 17  # the first with the operator


def read_last(source: SourceNode) -> int:
    """How many axes of one example are normalised; the batch axis must lie before them."""
    axis = source.integer("axis", -1)
    rank, batch = len(source.file_shape()), source.batch_of()
    if batch is not None and batch > axis % rank:
        raise Unsupported(f"normalises over the batch axis (axis {axis})")
    return len(source.shape()) - source.axis(axis)


def parameter(source: SourceNode, index: int, what: str, wanted: Shape) -> str:
    """The name of gamma or beta, a constant broadcast to the shape of the normalised axes."""
    value = source.constant(index, what)
    try:
        full = np.broadcast_to(value, wanted)
    except ValueError:
        raise Unsupported(f"{what} {value.shape} for normalised axes {wanted}") from None
    name = source.inputs[index]
    return (
        name
        if full.shape == value.shape
        else source.define(what.replace(" ", "_"), np.ascontiguousarray(full))
    )


def read(source: SourceNode) -> Node:
    last = read_last(source)
    wanted = source.shape()[len(source.shape()) - last :]
    names = [source.inputs[0], parameter(source, 1, "the scale", wanted)]
    if source.has(2):
        names.append(parameter(source, 2, "the bias", wanted))
    if source.integer("stash_type", 1) != 1:
        raise Unsupported(f"stash_type {source.integer('stash_type', 1)}; 1 (float32) is supported")
    attributes = {"last": last, "epsilon": float(source.attributes.get("epsilon", 1e-5))}
    outputs = source.outputs
    while not outputs[-1]:
        outputs = outputs[:-1]
    return Node("LayerNormalization", source.name, tuple(names), outputs, attributes)


def batch(source: SourceNode) -> list[int | None]:
    return [source.batch_of()] * len(read(source).outputs)


def shapes(node: Node, inputs: Sequence[Shape]) -> list[Shape]:
    last, shape = node.attributes["last"], inputs[0]
    reduced = (*shape[: len(shape) - last], *(1,) * last)
    return [shape, reduced, reduced][: len(node.outputs)]


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    x = arguments[0]
    runs = runs_of(node, x.shape[1:])
    y = normalised(x, arguments[1], arguments[2] if len(arguments) > 2 else None, runs)
    if len(node.outputs) == 1:
        return [y]
    reduced = shapes(node, [x.shape[1:]])[1]
    _, mean, inverse = statistics(x, runs)
    return [y, *(v.reshape(len(x), *reduced).astype(x.dtype) for v in (mean, inverse))][: len(node.outputs)]


def spell(node: Node, opset: int) -> list[Spelled]:
    """From opset 17 on the operator itself; before, by its parts."""
    if opset < LAYER_OPSET:
        return by_parts(node, opset)
    given = {"axis": -node.attributes["last"], "epsilon": node.attributes["epsilon"]}
    return [Spelled(node.op, node.inputs, node.outputs, given)]


def parameters(name: str, *shape: int) -> tuple[Array, Array]:
    """gamma and beta for a case."""
    rng = np.random.default_rng(sum(map(ord, name)))
    return rng.normal(1, 0.3, shape).astype(np.float32), rng.normal(0, 0.5, shape).astype(np.float32)


def _on(last: int, epsilon: float = 1e-5) -> dict[str, object]:
    return {"last": last, "epsilon": epsilon}


OPERATOR = Operator(
    "LayerNormalization", read, shapes, run,
    (
        Case("features", ((5, 16),), _on(1), parameters("features", 16)),
        Case("vector", ((12,),), _on(1), parameters("vector", 12)),
        Case("whole", ((3, 4, 5),), _on(3, 0.1), parameters("whole", 3, 4, 5)),
        Case("no_beta", ((4, 3, 7),), _on(1), parameters("no_beta", 7)[:1]),
    ),
    forms=(
        Form("default_axis", ((4, 9),), {}, dict(enumerate(parameters("d", 9), 1)), (LAYER_OPSET, 999)),
        Form("negative_axis", ((4, 9),), {"axis": -2, "epsilon": 1e-3}, {1: parameters("n", 4, 9)[0]},
             (LAYER_OPSET, 999)),
    ),
    batch=batch,
    spell=spell,
)  # fmt: skip
