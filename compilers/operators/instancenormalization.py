"""InstanceNormalization: every channel of every example by itself (ONNX InstanceNormalization-6).

Normal form: inputs (x (channels, *spatial), gamma, beta), constants of one value a channel; attribute epsilon.
"""

from __future__ import annotations

from collections.abc import Sequence

from trine.compilers.elementwise import same_shape
from trine.compilers.graph import Array, Node
from trine.compilers.normalisation import normalised, runs_of
from trine.compilers.operators import Case, Form, Operator, SourceNode, Unsupported
from trine.compilers.operators.layernormalization import parameters


def read(source: SourceNode) -> Node:
    source.first_is_batch()
    shape = source.shape()
    if len(shape) < 2:
        raise Unsupported(f"shape {shape} an example has no spatial axes to normalise over")
    for index, what in ((1, "the scale"), (2, "the bias")):
        if source.constant(index, what).shape != shape[:1]:
            raise Unsupported(f"{what} {source.shape(index)} for {shape[0]} channels")
    attributes = {"epsilon": float(source.attributes.get("epsilon", 1e-5))}
    return Node("InstanceNormalization", source.name, source.inputs[:3], source.outputs, attributes)


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    x, gamma, beta = arguments
    return [normalised(x, gamma, beta, runs_of(node, x.shape[1:]))]


OPERATOR = Operator(
    "InstanceNormalization", read, same_shape, run,
    (
        Case("signal", ((4, 19),), {"epsilon": 1e-5}, parameters("signal", 4)),
        Case("image", ((3, 5, 4),), {"epsilon": 1e-2}, parameters("image", 3)),
        Case("one_channel", ((1, 8),), {"epsilon": 1e-5}, parameters("one_channel", 1)),
    ),
    forms=(Form("default_epsilon", ((4, 9),), {}, dict(enumerate(parameters("d", 4), 1))),),
)  # fmt: skip
