"""TreeEnsembleClassifier (ai.onnx.ml 1 and 3): the class whose sum of leaves is greatest, and the scores of all.

Normal form: inputs (x), x of shape (features,); outputs (label int64 of shape (), scores (classes,)); attributes as in
ONNX, words as numbers (see `compilers.ml_attributes.plain`), `features`, and `names`, the labels' text where they had
one: their index is the label then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trine.compilers.graph import Array, Node, Shape
from trine.compilers.ml_attributes import CLASSIFIER, features_of, plain, spelled, stump
from trine.compilers.ml_ensembles import build, ensemble_of
from trine.compilers.operators import Case, Operator, SourceNode, Spelled


def read(source: SourceNode) -> Node:
    features = features_of(source)
    attributes = {**plain(source.attributes, CLASSIFIER), "features": features}
    build("TreeEnsembleClassifier", attributes, features)
    return Node("TreeEnsembleClassifier", source.name, source.inputs[:1], source.outputs, attributes)


def shapes(node: Node, inputs: Sequence[Shape]) -> list[Shape]:
    return [(), (ensemble_of(node).scores,)]


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    return list(ensemble_of(node).run(arguments[0]))


def types(node: Node, inputs: Sequence[str]) -> list[str]:
    return ["int64", "float32"]


def spell(node: Node, opset: int) -> list[Spelled]:
    return [Spelled(node.op, node.inputs, node.outputs, spelled(node), domain="ai.onnx.ml")]


def _case(name: str, classes: int, **changed: Any) -> Case:
    attributes = stump("class", classes, seed=sum(map(ord, name)), **changed)
    return Case(name, ((3,),), attributes, outputs=2)


OPERATOR = Operator(
    "TreeEnsembleClassifier", read, shapes, run,
    (
        _case("three_classes", 3),
        _case("softmax", 3, transform="SOFTMAX", base_values=(0.1, 0.2, -0.3)),
        _case("one_sum_logistic", 2, one_sum=True, transform="LOGISTIC", base_values=(0.25,)),
        _case("one_sum_of_probabilities", 2, one_sum=True, positive=True),
    ),
    types=types, spell=spell, domain="ai.onnx.ml",
)  # fmt: skip
