"""Runs the command line, here or as a program of its own, and makes small models and data for it."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from trine import cli

Array = NDArray[Any]
TRINE = (sys.executable, "-c", "from trine.cli import main; main()")


@dataclass(frozen=True)
class Answer:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """stderr with its lines joined."""
        return " ".join(self.err.split())


@dataclass(frozen=True)
class Compiled:
    """A compilation: what went in, what came out."""

    model: Path
    data: Path
    out: Path
    answer: Answer

    @property
    def record(self) -> Any:
        """deployment.json."""
        return json.loads((self.out / "deployment.json").read_text())


def run(*words: object) -> Answer:
    """A command in this process."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    arguments = ["trine", *map(str, words)]
    with (
        mock.patch.object(sys, "argv", arguments),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            cli.main()
        except SystemExit as leave:
            code = leave.code if isinstance(leave.code, int) else int(leave.code is not None)
    return Answer(code, out.getvalue(), err.getvalue())


def shell(*words: object, head: Sequence[str] = TRINE, **options: Any) -> Answer:
    """A command as a program of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **options.pop("env", {})}
    done = subprocess.run(
        [*head, *map(str, words)], capture_output=True, text=True, env=environment, timeout=120, **options
    )
    return Answer(done.returncode, done.stdout, done.stderr)


def tree(folder: Path) -> dict[str, str]:
    """Everything below a folder, hidden files too: a file's hash, a folder's name."""
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        if p.is_file()
        else "folder"
        for p in sorted(folder.rglob("*"))
    }


def draw(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).normal(0, 0.5, shape).astype(np.float32)


def node(op: str, inputs: list[str], output: str, **attributes: Any) -> Any:
    return helper.make_node(op, inputs, [output], attributes.pop("name", f"the_{output}"), **attributes)


def save(
    path: Path,
    nodes: list[Any],
    inputs: dict[str, Sequence[Any]],
    outputs: list[str],
    constants: dict[str, Array],
) -> Path:
    """An ONNX file; input shapes with the batch axis first."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()]
    results = []
    for name in outputs:
        value = helper.make_empty_tensor_value_info(name)
        value.type.tensor_type.elem_type = TensorProto.FLOAT
        results.append(value)
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "net", values, results, weights)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    path.write_bytes(proto.SerializeToString())
    return path


def small_net(path: Path, length: Any = 16, weight: Array | None = None) -> Path:
    """Conv, Relu, MaxPool, Flatten, Gemm: x [n, 1, length] -> y [n, 3]."""
    nodes = [
        node("Conv", ["x", "w"], "c", pads=[1, 1], kernel_shape=[3]),
        node("Relu", ["c"], "r"),
        node("MaxPool", ["r"], "p", kernel_shape=[2], strides=[2]),
        node("Flatten", ["p"], "f"),
        node("Gemm", ["f", "v", "b"], "y", transB=1),
    ]
    constants = {"w": draw(1, 4, 1, 3) if weight is None else weight, "v": draw(2, 3, 32), "b": draw(3, 3)}
    return save(path, nodes, {"x": ["n", 1, length]}, ["y"], constants)


def wide_net(path: Path, channels: int, length: int) -> Path:
    """Two convolutions of many channels, GlobalAveragePool, Gemm: x [n, 1, length] -> y [n, 2]."""
    nodes = [
        node("Conv", ["x", "w"], "c", pads=[1, 1], kernel_shape=[3]),
        node("Relu", ["c"], "r"),
        node("Conv", ["r", "u"], "d", pads=[1, 1], kernel_shape=[3]),
        node("Relu", ["d"], "s"),
        node("GlobalAveragePool", ["s"], "g"),
        node("Flatten", ["g"], "f"),
        node("Gemm", ["f", "v", "b"], "y", transB=1),
    ]
    constants = {
        "w": draw(1, channels, 1, 3), "u": draw(2, channels, channels, 3) / channels**0.5,
        "v": draw(3, 2, channels), "b": draw(4, 2),
    }  # fmt: skip
    return save(path, nodes, {"x": ["n", 1, length]}, ["y"], constants)


def small_data(path: Path, count: int = 24, **changed: Any) -> Path:
    """Examples for `small_net`, labelled by the float network itself."""
    arrays = {
        "x": draw(9, count, 1, 16),
        "y": np.arange(count) % 3,
        "group": np.arange(count) // 4,
        **changed,
    }
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    return path


def float_answers(model: Path, x: Array) -> Array:
    """onnxruntime's first output for a float model."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model.read_bytes(), providers=["CPUExecutionProvider"])
    result: Array = session.run(None, {"x": x})[0]
    return result


def load(path: Path) -> Any:
    return onnx.load(path)
