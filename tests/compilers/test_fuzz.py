"""A bounded run of the fuzzer, and what earlier runs found: each of these files once ended in a traceback or worse."""

from __future__ import annotations

import io
import sys
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from trine.compilers.cases import case_graph
from trine.compilers.examples import Examples
from trine.compilers.graph import Tensor
from trine.compilers.onnx_reader import read_onnx
from trine.compilers.onnx_writer import write_onnx
from trine.compilers.operators import Case, operators
from trine.devices import EdgeDevice, load_device
from trine.devices.errors import InputError
from trine.edge.checking import check_edge
from trine.edge.quantize import quantize

FUZZ = Path(__file__).parent.parent / "fuzz"
SECONDS = 20.0
FIRST_SEED = 1


def test_a_bounded_run_finds_nothing(tmp_path: Path) -> None:
    sys.path.insert(0, str(FUZZ))
    try:
        from runner import run
    finally:
        sys.path.remove(str(FUZZ))
    verdicts: Counter[str] = Counter()
    findings = []
    for answer in run(FIRST_SEED, SECONDS, 1, 600, tmp_path):
        verdicts[answer["verdict"]] += 1
        findings += [answer] if answer["verdict"] == "finding" else []
    assert findings == []
    assert verdicts["refused"] > 10
    assert verdicts["ok"] > 1


def model(
    nodes: list[Any], inputs: dict[str, tuple[int, list[int | str]]], constants: dict[str, Any] | None = None,
    outputs: tuple[str, ...] = ("y",), opset: int = 21,
) -> onnx.ModelProto:  # fmt: skip
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


X = {"x": (TensorProto.FLOAT, ["n", 4, 6])}
relu = helper.make_node("Relu", ["x"], ["y"])


def versions(**changed: int) -> onnx.ModelProto:
    made = model([relu], X)
    made.ir_version = changed.get("ir", 10)
    made.opset_import[1].version = changed.get("ml", 3)
    return made


def referring() -> Any:
    node = helper.make_node("Softmax", ["x"], ["y"], axis=1)
    node.attribute[0].ref_attr_name = "x0"
    return node


