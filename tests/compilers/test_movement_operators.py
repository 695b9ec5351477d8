"""Operators that move values and normalise: several outputs, the batch axis, and what is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx_models import model, node, tensor

from trine.compilers.graph import Array, Graph
from trine.compilers.onnx_reader import UnsupportedNodes, read_onnx
from trine.compilers.onnx_writer import write_onnx


def read(tmp_path: Path, built: Any) -> Graph:
    onnx.save(built, tmp_path / "net.onnx")
    return read_onnx(tmp_path / "net.onnx")


def in_onnxruntime(built: Any, feed: dict[str, Array]) -> list[Array]:
    session = onnxruntime.InferenceSession(built.SerializeToString(), providers=["CPUExecutionProvider"])
    return list(session.run(None, feed))


def integers(*values: int) -> Array:
    return np.array(values, np.int64)


def x(*shape: int, count: int = 3) -> Array:
    return np.random.default_rng(sum(shape)).normal(size=(count, *shape)).astype(np.float32)


@pytest.mark.parametrize("names", [["a", "b", "c"], ["a", "c"], ["b"]])
def test_split_hands_out_what_is_read(tmp_path: Path, names: list[str]) -> None:
    built = model([node("Split", ["x", "s"], ["a", "b", "c"], axis=1)], [tensor("x", ["n", 7, 4])], names,
                  {"s": integers(2, 4, 1)})  # fmt: skip
    graph = read(tmp_path, built)
    feed = {"x": x(7, 4)}
    found = graph.run(feed)
    assert list(found) == names
    for name, wanted in zip(names, in_onnxruntime(built, feed), strict=True):
        assert np.array_equal(found[name], wanted)
    again = read(tmp_path, write_onnx(graph))
    for name, values in again.run(feed).items():
        assert np.array_equal(values, found[name])


def test_layer_normalization_gives_its_mean_and_deviation_where_they_are_read(tmp_path: Path) -> None:
    built = model([node("LayerNormalization", ["x", "g", "b"], ["y", "m", "d"])], [tensor("x", ["n", 5, 8])],
                  ["y", "m", "d"], {"g": x(8, count=1)[0], "b": x(8, count=1)[0]})  # fmt: skip
    graph, feed = read(tmp_path, built), {"x": x(5, 8)}
    for name, wanted in zip(("y", "m", "d"), in_onnxruntime(built, feed), strict=True):
        np.testing.assert_allclose(graph.run(feed)[name], wanted, rtol=1e-5, atol=1e-6)


def test_a_table_of_embeddings_is_gathered_from(tmp_path: Path) -> None:
    table = x(6, 4, count=1)[0]
    built = model([node("Gather", ["t", "i"], ["y"], axis=0)], [tensor("i", ["n", 5], onnx.TensorProto.INT64)], ["y"],
                  {"t": table})  # fmt: skip
    graph = read(tmp_path, built)
    indices = np.array([[0, 5, 3, -1, -6], [1, 1, 2, 4, 0]], np.int64)
    assert np.array_equal(graph.run({"i": indices})["y"], in_onnxruntime(built, {"i": indices})[0])
    assert np.array_equal(
        graph.run({"i": indices + 9})["y"][0, 0], table[5]
    )  # beyond the table: its last row


def test_a_transposed_batch_axis_is_followed(tmp_path: Path) -> None:
    """Recurrent exports put time first; the batch then lies on axis 1."""
    nodes = [
        node("Transpose", ["x"], ["t"], perm=[2, 0, 1]), node("Slice", ["t", "s", "e", "a"], ["u"]),
        node("Pad", ["u", "p"], ["v"]), node("Transpose", ["v"], ["y"], perm=[1, 2, 0]),
    ]  # fmt: skip
    constants = {"s": integers(1), "e": integers(5), "a": integers(0), "p": integers(1, 0, 0, 0, 0, 2)}
    built = model(nodes, [tensor("x", ["n", 3, 6])], ["y"], constants)
    graph, feed = read(tmp_path, built), {"x": x(3, 6)}
    assert np.array_equal(graph.run(feed)["y"], in_onnxruntime(built, feed)[0])


REFUSALS: dict[str, tuple[Any, dict[str, Array], str]] = {
    "slice of the batch": (node("Slice", ["x", "s", "e"], ["y"]), {"s": integers(0), "e": integers(0)}, "batch"),
    "slice of nothing": (
        node("Slice", ["x", "s", "e", "a"], ["y"]), {"s": integers(3), "e": integers(3), "a": integers(1)}, "empty",
    ),
    "tile of the batch": (node("Tile", ["x", "r"], ["y"]), {"r": integers(2, 1, 1)}, "batch"),
    "expand of the batch": (node("Expand", ["x", "r"], ["y"]), {"r": integers(4, 4, 6)}, "batch"),
    "pad of the batch": (node("Pad", ["x", "p"], ["y"]), {"p": integers(1, 0, 0, 0, 0, 0)}, "batch"),
    "split of the batch": (node("Split", ["x"], ["y"], axis=0), {}, "batch"),
    "gather beyond": (node("Gather", ["x", "i"], ["y"], axis=1), {"i": integers(4)}, "on an axis of 4"),
    "gather of the batch": (node("Gather", ["x", "i"], ["y"], axis=0), {"i": integers(0)}, "batch"),
    "norm of the batch": (node("LayerNormalization", ["x", "g"], ["y"], axis=0), {"g": x(4, 6, count=1)}, "batch"),
    "norm in training": (
        node("BatchNormalization", ["x", "g", "g", "g", "g"], ["y"], training_mode=1),
        {"g": np.ones(4, np.float32)}, "training_mode",
    ),
    "transposed of rank 1": (node("ConvTranspose", ["x", "w"], ["y"]), {"w": x(4, 2, 3, 3, count=1)[0]}, "1-D and 2-D"),
    "resize without a target": (
        node("Resize", ["x", "", "", "z"], ["y"], mode="linear"), {"z": integers(1, 4, 0)}, "empty",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", sorted(REFUSALS))
def test_what_cannot_be_is_refused_by_name(tmp_path: Path, case: str) -> None:
    one, constants, reason = REFUSALS[case]
    built = model([one], [tensor("x", ["n", 4, 6])], ["y"], constants)
    with pytest.raises(UnsupportedNodes, match=reason) as caught:
        read(tmp_path, built)
    assert one.name in str(caught.value)
