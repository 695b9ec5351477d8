"""RMSNormalization over the last axes of one example: no mean is subtracted (ONNX RMSNormalization-23).

Normal form: inputs (x, gamma), a constant of the shape of the normalised axes; attributes last, how many axes these
are, and epsilon.
"""

from __future__ import annotations

from collections.abc import Sequence

from trine.compilers.elementwise import same_shape
from trine.compilers.graph import Array, Node
from trine.compilers.normalisation import by_parts, normalised, runs_of
from trine.compilers.operators import Case, Form, Operator, SourceNode, Spelled, Unsupported
from trine.compilers.operators.layernormalization import parameter, parameters, read_last

RMS_OPSET = 23  # the first with the operator


def read(source: SourceNode) -> Node:
    last = read_last(source)
    gamma = parameter(source, 1, "the scale", source.shape()[len(source.shape()) - last :])
    if source.integer("stash_type", 1) != 1:
        raise Unsupported(f"stash_type {source.integer('stash_type', 1)}; 1 (float32) is supported")
    attributes = {"last": last, "epsilon": float(source.attributes.get("epsilon", 1e-5))}
    return Node("RMSNormalization", source.name, (source.inputs[0], gamma), source.outputs, attributes)


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    x = arguments[0]
    return [normalised(x, arguments[1], None, runs_of(node, x.shape[1:]))]


def spell(node: Node, opset: int) -> list[Spelled]:
    if opset < RMS_OPSET:
        return by_parts(node, opset)
    given = {"axis": -node.attributes["last"], "epsilon": node.attributes["epsilon"]}
    return [Spelled(node.op, node.inputs, node.outputs, given)]


def _on(last: int, epsilon: float = 1e-5) -> dict[str, object]:
    return {"last": last, "epsilon": epsilon}


OPERATOR = Operator(
    "RMSNormalization", read, same_shape, run,
    (
        Case("features", ((5, 16),), _on(1), parameters("features", 16)[:1]),
        Case("vector", ((12,),), _on(1), parameters("vector", 12)[:1]),
        Case("two_axes", ((3, 4, 5),), _on(2, 0.1), parameters("two_axes", 4, 5)[:1]),
    ),
    forms=(Form("default_axis", ((4, 9),), {}, {1: parameters("d", 9)[0]}, (RMS_OPSET, 999)),),
    spell=spell,
)  # fmt: skip