FOUND: dict[str, tuple[Callable[[], onnx.ModelProto], str]] = {
    "a huge IR version": (lambda: versions(ir=2**40), "damaged: it states the versions"),
    "a huge opset of another domain": (lambda: versions(ml=-(2**63)), "damaged: it states the versions"),
    "an opset of a domain that is no text": (
        lambda: onnx.load_model_from_string(versions().SerializeToString().replace(b"ai.onnx.ml", b"ai.\xd5nnx.ml")),
        "an opset's domain is b'ai"),
    "Split into another number than it has outputs": (
        lambda: model([helper.make_node("Split", ["x"], ["y", "z"], num_outputs=1)], X), "num_outputs is 1"),
    "GatherND with negative batch_dims": (
        lambda: model([helper.make_node("GatherND", ["x", "x"], ["y"], batch_dims=-(2**31))],
                      {"x": (TensorProto.INT64, ["n", 4, 3])}), "batch_dims is -2147483648"),
    "an axis beyond 32 bits": (
        lambda: model([helper.make_node("LayerNormalization", ["x", "c"], ["y"], axis=2**31)], X,
                      {"c": np.float32(1)}), "axis is 2147483648"),
    "Einsum with half an ellipsis": (
        lambda: model([helper.make_node("Einsum", ["x"], ["y"], equation="../../x")], X), "equation '../../x'"),
    "an attribute that holds graphs": (
        lambda: model([helper.make_node("ReduceMax", ["x"], ["y"], keepdims=helper.make_graph([], "g", [], []))], X),
        "Mismatched attribute type"),
    "CumSum along no axis": (
        lambda: model([helper.make_node("CumSum", ["x", "c"], ["y"])], X, {"c": np.zeros(0, np.int64)}), "one value"),
    "Trilu with two diagonals": (
        lambda: model([helper.make_node("Trilu", ["x", "c"], ["y"])], X, {"c": np.array([1, -1])}), "one value"),
    "Softmax of truth values": (
        lambda: model([helper.make_node("Softmax", ["x"], ["y"])], {"x": (TensorProto.BOOL, ["n", 4])}), "is bool"),
    "an absent operand": (
        lambda: model([helper.make_node("Max", ["x", "", "x"], ["y"])], X), "input 2 is absent"),
    "MatMul with a scalar": (
        lambda: model([helper.make_node("MatMul", ["x", "c"], ["y"])], X, {"c": np.float32(2)}), "MatMul"),
    "an input of 2^63 values": (
        lambda: model([relu], {"x": (TensorProto.FLOAT, ["n", 2**31 - 1, 6, 5])}), "values an example"),
    "more zero points than scales": (
        lambda: model([helper.make_node("DequantizeLinear", ["c", "s", "z"], ["w"]),
                       helper.make_node("Add", ["x", "w"], ["y"])], X,
                      {"c": np.ones(6, np.int8), "s": np.float32([1]), "z": np.zeros(3, np.int8)}), "3 zero points"),
    "a sequence longer than its steps": (
        lambda: model([helper.make_node("GRU", ["t", "w", "r", "", "l"], ["y"], hidden_size=2),
                       helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2])][::-1], X,
                      {"w": np.ones((1, 6, 6), np.float32), "r": np.ones((1, 6, 2), np.float32),
                       "l": np.array([9], np.int32)}), "sequence_lens from 9 to 9 of 4 steps"),
    "a padding value of two numbers": (
        lambda: model([helper.make_node("Pad", ["x", "c", "v"], ["y"])], X,
                      {"c": np.zeros(6, np.int64), "v": np.float32([1, 2])}), "the padding value .* one value"),
    "more zero points than scales, of an activation": (
        lambda: model([helper.make_node("QuantizeLinear", ["x", "s", "z"], ["w"]),
                       helper.make_node("DequantizeLinear", ["w", "s"], ["y"])], X,
                      {"s": np.float32([1]), "z": np.zeros(3, np.uint8)}), "zero points for"),
    "recurrent weights without axes": (
        lambda: model([helper.make_node("RNN", ["t", "w", "r"], ["y"]),
                       helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2])][::-1], X,
                      {"w": np.ones((1, 2, 6), np.float32), "r": np.float32(1)}), "it has 3 axes"),
    "an initial state of another size": (
        lambda: model([helper.make_node("GRU", ["t", "w", "r", "", "", "h"], ["y"], hidden_size=2),
                       helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2])][::-1], X,
                      {"w": np.ones((1, 6, 6), np.float32), "r": np.ones((1, 6, 2), np.float32),
                       "h": np.ones((1, 1, 5), np.float32)}), "the initial state h is"),
    "a column out of one number": (
        lambda: model([helper.make_node("ArrayFeatureExtractor", ["c", "x"], ["y"], domain="ai.onnx.ml")],
                      {"x": (TensorProto.INT64, ["n", 1])}, {"c": np.float32(1)}), "ArrayFeatureExtractor"),
    "a region of interest in place of the image": (
        lambda: model([helper.make_node("Resize", ["c", "x", "", "s"], ["y"])], {"x": (TensorProto.FLOAT, ["n"])},
                      {"c": np.ones((1, 2), np.float32), "s": np.array([1, 4])}), "constants only"),
    "a pool padded to 2^60 values": (
        lambda: model([helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2**60], auto_pad="SAME_LOWER")], X),
        "values of its input"),
    "n-grams of any length": (
        lambda: model([helper.make_node(
            "TfIdfVectorizer", ["c"], ["y"], max_gram_length=2**62, min_gram_length=1, max_skip_count=0, mode="TF",
            ngram_counts=[0], ngram_indexes=[0], pool_int64s=[1])], X, {"c": np.array([1, 2])}),
        "does not depend|TfIdf"),
    "an attribute of no function": (
        lambda: model([referring()], X), "refers to 'x0', but the node is in no function"),
    "a mode that is no text": (
        lambda: model([helper.make_node("Pad", ["x", "c"], ["y"], mode=b"\xff\xfe")], X, {"c": np.zeros(6, np.int64)}),
        "Pad"),
    "coefficients that are no numbers": (
        lambda: model([helper.make_node("LinearRegressor", ["x"], ["y"], domain="ai.onnx.ml", coefficients=b"x")],
                      {"x": (TensorProto.FLOAT, ["n", 4])}), "LinearRegressor"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "words"), FOUND.values(), ids=FOUND)
