"""Attention in one kernel: the function it was, one step from float, and memory that grows with the length."""

from __future__ import annotations

import numpy as np
import pytest
from program_samples import chain, hard_inputs, lowered, ranges_of

from trine.compilers.attention import fuse_attention
from trine.compilers.cases import draw
from trine.compilers.graph import Graph, Node
from trine.edge.c.emit import emit_c
from trine.edge.lower import lower

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
