"""Networks of `examples/molecules` and `examples/neural_ode`: read, quantised or in float32, printed, compared."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from cli_runner import run
from onnx import numpy_helper

from trine.compilers.examples import Examples
from trine.compilers.graph import Array, Graph
from trine.compilers.onnx_reader import read_onnx
from trine.edge.c.emit import emit_c
from trine.edge.emulate import missing
from trine.edge.float32 import float_program
from trine.edge.parity import draw, entry_of, in_onnxruntime, on_host
from trine.edge.program import IntegerProgram
from trine.edge.qdq import to_qdq
from trine.edge.quantize import quantize
from trine.edge.quantize.replay import decibels, noise_ratio

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
GRAPH_INPUTS = ("atoms", "bonds", "mask", "pool")


@pytest.fixture(scope="module")
def molecules() -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLES / "molecules" / "train_graph.py"))


@pytest.fixture(scope="module")
def kinetics() -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLES / "neural_ode" / "train_ode.py"))


def prove(program: IntegerProgram, examples: Examples, folder: Path) -> None:
    """The C on the host equals the definition; onnxruntime agrees on the ONNX print."""
    sources = emit_c(program)
    (folder / f"{sources.name}.c").write_text(sources.source)
    (folder / f"{sources.name}.h").write_text(sources.header)
    sample = draw(program, examples, 32)
    assert on_host(program, sample, folder, entry_of(program, sources.name)).differing == 0
    assert all(parity.ok for parity in in_onnxruntime(program, sample, to_qdq(program)))


def in_float(graph: Graph, path: Path, feed: dict[str, Array]) -> dict[str, Array]:
    """The graph's outputs, which onnxruntime finds in the file too (a batch axis in the middle moved to the front)."""
    found = graph.run(feed)
    theirs = onnxruntime.InferenceSession(str(path)).run(list(found), feed)
    for ours, other in zip(found.values(), theirs, strict=True):
        moved = other if other.shape == ours.shape else np.moveaxis(other, 1, 0)
        np.testing.assert_allclose(ours, moved, atol=1e-4)
    return found


def test_the_graph_network_agrees_in_int8(molecules: dict[str, Any], tmp_path: Path) -> None:
    """Calibrated on 320 molecules to learn from, judged on the 244 held out; attention's mask is an activation."""
    path = EXAMPLES / "molecules" / "graph.onnx"
    learn, held = molecules["graphs"]("train"), molecules["graphs"]("test")
    graph, feed = read_onnx(path), {name: held[name] for name in GRAPH_INPUTS}
    np.savez(tmp_path / "calib.npz", **{name: learn[name][::3] for name in GRAPH_INPUTS})
    np.savez(tmp_path / "test.npz", **feed)
    program = quantize(graph, Examples.open(tmp_path / "calib.npz", graph.inputs)).program
    assert {"matmul", "softmax", "add", "dense"} <= {step.kernel for step in program.steps}
    exact, found = in_float(graph, path, feed)["logits"], program.run_float(feed)["logits"]
    right = [float(np.mean(logits.argmax(axis=1) == held["y"])) for logits in (exact, found)]
    assert right[0] > 0.80
    assert abs(right[0] - right[1]) < 0.03
    assert decibels(noise_ratio(exact, found)) > 25
    prove(program, Examples.open(tmp_path / "test.npz", graph.inputs), tmp_path)


def test_padding_is_not_heard(molecules: dict[str, Any]) -> None:
    """What stands in the places of padding changes nothing but by the softmax's exp(-8), in float."""
    held = molecules["graphs"]("test")
    feed = {name: held[name][:32] for name in GRAPH_INPUTS}
    graph = read_onnx(EXAMPLES / "molecules" / "graph.onnx")
    noisy = np.where(feed["mask"].swapaxes(1, 2) < 0, np.float32(0.5), feed["atoms"])
    assert not np.array_equal(noisy, feed["atoms"])
    before, after = graph.run(feed)["logits"], graph.run({**feed, "atoms": noisy})["logits"]
    assert float(np.abs(before - after).max()) < 0.1
    open_mask = graph.run({**feed, "atoms": noisy, "mask": 0 * feed["mask"]})["logits"]
    assert float(np.abs(before - open_mask).max()) > 0.1