def test_what_was_found_is_refused_with_a_reason(
    make: Callable[[], onnx.ModelProto], words: str, tmp_path: Path
) -> None:
    (tmp_path / "model.onnx").write_bytes(make().SerializeToString())
    with pytest.raises(InputError, match=words):
        read_onnx(tmp_path / "model.onnx")


def test_a_state_space_model_whose_input_lost_an_axis(tmp_path: Path) -> None:
    made = write_onnx(case_graph("SelectiveScan", operators()["SelectiveScan"].cases[0]))
    refused = 0
    for value in made.graph.input:
        for at in range(len(value.type.tensor_type.shape.dim)):
            changed = onnx.ModelProto()
            changed.CopyFrom(made)
            (given,) = (v for v in changed.graph.input if v.name == value.name)
            del given.type.tensor_type.shape.dim[at]
            (tmp_path / "model.onnx").write_bytes(changed.SerializeToString())
            with pytest.raises(InputError):
                read_onnx(tmp_path / "model.onnx")
            refused += 1
    assert refused > 8


def test_an_input_handed_through_keeps_its_shape(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(model([relu], X, outputs=("y", "x")).SerializeToString())
    graph = read_onnx(tmp_path / "model.onnx")
    assert graph.outputs == ("y", "x")
    assert graph.shape("x") == (4, 6)


def test_whole_numbers_are_checked_as_they_are(tmp_path: Path) -> None:
    made = model([helper.make_node("Mul", ["x", "x"], ["y"])], {"x": (TensorProto.INT64, ["n", 4])})
    (tmp_path / "model.onnx").write_bytes(made.SerializeToString())
    device = load_device("stm32l4r5")
    assert isinstance(device, EdgeDevice)
    assert check_edge(tmp_path / "model.onnx", device, {}).ok


@pytest.mark.parametrize("size", [1e-45, 1e-38, 3e37, 3e38], ids=str)
def test_calibration_with_extreme_numbers(size: float, tmp_path: Path) -> None:
    """A histogram's bins once left the integers; very large numbers may be refused, with a reason."""
    weight = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    graph = case_graph("Gemm", Case("dense", ((4,),), {}, (weight, np.float32([0.5, -1, 2]))))
    x = np.float32(size) * np.sign(np.random.default_rng(1).normal(size=(9, 4))).astype(np.float32)
    np.savez(tmp_path / "calib.npz", x0=x)
    examples = Examples.open(tmp_path / "calib.npz", graph.inputs, require_varied=True)
    problem = ""
    try:
        quantize(graph, examples)
    except InputError as error:
        problem = str(error)
    assert not problem or "cannot" in problem


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4,, }",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (2**40,), }",
        b"{'descr': [('a','<f4')], 'fortran_order': False, 'shape': (3, 4), }",
        b"((((((((" * 20,
    ],
)
@pytest.mark.parametrize("version", [b"\x01\x00", b"\x02\x00", b"\x03\x00"], ids=["1.0", "2.0", "3.0"])
def test_npy_headers_that_lie(header: bytes, version: bytes, tmp_path: Path) -> None:
    text = header.ljust(118) + b"\n"
    length = len(text).to_bytes(2 if version == b"\x01\x00" else 4, "little")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x0.npy", b"\x93NUMPY" + version + length + text + bytes(48))
    (tmp_path / "calib.npz").write_bytes(file.getvalue())
    with pytest.raises(InputError, match="x0"):
        Examples.open(tmp_path / "calib.npz", (Tensor("x0", (4,)),), require_varied=True)
