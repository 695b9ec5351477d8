"""Attributes of ONNX-ML's tree operators as a normal form holds them, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trine.compilers.graph import Node
from trine.compilers.ml_models import AGGREGATES, LEAF, MODES, TRANSFORMS
from trine.compilers.operators import SourceNode, Unsupported

_NODES = (
    "nodes_falsenodeids", "nodes_featureids", "nodes_missing_value_tracks_true", "nodes_modes", "nodes_nodeids",
    "nodes_treeids", "nodes_truenodeids", "nodes_values", "nodes_values_as_tensor", "base_values",
    "base_values_as_tensor", "post_transform",
)  # fmt: skip
REGRESSOR = (
    *_NODES, "aggregate_function", "n_targets", "target_ids", "target_nodeids", "target_treeids", "target_weights",
    "target_weights_as_tensor",
)  # fmt: skip
CLASSIFIER = (
    *_NODES, "class_ids", "class_nodeids", "class_treeids", "class_weights", "class_weights_as_tensor",
    "classlabels_int64s", "classlabels_strings",
)  # fmt: skip
OURS = ("features", "names")  # attributes of normal forms that ONNX does not know


def text(value: Any) -> str:
    """An attribute's bytes or string as text."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def plain(attributes: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Those attributes as a normal form holds them: numbers and tuples of numbers only.

    Words become their index in MODES, TRANSFORMS, AGGREGATES; text labels become 0, 1, ... and `names`, their bytes.
    """
    found: dict[str, Any] = {}
    for name in names:
        value = attributes.get(name)
        if name.endswith("_as_tensor"):
            if value is not None and np.size(value.numpy() if hasattr(value, "numpy") else value):
                raise Unsupported("its numbers are double; export the model with float32 inputs")
        elif name == "nodes_modes":
            found[name] = tuple(_index(MODES, mode, "node mode") for mode in value or ())
        elif name == "post_transform":
            found[name] = _index(TRANSFORMS, value if value is not None else "NONE", name)
        elif name == "aggregate_function":
            found[name] = _index(AGGREGATES, value if value is not None else "SUM", name)
        elif name == "classlabels_strings":
            if value:
                found["classlabels_int64s"] = tuple(range(len(value)))
                found["names"] = tuple("\0".join(map(text, value)).encode())
        elif value is not None and np.size(value):
            found[name] = tuple(np.asarray(value).tolist()) if np.ndim(value) else value
    if "classlabels_strings" in names and not found.get("classlabels_int64s"):
        raise Unsupported("it states no class labels")
    return found


def spelled(node: Node) -> dict[str, Any]:
    """The attributes of a normal form as ONNX writes them; text labels stay numbers."""
    written = {name: value for name, value in node.attributes.items() if name not in OURS}
    words = {"post_transform": TRANSFORMS, "aggregate_function": AGGREGATES}
    written |= {name: known[written[name]] for name, known in words.items() if name in written}
    return written | {"nodes_modes": [MODES[mode] for mode in written["nodes_modes"]]}


def names_of(node: Node) -> tuple[str, ...]:
    """The labels' text, where they have one."""
    stored = bytes(node.attributes.get("names", ()))
    return tuple(stored.decode("utf-8", "replace").split("\0")) if stored else ()


def _index(known: Sequence[str], word: Any, what: str) -> int:
    if isinstance(word, int):
        return word
    if text(word) not in known:
        raise Unsupported(f"{what} {text(word)}")
    return known.index(text(word))


def features_of(source: SourceNode) -> int:
    """How many features the input has. Raises Unsupported where it is no float32 vector."""
    if source.type() != "float32":
        raise Unsupported(f"its input is {source.type()}; float32 is supported")
    shape = source.shape()
    if len(shape) != 1:
        raise Unsupported(f"its input has shape {shape} an example; a vector of features is wanted")
    return shape[0]


def stump(
    role: str, outputs: int, seed: int = 0, modes: Sequence[str] = ("BRANCH_LEQ",), one_sum: bool = False,
    positive: bool = False, transform: str = "NONE", aggregate: str = "SUM", **changed: Any,
) -> dict[str, Any]:  # fmt: skip
    """Attributes of eight trees of depth two over three features, for the cases of the two operators."""
    rng = np.random.default_rng(seed)
    rows: dict[str, list[Any]] = {
        name: [] for name in ("treeids", "nodeids", "featureids", "modes", "values")
    }
    for tree in range(8):
        rows["treeids"] += [tree] * 7
        rows["nodeids"] += list(range(7))
        rows["featureids"] += [int(f) for f in rng.integers(0, 3, 7)]
        rows["modes"] += [MODES.index(modes[(tree + i) % len(modes)]) if i < 3 else LEAF for i in range(7)]
        rows["values"] += np.round(rng.normal(0, 1, 7), 1).astype(np.float32).tolist()
    children = {"truenodeids": [1, 3, 5, 0, 0, 0, 0] * 8, "falsenodeids": [2, 4, 6, 0, 0, 0, 0] * 8}
    ids = [0] if one_sum else list(range(outputs))
    leaves = [(tree, node, i) for tree in range(8) for node in range(3, 7) for i in ids]
    weights = rng.normal(0, 0.2, len(leaves)) if not positive else rng.random(len(leaves)) / 8
    attributes: dict[str, Any] = {f"nodes_{n}": tuple(values) for n, values in {**rows, **children}.items()}
    attributes |= {
        f"{role}_treeids": tuple(leaf[0] for leaf in leaves), f"{role}_nodeids": tuple(leaf[1] for leaf in leaves),
        f"{role}_ids": tuple(leaf[2] for leaf in leaves),
        f"{role}_weights": tuple(weights.astype(np.float32).tolist()), "features": 3,
        "post_transform": TRANSFORMS.index(transform),
    }  # fmt: skip
    if role == "class":
        return attributes | {"classlabels_int64s": tuple(range(outputs))} | changed
    return attributes | {"n_targets": outputs, "aggregate_function": AGGREGATES.index(aggregate)} | changed
