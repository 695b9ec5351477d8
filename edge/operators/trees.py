"""Tree ensembles in integers: float32 features in, label (int64) and scores (float32) out. See `edge.trees.fixed`.

onnxruntime's class exactly; its scores within the step's `tolerance`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trine.compilers.graph import Array, Node
from trine.compilers.ml_ensembles import ensemble_of
from trine.edge.lower import Lowering
from trine.edge.operators import Kernel
from trine.edge.program import IntegerProgram, Step
from trine.edge.qdq import QdqWriter
from trine.edge.trees.choice import PUTS, choose
from trine.edge.trees.fixed import forest_of
from trine.edge.trees.fixed import run as run_forest
from trine.edge.trees.fixing import fix
from trine.edge.trees.print_c import trees_layer
from trine.edge.trees.print_onnx import trees_onnx


def lower(lowering: Lowering, node: Node) -> Step:
    x = lowering.tensors[node.inputs[0]]
    if x.dtype != "float32":
        raise ValueError(
            f"{node.name}: trees read float32 features, and {x.name} is {x.dtype} in this program"
        )
    forest, attributes = fix(ensemble_of(node))
    roles = ("label", "scores") if node.op == "TreeEnsembleClassifier" else ("scores",)
    puts = tuple(PUTS.index(role) for role, name in zip(roles, node.outputs, strict=True) if name)
    names = [name for name in node.outputs if name]
    for name in names:
        lowering.add_plain(name)
    constants = forest.arrays()
    if node.attributes.get("names"):
        constants["names"] = np.array(node.attributes["names"], np.uint8)
    return Step(
        "trees", node.name, (x.name,), names[0], constants,
        {**attributes, "puts": puts, "form": choose(forest)}, also=tuple(names[1:]),
    )  # fmt: skip


def run(program: IntegerProgram, step: Step, inputs: Sequence[Array]) -> Any:
    found = run_forest(forest_of(step.constants), step.attributes, inputs[0])
    results = [found[at] for at in step.attributes["puts"]]
    return results if step.also else results[0]


def qdq(writer: QdqWriter, step: Step) -> None:
    trees_onnx(writer, step)


KERNEL = Kernel(
    "trees",
    ("TreeEnsembleClassifier", "TreeEnsembleRegressor"),
    lower,
    run,
    qdq,
    trees_layer,
    layout="row",
    floats=True,
)