def closest(name: str, feed: dict[str, Array], folder: Path) -> dict[str, Array]:
    """The float32 program's outputs; its C on the host is near, and the graph is onnxruntime's."""
    path = EXAMPLES / "neural_ode" / f"{name}.onnx"
    graph = read_onnx(path)
    found = in_float(graph, path, feed)
    program = float_program(graph)
    np.savez(folder / "test.npz", **feed)
    sources = emit_c(program)
    (folder / f"{sources.name}.c").write_text(sources.source)
    (folder / f"{sources.name}.h").write_text(sources.header)
    sample = draw(program, Examples.open(folder / "test.npz", graph.inputs), 64)
    assert on_host(program, sample, folder, entry_of(program, sources.name)).differing == 0
    return found


def relative(found: Array, exact: Array) -> Array:
    """Greatest error of each curve, of that curve's maximum."""
    worst: Array = np.abs(found - exact).max(axis=1) / exact.max(axis=1)
    return worst


def test_runge_kutta_unrolled_follows_bateman(kinetics: dict[str, Any], tmp_path: Path) -> None:
    """24 steps of a Loop, in float32 C, against the closed solution."""
    made = kinetics["examples"](256, 2)
    found = closest("rk4", {"patient": made["patient"]}, tmp_path)["curve"][..., 0]
    assert found.shape == made["exact"].shape
    assert float(np.median(relative(found, made["exact"]))) < 0.02


def test_bounded_adaptive_steps_arrive(kinetics: dict[str, Any], tmp_path: Path) -> None:
    """Every patient reaches 12 hours within the tries of the Loop, and the level that fixed steps find."""
    made = kinetics["examples"](256, 2)
    feed = {"patient": made["patient"]}
    found = closest("adaptive", feed, tmp_path)
    np.testing.assert_allclose(found["time"], 12.0, atol=1e-3)
    fixed = read_onnx(EXAMPLES / "neural_ode" / "rk4.onnx").run(feed)["curve"][:, -1]
    assert float(np.abs(found["level"] - fixed).max()) < 0.2 * kinetics["TOLERANCE"]


def test_the_last_bit_of_a_sum_decides_no_step(kinetics: dict[str, Any]) -> None:
    """NumPy and onnxruntime round apart; over 2,048 patients no level moves by 1e-5 of the greatest."""
    path = EXAMPLES / "neural_ode" / "adaptive.onnx"
    feed = {"patient": kinetics["examples"](2048, 1)["patient"]}
    level = read_onnx(path).run(feed)["level"]
    theirs = onnxruntime.InferenceSession(str(path)).run(["level"], feed)[0]
    assert np.abs(level - theirs).max() < 1e-5 * np.abs(level).max()


def test_the_files_are_what_the_script_writes(kinetics: dict[str, Any]) -> None:
    """From the weights in rk4.onnx, byte for byte; training them again takes a minute and is left out here."""
    path = EXAMPLES / "neural_ode" / "rk4.onnx"
    loop = next(node for node in onnx.load(path).graph.node if node.op_type == "Loop")
    body = next(a.g for a in loop.attribute if a.name == "body")
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in body.initializer}
    weights = [held[f"step.c{i}"] for i in range(4)]
    for name in ("rk4", "adaptive"):
        made = kinetics[name](weights).SerializeToString(deterministic=True)
        assert made == (EXAMPLES / "neural_ode" / f"{name}.onnx").read_bytes()


@pytest.mark.skipif(bool(missing("cortex-m4f", "zig")), reason="needs zig and unicorn")
def test_adaptive_steps_are_compiled_and_verified(kinetics: dict[str, Any], tmp_path: Path) -> None:
    """`trine compile --precision float32` for a core with a floating-point unit, with its emulation, and `verify`."""
    made = kinetics["examples"](8, 1)
    np.savez(tmp_path / "calib.npz", patient=made["patient"])
    words = ("--device", "nrf52840", "--precision", "float32", "--data", tmp_path / "calib.npz", "--json")
    model, out = EXAMPLES / "neural_ode" / "adaptive.onnx", tmp_path / "out"
    answer = run("compile", model, *words, "-o", out)
    assert answer.code == 0, answer.err
    record = json.loads((out / "deployment.json").read_text())
    assert len(record["parity"]) == 4
    assert all(parity["differing"] == 0 for parity in record["parity"])
    cost = {one["name"]: one["value"] for one in record["cost"]}
    assert 100_000 < cost["instructions"] < 500_000
    assert cost["ram_bytes"] < 1024
    assert run("verify", out).code == 0
