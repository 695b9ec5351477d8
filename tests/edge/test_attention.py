"""Attention in one kernel: the function it was, one step from float, and memory that grows with the length."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from program_samples import chain, hard_inputs, lowered, ranges_of

from trine.compilers.attention import fuse_attention
from trine.compilers.cases import draw
from trine.compilers.graph import Graph, Node
from trine.compilers.source import load_source
from trine.devices.errors import InputError
from trine.edge.c.emit import emit_c
from trine.edge.lower import lower
from trine.edge.quantize.replay import decibels, noise_ratio

DEPTH = 16


def heads(length: int, scaled: str = "Mul") -> Graph:
    """Two heads of self-attention, spelled out: transpose, product, scale, softmax, product."""
    nodes = [
        Node("Transpose", "turn", ("k",), ("kt",), {"perm": (0, 2, 1)}),
        Node("MatMul", "scores", ("q", "kt"), ("s",)),
        Node(scaled, "scale", ("s", "c"), ("t",)),
        Node("Softmax", "weigh", ("t",), ("w",), {"axis": 2}),
        Node("MatMul", "mix", ("w", "v"), ("y",)),
    ]
    factor = 0.25 if scaled == "Mul" else 4.0
    inputs = [(name, (2, length, DEPTH)) for name in "qkv"]
    return chain(f"heads_{length}", inputs, nodes, {"c": np.array(factor, np.float32)})


@pytest.mark.parametrize("scaled", ["Mul", "Div"])
def test_fused_it_is_the_same_function(scaled: str) -> None:
    graph = heads(12, scaled)
    fused = fuse_attention(graph)
    assert [node.op for node in fused.nodes] == ["Transpose", "RowAttention"]
    feed = draw(graph, 16)
    np.testing.assert_allclose(fused.run(feed)["y"], graph.run(feed)["y"], rtol=2e-5, atol=2e-6)


CAUSAL = np.tri(12) > 0


def masked(kind: str) -> Graph:
    """The heads with a mask as exporters write it: great negative numbers added, or chosen by truth values."""
    graph = heads(12)
    nodes = list(graph.nodes)
    constants = {"low": np.where(CAUSAL, 0, -np.inf).astype(np.float32), "least": np.array(-1e9, np.float32)}
    inputs = [(name, (2, 12, DEPTH)) for name in "qkv"]
    if kind == "added":
        mask = Node("Add", "hide", ("t", "low"), ("m",))
    else:
        mask = Node("Where", "hide", ("c0", "t", "least"), ("m",))
        constants["c0"] = CAUSAL[None]
    nodes[3:4] = [mask, Node("Softmax", "weigh", ("m",), ("w",), {"axis": 2})]
    return chain(f"heads_{kind}", inputs, nodes, {"c": np.array(0.25, np.float32), **constants})


@pytest.mark.parametrize("kind", ["added", "chosen"])
def test_a_mask_becomes_part_of_it(kind: str) -> None:
    """In int8 too: 500 numbers of -infinity say nothing about the scale of the scores."""
    graph = masked(kind)
    fused = fuse_attention(graph)
    assert [node.op for node in fused.nodes] == ["Transpose", "RowAttention"]
    np.testing.assert_array_equal(fused.constants[fused.nodes[1].inputs[3]], CAUSAL)
    feed = draw(graph, 16)
    exact = graph.run(feed)["y"]
    np.testing.assert_allclose(fused.run(feed)["y"], exact, rtol=2e-5, atol=2e-6)
    program = lower(fused, ranges_of(fused, feed)).program
    noise = np.mean((program.run_float(feed)["y"] - exact) ** 2) / np.mean(exact**2)
    assert noise < 1e-3


def attention_model(**attributes: Any) -> Any:
    """ONNX's Attention-23 on three inputs of 4 heads, 2 of keys; 10 steps."""
    from onnx import TensorProto, helper

    node = helper.make_node("Attention", ["q", "k", "v"], ["y"], q_num_heads=4, kv_num_heads=2, **attributes)
    shapes = {"q": 4 * 8, "k": 2 * 8, "v": 2 * 6, "y": 4 * 6}
    ends = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 10, size]) for n, size in shapes.items()
    ]
    opsets = [helper.make_opsetid("", 23)]
    graph = helper.make_graph([node], "net", ends[:3], ends[3:])
    return helper.make_model(graph, opset_imports=opsets, ir_version=11)


