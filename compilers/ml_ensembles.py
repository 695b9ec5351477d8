"""Tree ensembles from ONNX-ML attributes, every one of them checked: a file may hold anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Node
from trine.compilers.ml_models import AGGREGATES, LEAF, TRANSFORMS, Ensemble
from trine.compilers.operators import Unsupported

MAX_DEPTH = 1000  # onnxruntime's own limit


def ensemble_of(node: Node) -> Ensemble:
    """The ensemble of a node in normal form."""
    return _ensemble(node.op, tuple(sorted((k, v) for k, v in node.attributes.items())))


@lru_cache(maxsize=16)
def _ensemble(op: str, items: tuple[tuple[str, Any], ...]) -> Ensemble:
    attributes = dict(items)
    return build(op, attributes, int(attributes["features"]))


def build(op: str, attributes: Mapping[str, Any], features: int) -> Ensemble:
    """The ensemble of a TreeEnsembleClassifier or TreeEnsembleRegressor in normal form (see `plain`), checked.

    Raises Unsupported naming what is wrong or not supported.
    """
    role = "class" if op == "TreeEnsembleClassifier" else "target"
    numbers = _columns(attributes)
    place = _places(numbers)
    modes = numbers["modes"]
    inner = modes != LEAF
    feature = np.where(inner, numbers["featureids"], 0)
    if inner.any() and not 0 <= feature[inner].min() <= feature[inner].max() < features:
        raise Unsupported(f"feature {int(np.abs(feature).max())} of an input with {features}")
    value = np.where(inner, numbers["values"], 0).astype(np.float32)
    if np.isnan(value).any():
        raise Unsupported("a threshold is NaN")
    roots = _roots(numbers["treeids"])
    true, false = (_children(numbers, place, inner, side) for side in ("true", "false"))
    _acyclic(roots, true, false, inner)
    classes = tuple(attributes["classlabels_int64s"]) if role == "class" else ()
    outputs = len(classes) if classes else int(attributes.get("n_targets", 1))
    weights, scored = _weights(attributes, role, place, outputs, inner)
    aggregate = AGGREGATES[attributes["aggregate_function"]] if role == "target" else "SUM"
    base = np.asarray(attributes.get("base_values", ()), np.float32)
    missing = numbers["missing"].astype(bool) & inner
    made = Ensemble(
        features, feature, value, modes, true, false, missing, roots, weights, scored, base, aggregate,
        TRANSFORMS[attributes["post_transform"]], classes,
    )  # fmt: skip
    return _settled(made)


def _columns(attributes: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """The node columns, all of one length."""
    modes = np.asarray(attributes.get("nodes_modes", ()), np.int64)
    columns: dict[str, NDArray[Any]] = {"modes": modes}
    for name in ("treeids", "nodeids", "featureids", "truenodeids", "falsenodeids"):
        columns[name] = np.asarray(attributes.get(f"nodes_{name}", ()), np.int64)
    columns["values"] = np.asarray(attributes.get("nodes_values", ()), np.float32)
    count = len(modes)
    given = attributes.get("nodes_missing_value_tracks_true", ()) or (0,) * count
    columns["missing"] = np.asarray(given, np.int64) == 1
    uneven = sorted(name for name, column in columns.items() if column.shape != (count,))
    if not count or uneven:
        raise Unsupported(
            f"nodes_{uneven[0]} does not have one value a node" if uneven else "it has no nodes"
        )
    return columns


def _places(numbers: Mapping[str, NDArray[Any]]) -> dict[tuple[int, int], int]:
    """(tree, node) -> index."""
    keys = list(zip(numbers["treeids"].tolist(), numbers["nodeids"].tolist(), strict=True))
    place = {key: i for i, key in enumerate(keys)}
    if len(place) != len(keys):
        (tree, node), _ = Counter(keys).most_common(1)[0]
        raise Unsupported(f"node {node} of tree {tree} is stated twice")
    return place


def _children(
    numbers: Mapping[str, NDArray[Any]],
    place: Mapping[tuple[int, int], int],
    inner: NDArray[np.bool_],
    side: str,
) -> NDArray[np.int64]:
    found = np.zeros(len(inner), np.int64)
    named = numbers[f"{side}nodeids"].tolist()
    trees = numbers["treeids"].tolist()
    for i in np.flatnonzero(inner).tolist():
        key = (trees[i], named[i])
        if key not in place:
            raise Unsupported(f"tree {key[0]} has no node {key[1]}, the {side} branch of another")
        found[i] = place[key]
    return found


def _roots(trees: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first node of each tree; the nodes of a tree stand together."""
    starts = np.flatnonzero(np.diff(trees, prepend=trees[0] - 1))
    if len(np.unique(trees)) != len(starts):
        raise Unsupported("the nodes of its trees are interleaved")
    return np.asarray(starts, np.int64)


def _acyclic(
    roots: NDArray[np.int64], true: NDArray[np.int64], false: NDArray[np.int64], inner: NDArray[np.bool_]
) -> None:
    """Every node is the child of at most one other, and no path is longer than MAX_DEPTH."""
    children = np.concatenate([true[inner], false[inner]])
    twice = np.flatnonzero(np.bincount(children, minlength=len(inner)) > 1)
    # A tree exported with one leaf may have both branches at it; anything else shared is refused.
    both = true[inner & (true == false)]
    if len(np.setdiff1d(twice, both)) or np.isin(children, roots).any():
        raise Unsupported("a node has two parents: not a tree")
    level, depth = roots, 0
    while len(level):
        depth += 1
        if depth > MAX_DEPTH:
            raise Unsupported(f"a tree is deeper than {MAX_DEPTH} nodes, or has a cycle")
        level = level[inner[level]]
        level = np.unique(np.concatenate([true[level], false[level]]))


