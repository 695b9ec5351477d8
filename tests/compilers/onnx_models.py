"""Small ONNX models for the tests of the front end."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from trine.compilers.graph import Array

DATA = Path(os.environ.get("TRINE_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))


def reference(model: Any, inputs: dict[str, Array]) -> Array:
    """onnxruntime's first output, its optimisations off."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    return session.run(None, inputs)[0]


def agree(ours: Array, theirs: Array) -> None:
    """Equal shape and type, and within 1e-5 of the largest value."""
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5 * max(float(np.abs(theirs).max()), 1e-3))


def node(op: str, inputs: list[str], outputs: list[str], **attributes: Any) -> Any:
    return helper.make_node(
        op, inputs, outputs, attributes.pop("name", f"the_{op}_{outputs[0]}"), **attributes
    )


def tensor(name: str, shape: Any, kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def model(
    nodes: list[Any],
    inputs: list[Any],
    outputs: list[str],
    constants: dict[str, Array] | None = None,
    opset: int = 18,
    functions: list[Any] | None = None,
    domains: tuple[str, ...] = (),
) -> Any:
    """A ModelProto whose outputs state a type and no shape."""
    values = []
    for name in outputs:
        value = helper.make_empty_tensor_value_info(name)
        value.type.tensor_type.elem_type = TensorProto.FLOAT
        values.append(value)
    weights = [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()]
    graph = helper.make_graph(nodes, "net", inputs, values, weights)
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9, functions=functions or [])


def draw(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).normal(0, 0.5, shape).astype(np.float32)


def small_cnn(batch: Any = "n", length: Any = 32) -> Any:
    """Conv, BatchNormalization, Relu, MaxPool, Flatten by shape arithmetic, Dropout, Gemm."""
    nodes = [
        node("Conv", ["x", "w"], ["c"], pads=[3, 3], kernel_shape=[7]),
        node("BatchNormalization", ["c", "gamma", "beta", "mean", "var"], ["b"]),
        node("Relu", ["b"], ["r"]),
        node("MaxPool", ["r"], ["p"], kernel_shape=[2], strides=[2]),
        node("Shape", ["p"], ["s"]),
        node("Gather", ["s", "zero"], ["n"], axis=0),
        node("Concat", ["n", "minus_one"], ["target"], axis=0),
        node("Reshape", ["p", "target"], ["f"]),
        node("Dropout", ["f"], ["d"]),
        node("Gemm", ["d", "v", "bias"], ["y"], transB=1),
    ]
    constants = {
        "w": draw(1, 4, 1, 7), "gamma": 1 + draw(2, 4), "beta": draw(3, 4), "mean": draw(4, 4),
        "var": np.abs(draw(5, 4)) + 0.1,
        "zero": np.array([0], np.int64), "minus_one": np.array([-1], np.int64),
        "v": draw(6, 3, 64), "bias": draw(7, 3),
    }  # fmt: skip
    return model(nodes, [tensor("x", [batch, 1, length])], ["y"], constants)
