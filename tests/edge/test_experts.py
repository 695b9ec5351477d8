"""Mixture of experts: only the chosen ones run, and what they cost on a core."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from program_samples import Job, chain, ranges_of, run_on_host, write_sources

from trine.compilers.cases import draw
from trine.compilers.graph import Array, Graph, Node
from trine.compilers.source import load_source
from trine.edge.c.emit import emit_c
from trine.edge.emulate import emulator_for, missing
from trine.edge.lower import lower
from trine.edge.parity import as_bytes, entry_of
from trine.edge.program import IntegerProgram

EXPERTS = Path(__file__).resolve().parents[2] / "examples" / "experts"
COUNT, CHOSEN, INPUTS, HIDDEN, OUTPUTS = 8, 2, 40, 96, 32


def quantised(graph: Graph, examples: int = 64) -> IntegerProgram:
    return lower(graph, ranges_of(graph, draw(graph, examples))).program


@cache
def trained(routing: str) -> Graph:
    return load_source(EXPERTS / f"{routing}.onnx")


@pytest.mark.parametrize("routing", ["topk", "choice", "soft", "dense"])
def test_a_trained_network_is_what_onnxruntime_runs(routing: str) -> None:
    graph = trained(routing)
    feed = draw(graph, 32)
    session = onnxruntime.InferenceSession(str(EXPERTS / f"{routing}.onnx"))
    np.testing.assert_allclose(graph.run(feed)["logits"], session.run(None, feed)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("routing", ["topk", "choice", "soft"])
def test_c_equals_numpy_for_every_routing(routing: str, tmp_path: Path) -> None:
    program = quantised(trained(routing))
    codes = program.quantize(draw(trained(routing), 64, seed=1))
    (found,) = run_on_host([Job(program, emit_c(program, "cortex-m4f"), codes)], tmp_path)
    np.testing.assert_array_equal(found["logits"], program.run(codes)["logits"])


def test_gathered_weights_become_chosen_experts() -> None:
    """The trained file gathers weights and multiplies; read, no gathered copy of weights is left."""
    operators = [node.op for node in trained("topk").nodes]
    assert operators.count("ExpertGemm") == 2
    assert "Gather" not in operators
    assert "MatMul" not in operators


def test_weights_of_other_experts_are_not_touched(tmp_path: Path) -> None:
    """Spoil every expert but those that an example chose: its answer stays, in the definition and in C."""
    program = quantised(trained("topk"))
    feed = draw(trained("topk"), 24, seed=2)
    codes = program.quantize(feed)
    chosen = {}
    for step, results in program.trace_all(codes):
        if step.kernel == "topk":
            chosen = {i: set(row) for i, row in enumerate(results[-1].reshape(24, CHOSEN).tolist())}
    wanted = program.run(codes)["logits"]
    assert len({tuple(sorted(pair)) for pair in chosen.values()}) > 1  # the router does choose
    for example in range(3):
        spoilt = program.with_steps(
            tuple(
                replace(step, constants=spoil(step.constants, chosen[example]))
                if step.kernel == "experts"
                else step
                for step in program.steps
            )
        )
        one = {name: x[example : example + 1] for name, x in codes.items()}
        np.testing.assert_array_equal(spoilt.run(one)["logits"], wanted[example : example + 1])
        (found,) = run_on_host([Job(spoilt, emit_c(spoilt, "cortex-m4f"), one)], tmp_path / str(example))
        np.testing.assert_array_equal(found["logits"], wanted[example : example + 1])


def spoil(constants: dict[str, Array], kept: set[int]) -> dict[str, Array]:
    """Other weights and biases for every expert but the kept."""
    changed = {}
    for name in ("weight", "bias"):
        each = constants[name].reshape(COUNT, -1).copy()
        for expert in set(range(COUNT)) - kept:
            each[expert] = -each[expert] + 1
        changed[name] = each.reshape(constants[name].shape)
    return {**constants, **changed}


def block(dense: bool) -> Graph:
    """A hidden layer of 8 x 96: two of eight experts behind a router, or all of it in one."""
    rng = np.random.default_rng(3)

    def real(*shape: int) -> Array:
        return rng.normal(0, 0.2, shape).astype(np.float32)

    if dense:
        wide = {"w0": real(COUNT * HIDDEN, INPUTS), "w1": real(OUTPUTS, COUNT * HIDDEN)}
        layers = [Node("Gemm", "first", ("x", "w0"), ("h",)), Node("Relu", "relu", ("h",), ("r",))]
        return chain(
            "dense_block", [("x", (INPUTS,))], [*layers, Node("Gemm", "second", ("r", "w1"), ("y",))], wide
        )
    constants = {
        "router": real(COUNT, INPUTS), "w0": real(COUNT, HIDDEN, INPUTS), "w1": real(COUNT, OUTPUTS, HIDDEN),
    }  # fmt: skip
    top = {"axis": 0, "k": CHOSEN, "largest": 1, "sorted": 1}
    nodes = [
        Node("Gemm", "route", ("x", "router"), ("logits",)),
        Node("TopK", "top", ("logits",), ("best", "index"), top),
        Node("Softmax", "weigh", ("best",), ("share",), {"axis": 0}),
        Node("ExpertGemm", "first", ("x", "index", "w0"), ("h",), {"shared": 1}),
        Node("Relu", "relu", ("h",), ("r",)),
        Node("ExpertGemm", "second", ("r", "index", "w1"), ("o",), {"shared": 0}),
        Node("Reshape", "column", ("share",), ("shares",), {"shape": (CHOSEN, 1)}),
        Node("Mul", "scale", ("o", "shares"), ("m",)),
        Node("ReduceSum", "add", ("m",), ("y",), {"axes": (0,), "keepdims": 0}),
    ]
    return chain("expert_block", [("x", (INPUTS,))], nodes, constants)


@pytest.mark.skipif(bool(missing("cortex-m4f", "zig")), reason="needs zig and unicorn")
def test_two_of_eight_cost_less_than_three_tenths_of_all(tmp_path: Path) -> None:
    """Instructions on an emulated Cortex-M4F, router and weighting counted, against one layer of equal size."""
    counts = {}
    for dense in (True, False):
        program = quantised(block(dense))
        sources = emit_c(program, "cortex-m4f")
        folder = write_sources(sources, tmp_path / sources.name)
        codes = program.quantize(draw(block(dense), 1, seed=4))
        with emulator_for("cortex-m4f", "zig").load(folder, entry_of(program, sources.name)) as machine:
            counts[dense] = machine.profile([as_bytes(codes[name]) for name in program.inputs]).instructions
    assert counts[False] <= 0.30 * counts[True], counts
