"""TreeEnsembleRegressor (ai.onnx.ml 1 and 3): sums of the leaves that an example reaches.

Normal form: inputs (x), x of shape (features,); attributes as in ONNX, words as numbers (see
`compilers.ml_attributes.plain`), and `features`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trine.compilers.graph import Array, Node, Shape
from trine.compilers.ml_attributes import REGRESSOR, features_of, plain, spelled, stump
from trine.compilers.ml_ensembles import build, ensemble_of
from trine.compilers.operators import Case, Operator, SourceNode, Spelled


def read(source: SourceNode) -> Node:
    features = features_of(source)
    attributes = {**plain(source.attributes, REGRESSOR), "features": features}
    build("TreeEnsembleRegressor", attributes, features)
    return Node("TreeEnsembleRegressor", source.name, source.inputs[:1], source.outputs[:1], attributes)


def shapes(node: Node, inputs: Sequence[Shape]) -> list[Shape]:
    return [(ensemble_of(node).outputs,)]


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    return [ensemble_of(node).run(arguments[0])[1]]


def types(node: Node, inputs: Sequence[str]) -> list[str]:
    return ["float32"]


def spell(node: Node, opset: int) -> list[Spelled]:
    return [Spelled(node.op, node.inputs, node.outputs, spelled(node), domain="ai.onnx.ml")]


def _case(name: str, **changed: Any) -> Case:
    return Case(name, ((3,),), stump("target", 2, seed=sum(map(ord, name)), **changed))


OPERATOR = Operator(
    "TreeEnsembleRegressor", read, shapes, run,
    (
        _case("two_targets"),
        _case("base_values", base_values=(0.5, -0.25)),
        _case("average", aggregate="AVERAGE"),
        _case("least", aggregate="MIN"),
        _case("greatest", aggregate="MAX"),
        _case("softmax", transform="SOFTMAX"),
        _case("logistic", transform="LOGISTIC"),
        _case("every_mode", modes=("BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")),
    ),
    types=types, spell=spell, domain="ai.onnx.ml",
)  # fmt: skip
