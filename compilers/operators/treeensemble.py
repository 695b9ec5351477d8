"""TreeEnsemble (ai.onnx.ml 5): becomes a TreeEnsembleRegressor, whose columns say the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from trine.compilers.graph import Node
from trine.compilers.ml_attributes import features_of
from trine.compilers.ml_ensembles import build
from trine.compilers.ml_models import AGGREGATES, LEAF, MODES, TRANSFORMS
from trine.compilers.operators import Operator, SourceNode, Unsupported
from trine.compilers.operators.treeensembleregressor import run, shapes

MEMBER = 6  # BRANCH_MEMBER: x is one of a set
EQUAL = MODES.index("BRANCH_EQ")
LARGEST = 1 << 20  # nodes once sets are unrolled


def column(attributes: Mapping[str, Any], name: str) -> list[Any]:
    """An attribute, list or tensor, as a list; empty where it is absent. Raises Unsupported for doubles."""
    value = attributes.get(name)
    if value is None:
        return []
    array = value.numpy() if hasattr(value, "numpy") else np.asarray(value)
    if (
        array.dtype == np.float64
        and name in ("nodes_splits", "leaf_weights", "membership_values")
        and hasattr(value, "numpy")
    ):
        raise Unsupported(f"{name} is double; export the model with float32 inputs")
    return list(array.ravel().tolist())


def sets_of(values: Sequence[float], count: int) -> list[list[float]]:
    """The sets of BRANCH_MEMBER nodes, in order; NaN ends each."""
    sets: list[list[float]] = [[]]
    for value in values:
        if np.isnan(value):
            sets.append([])
        else:
            sets[-1].append(value)
    if len(sets) < count:
        raise Unsupported(f"membership_values holds {len(sets)} sets for {count} BRANCH_MEMBER nodes")
    return sets


class Unroll:
    """Writes each tree as the rows of the older operators, true branch first."""

    def __init__(self, attributes: Mapping[str, Any]) -> None:
        names = (
            "nodes_featureids", "nodes_modes", "nodes_splits", "nodes_truenodeids", "nodes_falsenodeids",
            "nodes_trueleafs", "nodes_falseleafs",
        )  # fmt: skip
        self.node = {name: column(attributes, name) for name in names}
        self.leaf = {name: column(attributes, name) for name in ("leaf_targetids", "leaf_weights")}
        self.missing = column(attributes, "nodes_missing_value_tracks_true")
        self.count = len(self.node["nodes_modes"])
        uneven = [name for name, values in self.node.items() if len(values) != self.count]
        if not self.count or uneven or len({len(v) for v in self.leaf.values()}) != 1:
            raise Unsupported(
                f"its columns differ in length ({', '.join(uneven) or 'leaf_weights, or no nodes'})"
            )
        modes = self.node["nodes_modes"]
        if not all(0 <= mode <= MEMBER for mode in modes):
            raise Unsupported(f"node mode {max(modes, key=lambda mode: abs(mode - 3))}")
        members = [i for i, mode in enumerate(modes) if mode == MEMBER]
        self.sets = dict(
            zip(members, sets_of(column(attributes, "membership_values"), len(members)), strict=False)
        )
        self.rows: dict[str, list[Any]] = {
            n: []
            for n in (
                "treeids",
                "nodeids",
                "featureids",
                "modes",
                "values",
                "truenodeids",
                "falsenodeids",
                "missing",
            )
        }
        self.targets: dict[str, list[Any]] = {n: [] for n in ("ids", "nodeids", "treeids", "weights")}

    def row(self, tree: int, **values: Any) -> int:
        """Append a node; returns its number."""
        number = len(self.rows["treeids"])
        if number > LARGEST:
            raise Unsupported(f"more than {LARGEST} nodes once its sets are unrolled, or a cycle")
        defaults = {
            "featureids": 0,
            "modes": LEAF,
            "values": 0.0,
            "truenodeids": 0,
            "falsenodeids": 0,
            "missing": 0,
        }
        for name, value in {**defaults, **values, "treeids": tree, "nodeids": number}.items():
            self.rows[name].append(value)
        return number

    def tree(self, tree: int, root: int) -> None:
        """Append one tree. A work list, not recursion: a damaged file may be of any depth."""
        waiting = [(root, False, -1, "")]
        while waiting:
            at, is_leaf, parent, side = waiting.pop()
            number = self.add_leaf(tree, at) if is_leaf else self.add_node(tree, at, waiting)
            if parent >= 0:
                self.rows[side][parent] = number

    def add_leaf(self, tree: int, leaf: int) -> int:
        if not 0 <= leaf < len(self.leaf["leaf_weights"]):
            raise Unsupported(f"leaf {leaf} of {len(self.leaf['leaf_weights'])}")
        number = self.row(tree)
        for name, value in (
            ("ids", self.leaf["leaf_targetids"][leaf]), ("nodeids", number), ("treeids", tree),
            ("weights", self.leaf["leaf_weights"][leaf]),
        ):  # fmt: skip
            self.targets[name].append(value)
        return number

    def add_node(self, tree: int, at: int, waiting: list[tuple[int, bool, int, str]]) -> int:
        if not 0 <= at < self.count:
            raise Unsupported(f"node {at} of {self.count}")
        value = {name: values[at] for name, values in self.node.items()}
        common = {"featureids": value["nodes_featureids"], "missing": self.missing[at] if self.missing else 0}
        branches = [
            (int(value[f"nodes_{side}nodeids"]), bool(value[f"nodes_{side}leafs"]), f"{side}nodeids")
            for side in ("false", "true")
        ]
        if value["nodes_trueleafs"] and value["nodes_falseleafs"] and branches[0][0] == branches[1][0]:
            return self.add_leaf(tree, branches[0][0])  # how a tree of one leaf is written
        if value["nodes_modes"] != MEMBER:
            number = self.row(tree, modes=value["nodes_modes"], values=value["nodes_splits"], **common)
            waiting += [(child, leaf, number, side) for child, leaf, side in branches]
            return number
        members = self.sets[at] or [float("inf")]
        chain = [self.row(tree, modes=EQUAL, values=member, **common) for member in members]
        for one, following in pairwise(chain):
            self.rows["falsenodeids"][one] = following
        (false, false_leaf, _), (true, true_leaf, _) = branches
        waiting.append((false, false_leaf, chain[-1], "falsenodeids"))
        waiting += [(true, true_leaf, one, "truenodeids") for one in chain]
        return chain[0]


def read(source: SourceNode) -> Node:
    given, features = source.attributes, features_of(source)
    unroll = Unroll(given)
    for tree, root in enumerate(column(given, "tree_roots")):
        unroll.tree(tree, int(root))
    aggregate, transform = source.integer("aggregate_function", 1), source.integer("post_transform", 0)
    if not 0 <= aggregate < len(AGGREGATES) or not 0 <= transform < len(TRANSFORMS):
        raise Unsupported(f"aggregate_function {aggregate}, post_transform {transform} (4 is PROBIT)")
    if TRANSFORMS[transform] in ("SOFTMAX", "LOGISTIC"):
        raise Unsupported(
            f"post_transform {transform}: onnxruntime takes SOFTMAX (1) for LOGISTIC (2) and the reverse"
        )
    attributes: dict[str, Any] = {
        f"nodes_{name}": tuple(v) for name, v in unroll.rows.items() if name != "missing"
    }
    attributes["nodes_missing_value_tracks_true"] = tuple(unroll.rows["missing"])
    attributes |= {f"target_{name}": tuple(values) for name, values in unroll.targets.items()}
    attributes |= {
        "n_targets": source.integer("n_targets", 1), "aggregate_function": aggregate,
        "post_transform": transform, "features": features,
    }  # fmt: skip
    build("TreeEnsembleRegressor", attributes, features)
    return Node("TreeEnsembleRegressor", source.name, source.inputs[:1], source.outputs[:1], attributes)


OPERATOR = Operator("TreeEnsemble", read, shapes, run, (), domain="ai.onnx.ml")
