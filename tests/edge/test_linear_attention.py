"""Linear attention: the trained network in int8, and what memory full, tiled and linear attention take by length."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from program_samples import chain, lowered, write_sources
from test_attention import DEPTH, heads

from trine.compilers import datasets
from trine.compilers.attention import fuse_attention
from trine.compilers.cases import draw
from trine.compilers.examples import Examples
from trine.compilers.graph import Graph, Node
from trine.compilers.onnx_reader import read_onnx
from trine.edge.c.emit import emit_c
from trine.edge.emulate import emulator_for, missing
from trine.edge.float32 import float_program
from trine.edge.fusing import observed
from trine.edge.lower import lower
from trine.edge.parity import as_bytes, entry_of, in_onnxruntime, on_host
from trine.edge.parity import draw as drawn
from trine.edge.qdq import to_qdq
from trine.edge.quantize import quantize
from trine.edge.quantize.replay import decibels, noise_ratio

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "examples" / "attention_ecg" / "attention.onnx"
DATA = Path(os.environ.get("TRINE_DATA", ROOT.parent / "shared" / "data"))
CORE = "cortex-m7"


def linear(length: int) -> Graph:
    """Two heads: phi(q) (phi(k)^T v) / (phi(q) sum phi(k)), phi(x) = elu(x) + 1."""
    elu = {"alpha": 1.0}
    nodes = [
        Node("Elu", "elu_q", ("q",), ("eq",), elu), Node("Add", "phi_q", ("eq", "one"), ("fq",)),
        Node("Elu", "elu_k", ("k",), ("ek",), elu), Node("Add", "phi_k", ("ek", "one"), ("fk",)),
        Node("Mul", "mean_k", ("fk", "share"), ("mk",)),
        Node("Transpose", "turn", ("mk",), ("kt",), {"perm": (0, 2, 1)}),
        Node("MatMul", "gather", ("kt", "v"), ("kv",)),
        Node("MatMul", "mix", ("fq", "kv"), ("above",)),
        Node("ReduceSum", "sum", ("mk",), ("z",), {"axes": (1,), "keepdims": 1}),
        Node("Transpose", "stand", ("z",), ("zt",), {"perm": (0, 2, 1)}),
        Node("MatMul", "weigh", ("fq", "zt"), ("below",)),
        Node("Div", "divide", ("above", "below"), ("y",)),
    ]  # fmt: skip
    constants = {"one": np.array(1.0, np.float32), "share": np.array(1 / length, np.float32)}
    return chain(f"linear_{length}", [(name, (2, length, DEPTH)) for name in "qkv"], nodes, constants)


def arena(graph: Graph) -> int:
    """Bytes of the int8 print, by ranges that are the same for all lengths."""
    ranges = dict.fromkeys(observed(graph), (0.01, 4.0))
    return emit_c(lower(graph, ranges).program, CORE).plan.arena_bytes


def test_memory_by_length() -> None:
    """Linear attention takes so many bytes a token and a matrix; in float32, tiled, not even a row of scores."""
    lengths = (128, 1024, 8192)
    by_token = {n: arena(linear(n)) for n in lengths}
    assert all(b <= 4 * 2 * DEPTH * n + 4096 for n, b in by_token.items()), by_token
    full = {n: arena(fuse_attention(heads(n))) for n in lengths}
    tiled = {
        n: emit_c(float_program(fuse_attention(heads(n))), "cortex-m4f").plan.arena_bytes for n in lengths
    }
    for found in (by_token, full, tiled):
        assert found[8192] <= 66 * found[128], found
    assert tiled[8192] <= 4 * 4 * 2 * DEPTH * 8192  # q, k, v and the answer in float32, and no row


@pytest.mark.skipif(bool(missing("cortex-m4f", "zig")), reason="needs zig and unicorn")
def test_linear_attention_works_by_the_length(tmp_path: Path) -> None:
    """Instructions on an emulated Cortex-M4F: full attention at 128 tokens, linear attention at 128 and at 1,024."""
    found = []
    for graph in (fuse_attention(heads(128)), linear(128), linear(1024)):
        program = lower(graph, dict.fromkeys(observed(graph), (0.01, 4.0))).program
        sources = emit_c(program, "cortex-m4f")
        folder = write_sources(sources, tmp_path / graph.name)
        with emulator_for("cortex-m4f").load(folder, entry_of(program, sources.name)) as machine:
            zeros = [as_bytes(np.zeros((1, program.tensors[n].bytes), np.int8)) for n in program.inputs]
            found.append(machine.profile(zeros).instructions)
    full, short, long = found
    assert short < full / 6
    assert long < 8 * short


def test_linear_attention_is_near_float_on_random_values() -> None:
    graph = linear(64)
    program, feed = lowered(graph).program, draw(graph, 32, 3)
    exact, found = graph.run(feed)["y"], program.run_float(feed)["y"]
    assert decibels(noise_ratio(exact, found)) > 15


def test_the_trained_network_is_what_onnxruntime_runs() -> None:
    graph = read_onnx(MODEL)
    assert {"Elu", "Div", "ReduceSum", "MatMul"} <= {node.op for node in graph.nodes}
    assert "Softmax" not in {node.op for node in graph.nodes}
    feed = draw(graph, 32)
    theirs = onnxruntime.InferenceSession(str(MODEL)).run(["logits"], feed)[0]
    np.testing.assert_allclose(graph.run(feed)["logits"], theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(not (DATA / "mitbih").is_dir(), reason="needs the mitbih beats of TRINE_DATA")
def test_the_trained_network_in_int8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calibrated on and judged by every 24th beat; all 49,691 of DS2 are in docs/architectures.md."""
    monkeypatch.setenv("TRINE_DATA", str(DATA))
    assert not datasets.write("mitbih", tmp_path).synthetic
    for name in ("calib", "test"):
        with np.load(tmp_path / f"{name}.npz", allow_pickle=False) as file:
            np.savez(tmp_path / f"few_{name}.npz", **{k: file[k][::24] for k in ("beat", "rr", "y")})
    graph = read_onnx(MODEL)
    program = quantize(graph, Examples.open(tmp_path / "few_calib.npz", graph.inputs)).program
    with np.load(tmp_path / "few_test.npz", allow_pickle=False) as file:
        feed, labels = {t.name: file[t.name] for t in graph.inputs}, file["y"]
    exact, found = graph.run(feed)["logits"], program.run_float(feed)["logits"]
    right = [float(np.mean(logits.argmax(axis=1) == labels)) for logits in (exact, found)]
    assert right[0] > 0.92
    assert abs(right[0] - right[1]) <= 0.005
    assert decibels(noise_ratio(exact, found)) > 27
    sources = emit_c(program)
    for name, text in ((f"{sources.name}.c", sources.source), (f"{sources.name}.h", sources.header)):
        (tmp_path / name).write_text(text)
    sample = drawn(program, Examples.open(tmp_path / "few_test.npz", graph.inputs), 200)
    assert on_host(program, sample, tmp_path, entry_of(program, sources.name)).differing == 0
    assert all(parity.ok for parity in in_onnxruntime(program, sample, to_qdq(program)))
