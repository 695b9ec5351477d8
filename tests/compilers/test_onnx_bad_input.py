"""Files that cannot be used: one clear InputError, whatever is wrong with them."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_models import draw, model, node, small_cnn, tensor

from trine.compilers.onnx_reader import read_onnx
from trine.devices.errors import InputError


def refused(proto: Any, folder: Path, *words: str, **options: Any) -> str:
    """Save, read, and return the message, which must hold every word."""
    content = proto if isinstance(proto, bytes) else proto.SerializeToString()
    (folder / "bad.onnx").write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_onnx(folder / "bad.onnx", **options)
    message = str(caught.value)
    assert message.startswith("bad")
    for word in words:
        assert word in message, message
    return message


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_onnx(tmp_path / "nothing.onnx")


def test_an_empty_file(tmp_path: Path) -> None:
    refused(b"", tmp_path, "empty")


@pytest.mark.parametrize(
    "content", [b"hello world, this is text", bytes(100), b"\x89PNG\r\n\x1a\n", b"PK\x03\x04abc"]
)
def test_not_an_onnx_file(content: bytes, tmp_path: Path) -> None:
    refused(content, tmp_path, "not an ONNX file")


@pytest.mark.parametrize("kept", [0.02, 0.3, 0.6, 0.97])
def test_a_truncated_file(kept: float, tmp_path: Path) -> None:
    whole = small_cnn().SerializeToString()
    refused(whole[: int(len(whole) * kept)], tmp_path)


def test_any_truncation_and_any_damaged_byte_gives_an_answer_or_an_input_error(tmp_path: Path) -> None:
    whole = small_cnn().SerializeToString()
    rng = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(whole[: rng.integers(1, len(whole))] if rng.random() < 0.3 else whole)
        for at in rng.integers(0, len(damaged), 3):
            damaged[at] = rng.integers(0, 256)
        (tmp_path / "bad.onnx").write_bytes(damaged)
        with suppress(InputError):
            read_onnx(tmp_path / "bad.onnx")


def external(folder: Path, location: str, length: str | None = None) -> Any:
    proto = small_cnn()
    weight = proto.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    entry = weight.external_data.add()
    entry.key, entry.value = "location", location
    if length:
        entry = weight.external_data.add()
        entry.key, entry.value = "length", length
    return proto


def test_external_data_missing(tmp_path: Path) -> None:
    refused(external(tmp_path, "weights.bin"), tmp_path, "w", "weights.bin", "missing")


@pytest.mark.parametrize(
    "location",
    ["../secret.bin", "/etc/passwd", "a/../../secret.bin", "..\\secret.bin", "C:\\secret.bin", "", "a\0b"],
)
def test_external_data_outside_the_folder(location: str, tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(draw(1, 4, 1, 7).tobytes())
    inner = tmp_path / "inner"
    inner.mkdir()
    refused(external(inner, location), inner, "outside the model's folder")


def test_external_data_through_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(draw(1, 4, 1, 7).tobytes())
    inner = tmp_path / "inner"
    inner.mkdir()
    os.symlink(tmp_path / "secret.bin", inner / "weights.bin")
    refused(external(inner, "weights.bin"), inner, "symbolic link")
    os.symlink(tmp_path, inner / "linked")
    refused(external(inner, "linked/secret.bin"), inner, "symbolic link")


def test_external_data_that_is_no_file_or_too_short(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    refused(external(tmp_path, "sub"), tmp_path, "not a plain file")
    (tmp_path / "short.bin").write_bytes(b"1234")
    refused(external(tmp_path, "short.bin", "112"), tmp_path, "external data")
    refused(external(tmp_path, "short.bin"), tmp_path, "w")
    refused(external(tmp_path, "short.bin", "-5"), tmp_path, "external data")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite(value: float, tmp_path: Path) -> None:
    weight, bias = draw(1, 3, 4), draw(2, 3)
    weight[1, 2] = bias[0] = value
    proto = model(
        [node("Gemm", ["x", "w", "b"], ["y"], transB=1)],
        [tensor("x", ["n", 4])],
        ["y"],
        {"w": weight, "b": bias},
    )
    refused(proto, tmp_path, "weight w holds NaN or infinity in 1 of 12", "weight b")


def test_a_damaged_weight(tmp_path: Path) -> None:
    proto = small_cnn()
    proto.graph.initializer[0].raw_data = proto.graph.initializer[0].raw_data[:-4]
    refused(proto, tmp_path, "tensor w is damaged")


def test_dynamic_shapes_not_given(tmp_path: Path) -> None:
    refused(small_cnn("n", "time"), tmp_path, "input x", "axis 2 (time)", "--shape x=1,1,128")
    unknown = model([node("Relu", ["x"], ["y"])], [tensor("x", None)], ["y"])
    refused(unknown, tmp_path, "input x states no shape", "--shape")


def test_shapes_that_do_not_fit_the_model(tmp_path: Path) -> None:
    dynamic = small_cnn("n", "time")
    refused(dynamic, tmp_path, "names xx", "did you mean x", shapes={"x": (1, 1, 32), "xx": (1, 2)})
    refused(dynamic, tmp_path, "2 axes", shapes={"x": (1, 32)})
    refused(dynamic, tmp_path, "must be 1", shapes={"x": (4, 1, 32)})
    refused(dynamic, tmp_path, "Gemm", shapes={"x": (1, 1, 40)})


def test_a_fixed_batch(tmp_path: Path) -> None:
    refused(small_cnn(8), tmp_path, "input x", "fixed batch of 8", "--shape x=1,1,32")


def test_a_scalar_input(tmp_path: Path) -> None:
    refused(model([node("Relu", ["x"], ["y"])], [tensor("x", [])], ["y"]), tmp_path, "scalar")


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.STRING, TensorProto.COMPLEX64, 77])
def test_inputs_of_types_no_graph_holds(kind: int, tmp_path: Path) -> None:
    refused(
        model([node("Relu", ["x"], ["y"])], [tensor("x", ["n", 4], kind)], ["y"]),
        tmp_path,
        "input x",
        "export the model with an input of float32",
    )


def test_sequence_map_and_optional_inputs(tmp_path: Path) -> None:
    element = helper.make_tensor_type_proto(TensorProto.FLOAT, ["n", 4])
    kinds = {
        "sequence": helper.make_sequence_type_proto(element),
        "map": helper.make_map_type_proto(TensorProto.INT64, element),
        "optional": helper.make_optional_type_proto(element),
    }
    for kind, proto in kinds.items():
        inputs = [helper.make_value_info("x", proto), tensor("z", ["n", 4])]
        refused(
            model([node("Relu", ["z"], ["y"])], inputs, ["y"]), tmp_path, f"input x is a {kind}, not a tensor"
        )


def test_a_cycle_and_an_unsorted_graph(tmp_path: Path) -> None:
    cycle = [node("Add", ["x", "b"], ["a"]), node("Relu", ["a"], ["b"])]
    refused(model(cycle, [tensor("x", ["n", 4])], ["b"]), tmp_path, "reads b before it is written", "cycle")
    unsorted = [node("Relu", ["a"], ["y"]), node("Relu", ["x"], ["a"])]
    refused(
        model(unsorted, [tensor("x", ["n", 4])], ["y"]), tmp_path, "reads a before it is written", "unsorted"
    )


def test_a_missing_initializer(tmp_path: Path) -> None:
    message = refused(model([node("Gemm", ["x", "w", "b"], ["y"])], [tensor("x", ["n", 4])], ["y"]), tmp_path)
    assert "reads w, which nothing writes" in message
    assert "reads b, which nothing writes" in message


def test_no_nodes_no_outputs_no_inputs(tmp_path: Path) -> None:
    refused(model([], [tensor("x", ["n", 4])], ["x"]), tmp_path, "no nodes")
    refused(model([node("Relu", ["x"], ["y"])], [tensor("x", ["n", 4])], []), tmp_path, "no outputs")
    refused(model([node("Relu", ["w"], ["y"])], [], ["y"], {"w": draw(1, 4)}), tmp_path, "no inputs")
    refused(
        model([node("Relu", ["x"], ["y"])], [tensor("x", ["n", 4])], ["q"]), tmp_path, "q is never written"
    )


def test_nodes_that_are_not_valid_onnx(tmp_path: Path) -> None:
    nodes = [node("Relu", ["x"], ["r"], slope=2.0), node("Conv", ["r"], ["y"]), node("MaxPool", ["r"], ["p"])]
    proto = model(nodes, [tensor("x", ["n", 4, 8])], ["y"])
    refused(
        proto, tmp_path, "the_Relu_r (Relu) is not valid ONNX", "the_Conv_y (Conv)", "the_MaxPool_p (MaxPool)"
    )


def test_names_written_twice(tmp_path: Path) -> None:
    twice = [node("Relu", ["x"], ["y"]), node("Tanh", ["x"], ["y"])]
    refused(model(twice, [tensor("x", ["n", 4])], ["y"]), tmp_path, "y is written twice")


def test_nodes_with_the_same_name_are_told_apart(tmp_path: Path) -> None:
    nodes = [
        node("Relu", ["x"], ["a"], name="same"),
        node("Tanh", ["a"], ["b"], name="same"),
        node("Tanh", ["b"], ["y"], name=""),
    ]
    onnx.save(model(nodes, [tensor("x", ["n", 4])], ["y"]), tmp_path / "net.onnx")
    names = [n.name for n in read_onnx(tmp_path / "net.onnx").nodes]
    assert len(set(names)) == 3
    assert all(names)


@pytest.mark.parametrize("opset", [0, 99])
def test_an_opset_out_of_range(opset: int, tmp_path: Path) -> None:
    proto = model([node("Relu", ["x"], ["y"])], [tensor("x", ["n", 4])], ["y"], opset=opset)
    refused(proto, tmp_path, f"opset {opset} is not supported", f"13 to {onnx.defs.onnx_opset_version()}")


def test_the_newest_opset_is_read(tmp_path: Path) -> None:
    newest = onnx.defs.onnx_opset_version()
    onnx.save(
        model([node("Relu", ["x"], ["y"])], [tensor("x", ["n", 4])], ["y"], opset=newest),
        tmp_path / "net.onnx",
    )
    assert [n.op for n in read_onnx(tmp_path / "net.onnx").nodes] == ["Relu"]


def test_no_opset_of_onnx_itself(tmp_path: Path) -> None:
    proto = model([node("Relu", ["x"], ["y"])], [tensor("x", ["n", 4])], ["y"])
    proto.opset_import[0].domain = "elsewhere"
    refused(proto, tmp_path, "no opset of ONNX's own domain")


def test_a_function_that_calls_itself(tmp_path: Path) -> None:
    body = [helper.make_node("Loop_", ["a"], ["o"], domain="local")]
    function = helper.make_function("local", "Loop_", ["a"], ["o"], body, [helper.make_opsetid("local", 1)])
    nodes = [node("Loop_", ["x"], ["y"], domain="local")]
    refused(model(nodes, [tensor("x", ["n", 4])], ["y"], functions=[function], domains=("local",)), tmp_path)


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    nodes = [node("Gemm", ["x", "w"], ["y"]), node("Relu", ["nowhere"], ["z"])]
    proto = model(nodes, [tensor("x", ["n", "time"])], ["y"], {"w": np.full((4, 4), np.nan, np.float32)})
    refused(proto, tmp_path, "weight w", "axis 1 (time)", "nowhere")


@pytest.mark.parametrize("opset", [7, 12])
def test_an_older_opset_is_converted(opset: int, tmp_path: Path) -> None:
    proto = model([node("Relu", ["x"], ["y"])], [tensor("x", ["n", 4])], ["y"], opset=opset)
    onnx.save(proto, tmp_path / "net.onnx")
    assert [n.op for n in read_onnx(tmp_path / "net.onnx").nodes] == ["Relu"]