@pytest.mark.parametrize("attributes", [{}, {"is_causal": 1}, {"scale": 0.7}, {"softcap": 2.0}], ids=str)
def test_attention_of_onnx_is_what_onnxruntime_says(attributes: dict[str, Any], tmp_path: Path) -> None:
    """Grouped queries, folded heads; all but the soft cap is one RowAttention, in int8 at 30 dB and more."""
    import onnx
    import onnxruntime

    model = attention_model(**attributes)
    onnx.save(model, tmp_path / "net.onnx")
    graph = load_source(tmp_path / "net.onnx")
    feed = draw(graph, 6)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    wanted = session.run(None, feed)[0]
    np.testing.assert_allclose(graph.run(feed)["y"], wanted, rtol=1e-4, atol=1e-5)
    assert ("RowAttention" in {node.op for node in graph.nodes}) == ("softcap" not in attributes)
    program = lower(graph, ranges_of(graph, feed)).program
    assert decibels(noise_ratio(wanted, program.run_float(feed)["y"])) >= 28


def test_what_attention_cannot_be_is_named(tmp_path: Path) -> None:
    import onnx

    model = attention_model()
    model.graph.input[1].type.tensor_type.shape.dim[2].dim_value = 15
    onnx.save(model, tmp_path / "net.onnx")
    with pytest.raises(InputError, match="15 values of k are not those of 2 heads"):
        load_source(tmp_path / "net.onnx")


def test_scores_that_are_read_twice_stay() -> None:
    graph = heads(12)
    kept = Graph(graph.name, graph.inputs, ("y", "w"), graph.nodes, graph.constants, graph.tensors)
    assert fuse_attention(kept) is kept


def test_it_is_nearer_to_float_than_rounded_weights_are() -> None:
    """Over 512 keys most weights are below the half step of 1/256 that a rounded softmax has."""
    graph = heads(512)
    fused, feed = fuse_attention(graph), draw(graph, 2)
    exact = graph.run(feed)["y"]
    noise = {}
    for name, one in (("apart", graph), ("fused", fused)):
        program = lower(one, ranges_of(one, feed)).program
        noise[name] = float(np.mean((program.run_float(feed)["y"] - exact) ** 2) / np.mean(exact**2))
    assert noise["fused"] < 0.1 * noise["apart"], noise


def test_every_value_is_within_one_step_of_float() -> None:
    program = lowered(fuse_attention(heads(24))).program
    codes = hard_inputs(program, n=200)
    feed = {name: program.tensors[name].dequantize(codes[name]) for name in program.inputs}
    y = program.tensors["y"]
    exact = fuse_attention(heads(24)).run(feed)["y"].astype(np.float64) / float(y.scale) + y.zero_point
    assert np.abs(program.run(codes)["y"] - np.clip(exact, -128, 127)).max() <= 1.0


def test_memory_grows_with_the_length_and_not_with_its_square() -> None:
    """Arena bytes from 128 to 8,192 tokens: spelled out, 64 times the length takes 4,000 times the memory."""
    arenas = {}
    for length in (128, 256, 512, 1024, 2048, 4096, 8192):
        graph = fuse_attention(heads(length))
        ranges = dict.fromkeys(("q", "k", "v", "y"), (-1.0, 1.0))
        arenas[length] = emit_c(lower(graph, ranges).program, "cortex-m7").plan.arena_bytes
    assert all(arena <= length * (2 * DEPTH + 8) for length, arena in arenas.items()), arenas
    apart = heads(128)
    scores = emit_c(
        lower(apart, dict.fromkeys(("q", "k", "v", "s", "t", "y"), (-1.0, 1.0))).program, "cortex-m7"
    )
    assert scores.plan.arena_bytes >= 2 * 128 * 128 > 4 * arenas[128]
