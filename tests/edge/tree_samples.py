"""Random tree ensembles as ONNX-ML nodes, features that are hard for them, and what onnxruntime answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from trine.compilers.graph import Array
from trine.compilers.ml_attributes import CLASSIFIER, REGRESSOR, plain
from trine.compilers.ml_ensembles import build
from trine.compilers.ml_models import Ensemble

MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")
# Signed zeros, the smallest numbers, infinities, NaN of both signs.
SPECIAL = np.array(
    [0x00000000, 0x80000000, 1, 0x80000001, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00001], np.uint32
).view(np.float32)


class Grower:
    """Grows random trees into the columns of ONNX-ML."""

    def __init__(self, rng: np.random.Generator, features: int, modes: list[str], missing: float) -> None:
        self.rng, self.features, self.modes, self.missing = rng, features, modes, missing
        names = ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids")
        self.rows: dict[str, list[Any]] = {name: [] for name in (*names, "missing_value_tracks_true")}
        self.leaves: list[tuple[int, int]] = []

    def grow(self, tree: int, depth: int) -> int:
        """Add a node and what is under it; returns its number in the tree."""
        node = self.rows["treeids"].count(tree)
        at, leaf = len(self.rows["treeids"]), depth == 0 or self.rng.random() < 0.15
        value = (
            np.float32(np.round(self.rng.normal(), 1))
            if self.rng.random() < 0.9
            else self.rng.choice(SPECIAL[:6])
        )
        row = {
            "treeids": tree, "nodeids": node, "featureids": int(self.rng.integers(self.features)),
            "modes": "LEAF" if leaf else str(self.rng.choice(self.modes)), "values": float(value),
            "truenodeids": 0, "falsenodeids": 0,
            "missing_value_tracks_true": int(not leaf and self.rng.random() < self.missing),
        }  # fmt: skip
        for name, entry in row.items():
            self.rows[name].append(entry)
        if leaf:
            self.leaves.append((tree, node))
        else:
            self.rows["truenodeids"][at] = self.grow(tree, depth - 1)
            self.rows["falsenodeids"][at] = self.grow(tree, depth - 1)
        return node


def ensemble(seed: int, trees: tuple[int, ...] = (1, 3, 10)) -> tuple[str, dict[str, Any], int]:
    """(operator, attributes, features) of a random node that Trine takes."""
    rng = np.random.default_rng(seed)
    role = str(rng.choice(["class", "target"]))
    features, outputs = int(rng.integers(1, 6)), int(rng.integers(1 if role == "target" else 2, 5))
    modes = list(rng.choice(MODES, int(rng.integers(1, 4)))) if rng.random() < 0.5 else ["BRANCH_LEQ"]
    ids = [0] if role == "class" and outputs == 2 else list(range(outputs))
    grower = Grower(rng, features, modes, float(rng.choice([0, 0.3, 1])))
    count = int(rng.choice(trees))
    for tree in range(count):
        grower.grow(tree, int(rng.integers(0, 6)))
    positive = rng.random() < 0.5
    places = [(tree, node, i) for tree, node in grower.leaves for i in ids]
    # Quarters of a vote: sums that tie, or would but for float32's rounding.
    votes = rng.integers(0, 5, len(places)) / (4 * count) if positive else rng.normal(0, 0.3, len(places))
    attributes: dict[str, Any] = {f"nodes_{name}": values for name, values in grower.rows.items()}
    attributes |= {
        f"{role}_{name}": [place[i] for place in places]
        for i, name in enumerate(("treeids", "nodeids", "ids"))
    }
    attributes[f"{role}_weights"] = votes.astype(np.float32).tolist()
    one = role == "class" and outputs == 2
    transforms = ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"]
    fits = ["NONE"] if (one and votes.min() >= 0) or outputs == 1 else transforms[:2] if one else transforms
    attributes["post_transform"] = str(rng.choice(fits))
    if rng.random() < 0.5:
        attributes["base_values"] = rng.normal(0, 0.3, len(ids)).astype(np.float32).tolist()
    if role == "class":
        labels = range(outputs) if rng.random() < 0.5 else rng.integers(-9, 99, outputs)
        attributes["classlabels_int64s"] = [int(label) for label in labels]
        return "TreeEnsembleClassifier", attributes, features
    attributes |= {
        "n_targets": outputs,
        "aggregate_function": str(rng.choice(["SUM", "AVERAGE", "MIN", "MAX"])),
    }
    return "TreeEnsembleRegressor", attributes, features


def built(op: str, attributes: dict[str, Any], features: int) -> Ensemble:
    """The node as Trine reads it."""
    known = CLASSIFIER if op == "TreeEnsembleClassifier" else REGRESSOR
    return build(op, plain(attributes, known), features)


def inputs(seed: int, count: int, features: int, values: Array | None = None) -> Array:
    """float32 [count, features]: numbers on a coarse grid (so that thresholds are met), special ones, and `values`."""
    rng = np.random.default_rng(seed)
    x = np.round(rng.normal(size=(count, features)), 1).astype(np.float32)
    special = rng.random(x.shape) < 0.2
    x[special] = rng.choice(SPECIAL, int(special.sum()))
    if values is not None and len(values):
        met = rng.random(x.shape) < 0.5
        near = np.nextafter(rng.choice(values, int(met.sum())), np.float32(rng.choice([-np.inf, np.inf])))
        x[met] = np.where(rng.random(int(met.sum())) < 0.5, rng.choice(values, int(met.sum())), near)
    return x


def model_of(op: str, attributes: dict[str, Any], features: int, opset: int = 3) -> onnx.ModelProto:
    """A model of the one node."""
    outs = [("label", TensorProto.INT64)] if op == "TreeEnsembleClassifier" else []
    outs.append(("scores", TensorProto.FLOAT))
    node = helper.make_node(op, ["x"], [name for name, _ in outs], "trees", domain="ai.onnx.ml", **attributes)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, features])
    values = [helper.make_tensor_value_info(name, kind, None) for name, kind in outs]
    graph = helper.make_graph([node], "trees", [x], values)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def reference(model: bytes, x: Array) -> dict[str, Any]:
    """onnxruntime's answers on one thread, by output; maps of ZipMap as a matrix, text labels as they are."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    found = session.run(None, {session.get_inputs()[0].name: x})
    plain_values = [
        np.array([list(one.values()) for one in value], np.float32) if isinstance(value, list) else value
        for value in found
    ]
    return dict(zip([output.name for output in session.get_outputs()], plain_values, strict=True))
