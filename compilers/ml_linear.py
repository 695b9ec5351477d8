"""Linear models and preprocessing of ONNX-ML, written as ONNX's own operators before a model is read.

Scaler: (x - offset) * scale. LinearRegressor: Gemm. LinearClassifier: Gemm, ArgMax, and Sigmoid or Softmax of the sums.
Normalizer: x / its norm. ArrayFeatureExtractor: Gather. What does not fit stays as it is and is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from trine.compilers.graph import Array

DOMAIN = "ai.onnx.ml"
LEAST_NORM = np.float32(2.0**-126)  # the smallest normal float32: a vector of zeros stays one


class Expansion:
    """The nodes that replace one, named after it."""

    def __init__(self, model: Any, node: Any, opset: int) -> None:
        from onnx import helper

        self.model, self.node, self.opset = model, node, opset
        self.given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        self.made: list[Any] = []
        self.constants: list[Any] = []
        self.base = node.output[0] if node.output else ""

    def constant(self, role: str, value: Array) -> str:
        """A new initializer."""
        from onnx import numpy_helper

        name = f"{self.base}.{role}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, op: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        """A new node with one output; returns the name of that."""
        from onnx import helper

        name = f"{self.base}.{len(self.made)}"
        output = output or f"{name}.out"
        self.made.append(helper.make_node(op, inputs, [output], name, **attributes))
        return output

    def floats(self, name: str) -> Array:
        """A list attribute of floats, empty where absent."""
        return np.array(self.given.get(name, ()), np.float32)

    def word(self, name: str, default: str) -> str:
        """A text attribute."""
        value = self.given.get(name, default)
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def expand(model: Any) -> None:
    """Replace, in place, every node that has a form in ONNX's own operators."""
    opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    nodes: list[Any] = []
    for node in model.graph.node:
        rule = RULES.get(node.op_type) if node.domain == DOMAIN else None
        expansion = None
        if rule is not None and node.input and node.output:
            try:
                expansion = Expansion(model, node, opset)
                expansion = expansion if rule(expansion) else None
            except (
                TypeError,
                ValueError,
                AttributeError,
            ):  # attributes of other types, which the schema check names
                expansion = None
        if expansion is None:
            nodes.append(node)
            continue
        nodes += expansion.made
        model.graph.initializer.extend(expansion.constants)
    copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)


def scaler(e: Expansion) -> bool:
    offset, scale = e.floats("offset"), e.floats("scale")
    if not offset.size or not scale.size:
        return False
    moved = e.add("Sub", [e.node.input[0], e.constant("offset", offset)])
    e.add("Mul", [moved, e.constant("scale", scale)], e.node.output[0])
    return True


def weights(e: Expansion, outputs: int) -> str | None:
    """Gemm of the input with the coefficients [outputs, features]; None where they do not divide."""
    coefficients, intercepts = e.floats("coefficients"), e.floats("intercepts")
    if (
        outputs < 1
        or not coefficients.size
        or coefficients.size % outputs
        or intercepts.size not in (0, outputs)
    ):
        return None
    inputs = [e.node.input[0], e.constant("weight", coefficients.reshape(outputs, -1))]
    inputs += [e.constant("bias", intercepts)] if intercepts.size else []
    return e.add("Gemm", inputs, transB=1)


def linear_regressor(e: Expansion) -> bool:
    if e.word("post_transform", "NONE") != "NONE":
        return False
    sums = weights(e, int(e.given.get("targets", 1)))
    if sums is None:
        return False
    e.add("Identity", [sums], e.node.output[0])
    return True


def linear_classifier(e: Expansion) -> bool:
    numbers = np.array(e.given.get("classlabels_ints", ()), np.int64)
    names = len(e.given.get("classlabels_strings", ()))
    labels = np.arange(names, dtype=np.int64) if names else numbers
    transform = {"NONE": "Identity", "LOGISTIC": "Sigmoid", "SOFTMAX": "Softmax"}.get(
        e.word("post_transform", "NONE")
    )
    if len(labels) < 2 or transform is None or len(e.node.output) != 2:
        return False
    sums = weights(e, len(labels))
    if sums is None:
        return False
    plain = np.array_equal(labels, np.arange(len(labels)))
    label, scores = e.node.output
    index = e.add("ArgMax", [sums], label if plain else "", axis=1, keepdims=0)
    if not plain:
        e.add("Gather", [e.constant("labels", labels), index], label, axis=0)
    e.add(transform, [sums], scores, **({"axis": 1} if transform == "Softmax" else {}))
    return True


def normalizer(e: Expansion) -> bool:
    op = {"L1": "ReduceL1", "L2": "ReduceL2", "MAX": "ReduceMax"}.get(e.word("norm", "MAX"))
    if op is None:
        return False
    x = e.node.input[0]
    if e.opset >= 18:
        norm = e.add(op, [x, e.constant("axes", np.array([1], np.int64))], keepdims=1)
    else:
        norm = e.add(op, [x], axes=[1], keepdims=1)
    if op != "ReduceMax":  # a greatest value may be negative
        norm = e.add("Max", [norm, e.constant("least", np.array(LEAST_NORM))])
    e.add("Div", [x, norm], e.node.output[0])
    return True


def array_feature_extractor(e: Expansion) -> bool:
    from onnx import numpy_helper

    if len(e.node.input) != 2:
        return False
    data, index = e.node.input
    stored = {tensor.name: tensor for tensor in e.model.graph.initializer}
    if data not in stored:
        if index not in stored:
            return False
        e.add("Gather", [data, e.constant("index", numpy_helper.to_array(stored[index]).ravel())],
              e.node.output[0], axis=-1)  # fmt: skip
        return True
    value = numpy_helper.to_array(stored[data])
    if value.ndim == 0 or value.size == 0 or value.size != value.shape[-1]:
        return False
    if value.dtype.kind in "OUS":  # text labels leave as their index
        value = np.arange(value.size, dtype=np.int64)
    flat = e.add("Reshape", [index, e.constant("flat", np.array([-1], np.int64))])
    e.add("Gather", [e.constant("data", value.ravel()), flat], e.node.output[0], axis=0)
    return True


RULES: dict[str, Callable[[Expansion], bool]] = {
    "ArrayFeatureExtractor": array_feature_extractor, "LinearClassifier": linear_classifier,
    "LinearRegressor": linear_regressor, "Normalizer": normalizer, "Scaler": scaler,
}  # fmt: skip
