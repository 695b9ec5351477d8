"""A forest as standard ONNX-ML, rebuilt from its integer form; what onnxruntime runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trine.compilers.ml_models import AGGREGATES, TRANSFORMS
from trine.compilers.onnx_writer import ML_DOMAIN
from trine.edge.program import Step
from trine.edge.trees.choice import PUTS
from trine.edge.trees.fixed import COMPLEMENT, NAN_HOLDS, Forest, forest_of, number

if TYPE_CHECKING:
    from trine.edge.qdq import QdqWriter


def trees_onnx(writer: QdqWriter, step: Step) -> None:
    """Append the node of a trees step."""
    from onnx import helper

    p, role = step.attributes, "class" if step.attributes["classes"] else "target"
    forest = forest_of(step.constants)
    attributes = rows_of(forest, role)
    if p["classes"]:
        attributes["classlabels_int64s"] = list(p["classes"])
    else:
        attributes |= {"n_targets": len(forest.base), "aggregate_function": AGGREGATES[p["aggregate"]]}
    if forest.float_base.any() or len(p["classes"]) > 2:
        attributes["base_values"] = forest.float_base.tolist()
    attributes["post_transform"] = TRANSFORMS[p["transform"]]
    outputs = dict(zip((PUTS[at] for at in p["puts"]), step.outputs, strict=True))
    written = [outputs.get(put, "") for put in (PUTS if p["classes"] else PUTS[1:])]
    op = "TreeEnsembleClassifier" if p["classes"] else "TreeEnsembleRegressor"
    names = [writer.value(name) if name else "" for name in written]
    writer.nodes.append(
        helper.make_node(op, [writer.value(step.inputs[0])], names, step.name, domain=ML_DOMAIN, **attributes)
    )
    writer.domains.add(ML_DOMAIN)


def rows_of(forest: Forest, role: str) -> dict[str, Any]:
    """The node columns; a subtree with two parents (a test for equality) is written twice."""
    names = ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids")
    nodes: dict[str, list[Any]] = {name: [] for name in (*names, "missing_value_tracks_true")}
    leaves: dict[str, list[Any]] = {name: [] for name in ("treeids", "nodeids", "ids", "weights")}
    # onnxruntime leaves a class without a weight out of the contest: zeros that rows leave out are written.
    every = forest.dense(forest.row_float) if forest.tree_outputs() is None else None
    for tree, root in enumerate(forest.roots.tolist()):
        waiting: list[tuple[int, int, str]] = [(root, -1, "")]
        while waiting:
            at, parent, side = waiting.pop()
            node = len(nodes["nodeids"])
            if parent >= 0:
                nodes[side][parent] = node
            values = split_of(forest, at) if at >= 0 else (0, "LEAF", 0.0, 0)
            for name, value in zip(
                (*names[:5], "missing_value_tracks_true", *names[5:]),
                (tree, node, *values, 0, 0),
                strict=True,
            ):
                nodes[name].append(value)
            if at >= 0:
                waiting += [
                    (int(forest.split_no[at]), node, "falsenodeids"), (int(forest.split_yes[at]), node, "truenodeids")
                ]  # fmt: skip
                continue
            start, end = int(forest.row_start[~at]), int(forest.row_start[~at + 1])
            added = zip(
                forest.row_output[start:end].tolist(), forest.row_float[start:end].tolist(), strict=True
            )
            for weight in added if every is None else enumerate(every[~at].tolist()):
                for name, value in zip(leaves, (tree, node, *weight), strict=True):
                    leaves[name].append(value)
    return {f"nodes_{k}": v for k, v in nodes.items()} | {f"{role}_{k}": v for k, v in leaves.items()}


def split_of(forest: Forest, split: int) -> tuple[int, str, float, int]:
    """(feature, mode, value, whether NaN takes the true branch) of a split."""
    column, key = int(forest.split_column[split]), int(forest.split_key[split])
    flags = int(forest.column_flags[column])
    turned = bool(flags & COMPLEMENT)
    bound = ~key if turned else key  # ~x <= key is x >= ~key
    mode = "BRANCH_GTE" if turned else "BRANCH_LEQ"
    return int(forest.column_feature[column]), mode, float(number(bound)), int(bool(flags & NAN_HOLDS))
