"""Trained networks as streams: what a stream says after a beat is what the whole network says of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from program_samples import write_sources
from quantize_samples import InMemory
from streaming_samples import assert_sequence

from trine.compilers.cases import draw
from trine.compilers.graph import Array, Graph
from trine.compilers.source import load_source
from trine.edge.c.emit import emit_c
from trine.edge.c.stream import emit_stream
from trine.edge.emulate import emulator_for, missing
from trine.edge.parity import as_bytes, entry_of
from trine.edge.program import IntegerProgram
from trine.edge.quantize import quantize
from trine.edge.streaming import stream
from trine.edge.streaming.machine import CoreStream, HostStream, as_array, hops_of
from trine.edge.streaming.state import to_bytes

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
BEAT, CORE = 128, "cortex-m4f"
HOPS = {"causal": 8, "ssm": 4}

needs_core = pytest.mark.skipif(bool(missing(CORE, "zig")), reason="needs zig and unicorn")


def path_of(name: str, whole: bool = False) -> Path:
    return EXAMPLES / f"{name}_ecg" / f"{name}{'' if whole else '_stream'}.onnx"


def quantised(graph: Graph) -> IntegerProgram:
    return quantize(graph, InMemory(draw(graph, 24))).program


@pytest.mark.parametrize("name", sorted(HOPS))
def test_after_a_beat_a_stream_says_what_the_whole_network_says(name: str) -> None:
    """Float, in onnxruntime: the two files hold one network."""
    feed = draw(load_source(path_of(name, whole=True)), 16)
    long: dict[str, Array] = {"beat": np.zeros((16, 2, 8 * BEAT), np.float32)}
    long["beat"][..., :BEAT], long["rr"] = feed["beat"], np.repeat(feed["rr"][..., None], 8 * BEAT, axis=2)
    once, each = (
        onnxruntime.InferenceSession(str(path)).run(["logits"], x)[0]
        for path, x in ((path_of(name, whole=True), feed), (path_of(name), long))
    )
    np.testing.assert_allclose(each[..., BEAT // HOPS[name] - 1], once, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", sorted(HOPS))
def test_streams_are_the_whole_sequence_in_numpy_and_in_c(name: str) -> None:
    program = quantised(load_source(path_of(name)))
    made = stream(program, HOPS[name])
    assert (made.kind, made.latency) == ("sequence", 0)
    feed = {n: x[:2] for n, x in program.quantize(draw(load_source(path_of(name)), 2, seed=5)).items()}
    assert assert_sequence(program, made, feed) == 8 * BEAT // HOPS[name]
    inputs = {n: x[:1, ..., : 16 * HOPS[name]] for n, x in feed.items()}
    outputs, state = made.run(inputs)
    with HostStream(made, emit_stream(made)) as host:
        held = host.fresh()
        found = host.run(held, hops_of(made, {n: x[0] for n, x in inputs.items()}))
        assert held.tobytes() == to_bytes(made, state)
        assert np.array_equal(found["logits"], outputs["logits"][0])


@needs_core
def test_a_causal_network_costs_a_fiftieth_of_its_window_a_sample(tmp_path: Path) -> None:
    """Instructions on an emulated Cortex-M4F: one step of eight samples, and a beat anew for every sample."""
    made = stream(quantised(load_source(path_of("causal"))), HOPS["causal"])
    zeros = {n: np.zeros((1, *made.piece(n).shape), np.int8) for n in made.program.inputs}
    with CoreStream(made, emit_stream(made, CORE), emulator_for(CORE)) as core:
        step = core.profile(as_array([to_bytes(made, made.reset())]), zeros).instructions
    window = quantised(load_source(path_of("causal", whole=True)))
    sources = emit_c(window, CORE)
    folder = write_sources(sources, tmp_path)
    with emulator_for(CORE).load(folder, entry_of(window, sources.name)) as machine:
        nothing = [as_bytes(np.zeros((1, window.tensors[n].bytes), np.int8)) for n in window.inputs]
        whole = machine.profile(nothing).instructions
    assert step / HOPS["causal"] < whole / 50, (step, whole)