def _weights(
    attributes: Mapping[str, Any], role: str, place: Mapping[tuple[int, int], int], outputs: int,
    inner: NDArray[np.bool_],
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:  # fmt: skip
    """What each leaf adds to each sum, [nodes, outputs], and whether it does."""
    ids, nodes, trees = (
        [int(v) for v in attributes.get(f"{role}_{n}", ())] for n in ("ids", "nodeids", "treeids")
    )
    values = np.asarray(attributes.get(f"{role}_weights", ()), np.float32)
    if not len(ids) == len(nodes) == len(trees) == len(values) or not ids:
        raise Unsupported(
            f"{role}_ids, {role}_nodeids, {role}_treeids and {role}_weights differ in length, or are empty"
        )
    if not 1 <= outputs <= 1 << 16 or len(inner) * outputs > 1 << 26:
        raise Unsupported(f"{outputs} outputs of {len(inner)} nodes")
    if min(ids) < 0 or max(ids) >= outputs:
        raise Unsupported(f"{role} {max(ids)} of {outputs}")
    if not np.isfinite(values).all():
        raise Unsupported("a leaf weight is NaN or infinite")
    weights, scored = np.zeros((len(inner), outputs), np.float32), np.zeros((len(inner), outputs), np.bool_)
    for i, key in enumerate(zip(trees, nodes, strict=True)):
        if key not in place:
            raise Unsupported(f"tree {key[0]} has no node {key[1]}, which a weight is given for")
        if inner[place[key]]:
            continue  # onnxruntime reads weights of leaves only
        if scored[place[key], ids[i]]:
            raise Unsupported(f"node {key[1]} of tree {key[0]} adds to {role} {ids[i]} twice")
        weights[place[key], ids[i]], scored[place[key], ids[i]] = values[i], True
    return weights, scored


def _settled(made: Ensemble) -> Ensemble:
    """Refuse what is unsupported in combination, and keep only the sums that are used."""
    leaves = made.mode == LEAF
    if not np.isfinite(made.base).all():
        raise Unsupported("a base value is NaN or infinite")
    if not made.classes:
        return _settled_regressor(made, leaves)
    # onnxruntime leaves a class that no leaf of an example names out of the contest.
    always = _always_scored(made)
    some = made.scored[leaves].any(axis=0)
    if len(made.classes) == 1:
        raise Unsupported("it has one class only")
    if len(made.classes) > 2:
        if not (always | np.arange(made.outputs) < len(made.base)).all() and (some & ~always).any():
            raise Unsupported(
                "some leaves name no weight for some class: give every class a weight in every leaf"
            )
        if len(made.base) not in (0, made.outputs):
            raise Unsupported(f"{len(made.base)} base values for {made.outputs} classes")
        if (~some).any() and not len(made.base):
            raise Unsupported(f"class {made.classes[int(np.argmin(some))]} has no weight in any leaf")
        return made
    return _settled_pair(made, some, always)


def _settled_regressor(made: Ensemble, leaves: NDArray[np.bool_]) -> Ensemble:
    if made.outputs == 1 and made.transform != "NONE":
        raise Unsupported(
            f"post_transform {made.transform} with one target: onnxruntime leaves it out, ONNX does not"
        )
    if len(made.base) not in (0, made.outputs):
        raise Unsupported(f"{len(made.base)} base values for {made.outputs} targets")
    if made.aggregate in ("MIN", "MAX") and not made.scored[leaves].all():
        raise Unsupported(f"{made.aggregate} over leaves that do not all name every target")
    return made


def _settled_pair(made: Ensemble, some: NDArray[np.bool_], always: NDArray[np.bool_]) -> Ensemble:
    """Two classes: one sum (onnxruntime's binary case) or two."""
    if some.all():
        if not always.all():
            raise Unsupported("some leaves name one of the two classes, some both")
        if made.classes != (0, 1) or not (made.weights < 0).any():
            raise Unsupported(
                "two classes with two sums: onnxruntime answers 1 where the second is positive, ONNX the greater; give "
                "the first class one sum, as exporters do"
            )
        if len(made.base):
            raise Unsupported(
                "base values for two classes that both have weights: onnxruntime drops one of the sums"
            )
        return made
    if not some[0]:
        raise Unsupported("only the second class has weights: give them to the first, as exporters do")
    if len(made.base) > 1:
        raise Unsupported("two base values for two classes with one sum")
    if made.threshold and made.transform != "NONE":
        raise Unsupported(
            f"post_transform {made.transform} with one sum of positive weights: onnxruntime leaves it out"
        )
    if not made.threshold and made.transform not in ("NONE", "LOGISTIC"):
        raise Unsupported(f"post_transform {made.transform} of two classes with one sum")
    return replace(made, weights=made.weights[:, :1], scored=made.scored[:, :1])


def _always_scored(made: Ensemble) -> NDArray[np.bool_]:
    """Classes that every leaf of some tree names, so that every example scores them."""
    sizes = np.diff(np.append(made.roots, len(made.mode)))
    tree = np.repeat(np.arange(len(made.roots)), sizes)
    named = np.ones((len(made.roots), made.outputs), np.bool_)
    for i in np.flatnonzero(made.mode == LEAF):
        named[tree[i]] &= made.scored[i]
    return np.asarray(named.any(axis=0))
