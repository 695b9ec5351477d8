"""What scikit-learn, LightGBM and XGBoost exports wrap around their models, taken off before a model is read.

Their opset is often older than what Trine reads, but the few ONNX operators they use have not changed since; scores
leave as a sequence of maps (ZipMap); scaled features are compared with thresholds that can be scaled back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array
from trine.compilers.ml_linear import expand

DOMAIN = "ai.onnx.ml"
TREES = ("TreeEnsembleClassifier", "TreeEnsembleRegressor")
OLDEST = 7  # broadcasting as today
# Operators whose spelling of opset 7 to 12 means the same in opset 13.
UNCHANGED = frozenset(
    {
        "Abs", "Add", "ArgMax", "ArgMin", "Cast", "Concat", "Div", "Exp", "Flatten", "Gather", "Identity", "Log",
        "MatMul", "Mul", "Neg", "Reshape", "Shape", "Sigmoid", "Sub", "Sqrt", "Tanh", "Transpose",
    }
)  # fmt: skip
TURNED = {
    "BRANCH_LEQ": "BRANCH_GTE",
    "BRANCH_LT": "BRANCH_GT",
    "BRANCH_GTE": "BRANCH_LEQ",
    "BRANCH_GT": "BRANCH_LT",
}
FINITE = 0x7F7FFFFF  # key of the greatest float
Function = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def unwrap(model: Any, oldest: int) -> None:
    """Change a model with operators of ONNX-ML in place; any other is left as it is. oldest: opset read anyhow."""
    if not any(node.domain == DOMAIN for node in model.graph.node):
        return
    raise_opset(model, oldest)
    for node in model.graph.node:
        if node.domain == DOMAIN and node.op_type == "ZipMap":
            to_identity(model, node)
    number_labels(model)
    fold_scalers(model)
    expand(model)


def raise_opset(model: Any, oldest: int) -> None:
    """One import of ONNX's own domain, at `oldest` at least where every operator used is UNCHANGED."""
    own = [entry for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    versions = {entry.version for entry in own}
    if len(versions) > 1:
        return  # an error, told elsewhere
    used = {node.op_type for node in model.graph.node if node.domain in ("", "ai.onnx")}
    version = next(iter(versions), oldest)
    if OLDEST <= version < oldest and used <= UNCHANGED:
        version = oldest
    for entry in own:
        model.opset_import.remove(entry)
    model.opset_import.add(domain="", version=version)


def to_identity(model: Any, node: Any) -> None:
    """ZipMap names the columns of a tensor: the tensor itself goes out, under the name of the maps."""
    from onnx import TensorProto

    node.op_type, node.domain = "Identity", ""
    del node.attribute[:]
    for value in model.graph.output:
        if value.name in node.output:
            value.type.Clear()
            value.type.tensor_type.elem_type = TensorProto.FLOAT


def number_labels(model: Any) -> None:
    """Text labels leave as their index: outputs of text become int64."""
    from onnx import TensorProto

    for value in model.graph.output:
        if value.type.tensor_type.elem_type == TensorProto.STRING:
            value.type.tensor_type.elem_type = TensorProto.INT64


def fold_scalers(model: Any) -> None:
    """Trees behind a Scaler read its input instead, with thresholds that decide every float alike.

    fl(fl(x - offset) * scale) never falls (never rises, for a negative scale) as x grows, so that the floats it maps
    below a threshold are those up to some greatest x, which is searched for.
    """
    readers: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    outputs = {value.name for value in model.graph.output}
    for scaler in [node for node in model.graph.node if node.domain == DOMAIN and node.op_type == "Scaler"]:
        if len(scaler.input) != 1 or len(scaler.output) != 1:
            continue
        given = {attribute.name: np.array(attribute.floats, np.float32) for attribute in scaler.attribute}
        trees = readers.get(scaler.output[0], [])
        foldable = trees and all(node.domain == DOMAIN and node.op_type in TREES for node in trees)
        if not foldable or scaler.output[0] in outputs or set(given) != {"offset", "scale"}:
            continue
        if not usable(given["offset"], given["scale"], trees):
            continue
        for node in trees:
            scale_back(node, given["offset"], given["scale"])
            node.input[0] = scaler.input[0]
        model.graph.node.remove(scaler)


def columns_of(node: Any) -> tuple[Any, Any, Any] | None:
    """The attributes nodes_featureids, nodes_values and nodes_modes of a tree node, if all are there and agree."""
    found = {attribute.name: attribute for attribute in node.attribute}
    try:
        feature, value, mode = (found[f"nodes_{name}"] for name in ("featureids", "values", "modes"))
    except KeyError:
        return None
    return (feature, value, mode) if len(feature.ints) == len(value.floats) == len(mode.strings) else None


def splits_of(node: Any) -> Iterator[tuple[int, int, str]]:
    """(index, feature, mode) of every split."""
    columns = columns_of(node)
    if columns is None:
        return
    for i, (feature, mode) in enumerate(zip(columns[0].ints, columns[2].strings, strict=True)):
        if mode != b"LEAF":
            yield i, feature, mode.decode("utf-8", "replace")


def usable(offset: Array, scale: Array, trees: list[Any]) -> bool:
    """Whether the Scaler is monotone in every feature that the trees compare, and they compare by order only."""
    if not (np.isfinite(offset).all() and np.isfinite(scale).all()):
        return False
    for node in trees:
        if columns_of(node) is None:
            return False
        for _, feature, mode in splits_of(node):
            which = [values.size == 1 or 0 <= feature < values.size for values in (offset, scale)]
            if mode not in TURNED or not all(which) or scale[feature if scale.size > 1 else 0] == 0:
                return False
    return True


def scale_back(node: Any, offset: Array, scale: Array) -> None:
    """Move the thresholds of a tree node before its Scaler."""
    columns = columns_of(node)
    if columns is None:
        return
    _, value, mode = columns
    for i, feature, word in splits_of(node):
        o, s = (values[feature if values.size > 1 else 0] for values in (offset, scale))
        value.floats[i] = float(before(np.float32(value.floats[i]), word, o, s))
        if s < 0:
            mode.strings[i] = TURNED[word].encode()


def before(threshold: np.float32, mode: str, offset: np.float32, scale: np.float32) -> np.float32:
    """The threshold on x that decides as `threshold` does on fl(fl(x - offset) * scale).

    Of the floats in order, those on the lower side of the answer are some first ones; bisection finds the last of them.
    For <= and > (as turned, where the scale is negative) that float is the threshold, for < and >= the next one.
    """
    if np.isnan(threshold):
        return threshold  # refused by the reader
    turned = scale < 0
    word = TURNED[mode] if turned else mode
    lower_holds = word in ("BRANCH_LEQ", "BRANCH_LT")

    def lower(key: int) -> bool:
        """Whether the float of a key lies on the lower side."""
        with np.errstate(over="ignore"):
            y = np.float32(np.float32(as_float(key) - offset) * scale)
        holds = {"BRANCH_LEQ": y <= threshold, "BRANCH_LT": y < threshold, "BRANCH_GTE": y >= threshold,
                 "BRANCH_GT": y > threshold}[mode]  # fmt: skip
        return bool(holds) == lower_holds

    low, high = -FINITE - 3, FINITE + 2  # just below -inf, just above inf
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if lower(middle) else (low, middle)
    strict = word in ("BRANCH_LT", "BRANCH_GTE")
    return as_float(min(max(high if strict else low, -FINITE - 2), FINITE + 1))


def as_float(key: int) -> np.float32:
    """The float of an ordered key; -1 is -0.0, and the ends are the infinities."""
    return np.float32(np.array([key if key >= 0 else key ^ 0x7FFFFFFF], np.int32).view(np.float32)[0])
