"""Tree ensembles where a network is compiled in float32: the C is the integer kernel's, see `edge.trees.fixed`.

The meaning in NumPy adds leaves in float32; the C adds them in fixed point. Labels are equal, scores within the
ensemble's tolerance.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from trine.compilers.ml_ensembles import ensemble_of
from trine.edge.float32 import node_of
from trine.edge.program import Step
from trine.edge.trees.choice import choose
from trine.edge.trees.fixing import fix
from trine.edge.trees.print_c import trees_layer

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter


def trees(layer: LayerWriter, step: Step) -> None:
    node = node_of(step)
    forest, attributes = fix(ensemble_of(node))
    puts = (0, 1) if node.op == "TreeEnsembleClassifier" else (1,)
    constants = forest.arrays()
    if node.attributes.get("names"):
        constants["names"] = np.array(node.attributes["names"], np.uint8)
    made = {**attributes, "puts": puts, "form": choose(forest)}
    trees_layer(layer, replace(step, constants=constants, attributes=made))


FLOAT32 = {"TreeEnsembleClassifier": trees, "TreeEnsembleRegressor": trees}
