"""Identity (ONNX Identity-13). Stands in a `Graph` only where an input is an output as it is."""

from __future__ import annotations

from collections.abc import Sequence

from trine.compilers.elementwise import same_shape
from trine.compilers.graph import Array, Node
from trine.compilers.operators import Case, Form, Operator, SourceNode


def read(source: SourceNode) -> Node:
    return Node("Identity", source.name, source.inputs[:1], source.outputs[:1])


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    return [arguments[0]]


OPERATOR = Operator(
    "Identity", read, same_shape, run,
    (Case("vector", ((7,),)), Case("signal", ((4, 9),)), Case("image", ((3, 5, 4),))),
    forms=(Form("plain", ((4, 9),)),),
)  # fmt: skip
