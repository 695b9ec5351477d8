"""The sleep spindle detector of a real scalp EEG: read, simplified, quantised, compiled; the same five spindles.

One recording of 30 s is all there is: the ranges are its own least and greatest values, and it is judged by it.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from trine.compilers.graph import Array, Graph
from trine.compilers.source import load_source
from trine.edge.c.emit import emit_c
from trine.edge.emulate.host import HostCompiler, HostMachine
from trine.edge.lower import lower
from trine.edge.memory import Plan
from trine.edge.parity import as_bytes, entry_of
from trine.edge.program import IntegerProgram
from trine.edge.simplify import simplify

DATA = (
    Path(os.environ.get("TRINE_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
    / "models_eeg_onnx"
)
RATE = 250  # samples a second; the detector looks at 30 stretches of a second
LONGEST = 2.0  # seconds that a duration of 1 stands for
OUTPUTS = ("detection", "segmentation")
Sample = dict[str, Array]

pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="needs models_eeg_onnx in the folder that TRINE_DATA names"
)


@pytest.fixture(scope="module")
def sample() -> Sample:
    with np.load(DATA / "spindle_eeg_sample.npz") as archive:
        return {name: archive[name] for name in archive.files}


@pytest.fixture(scope="module")
def graph() -> Graph:
    return load_source(DATA / "spindle-detector-eeg.onnx")


@pytest.fixture(scope="module")
def program(graph: Graph, sample: Sample) -> IntegerProgram:
    simpler = simplify(graph)
    feed = inputs_of(graph, sample)
    values = dict(feed)
    ranges = {name: (float(x.min()), float(x.max())) for name, x in feed.items()}
    for node, results in simpler.trace(values):
        ranges |= {n: (float(x.min()), float(x.max())) for n, x in zip(node.outputs, results, strict=True)}
    return lower(simpler, ranges).program


def inputs_of(graph: Graph, sample: Sample) -> Sample:
    return {tensor.name: sample[tensor.name] for tensor in graph.inputs}


def spindles(detection: Array) -> NDArray[np.float64]:
    """(first sample, last sample, confidence) of every spindle: stretches whose confidence is above a half, the most
    confident first; one that overlaps a kept one by 30 % of what both span is the same spindle."""
    kept: list[tuple[float, float, float]] = []
    odds = 1 / (1 + np.exp(-detection.astype(np.float64)))
    found = [
        ((i + middle - length * LONGEST / 2) * RATE, (i + middle + length * LONGEST / 2) * RATE, confidence)
        for i, (confidence, middle, length) in enumerate(odds)
        if confidence > 0.5
    ]
    for start, end, confidence in sorted(found, key=lambda spindle: -spindle[2]):
        overlaps = [(min(end, e) - max(start, s)) / (max(end, e) - min(start, s)) for s, e, _ in kept]
        if max(overlaps, default=0.0) < 0.3:
            kept.append((start, end, confidence))
    return np.array(kept)


def sqnr(exact: Array, found: Array) -> float:
    """dB."""
    noise = np.square(found.astype(np.float64) - exact).sum()
    return float(10 * np.log10(np.square(exact.astype(np.float64)).sum() / noise))


def test_the_network_is_read_as_onnxruntime_runs_it(graph: Graph, sample: Sample) -> None:
    found = graph.run(inputs_of(graph, sample))
    for name in OUTPUTS:
        np.testing.assert_allclose(found[name], sample[name], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(spindles(found["detection"][0]), sample["intervals"], rtol=1e-3)


def test_its_functions_and_scales_are_found(graph: Graph, sample: Sample) -> None:
    simpler = simplify(graph)
    before, after = (Counter(node.op for node in g.nodes) for g in (graph, simpler))
    assert (before["Erf"], after["Erf"], after["Gelu"]) == (24, 0, 24)
    # Twelve batch norms: eight go into the Conv behind them, four stand before a ConvTranspose.
    assert (after["BatchNormalization"], after["Conv"], after["ConvTranspose"]) == (4, 22, 4)
    assert after["Mul"] == 0
    found = simpler.run(inputs_of(graph, sample))
    for name in OUTPUTS:
        np.testing.assert_allclose(found[name], sample[name], rtol=1e-4, atol=1e-4)


def test_int8_finds_the_same_five_spindles(program: IntegerProgram, graph: Graph, sample: Sample) -> None:
    found = program.run_float(inputs_of(graph, sample))
    assert sqnr(sample["detection"], found["detection"]) >= 33
    assert sqnr(sample["segmentation"], found["segmentation"]) >= 33
    wanted, got = sample["intervals"], spindles(found["detection"][0])
    assert got.shape == wanted.shape == (5, 3)
    assert np.abs(got[:, :2] - wanted[:, :2]).max() <= 0.02 * RATE  # 20 ms
    assert np.abs(got[:, 2] - wanted[:, 2]).max() <= 0.02


def test_the_c_is_the_program_bit_for_bit(
    tmp_path: Path, program: IntegerProgram, graph: Graph, sample: Sample
) -> None:
    codes = program.quantize(inputs_of(graph, sample))
    wanted = program.run(codes)
    found, plan = run_c(program, codes, tmp_path)
    for name in OUTPUTS:
        assert np.array_equal(found[name], wanted[name])
    assert plan.arena_bytes <= 1.05 * plan.lower_bound_bytes


def run_c(program: IntegerProgram, stored: Sample, folder: Path) -> tuple[Sample, Plan]:
    """The emitted C on this machine, and its memory plan."""
    named = replace(program, name="spindle")
    sources = emit_c(named)
    (folder / "spindle.h").write_text(sources.header)
    (folder / "spindle.c").write_text(sources.source)
    with HostMachine(folder, entry_of(named, sources.name), HostCompiler("-O2")) as machine:
        found = machine.run([as_bytes(stored[name]) for name in named.inputs])
    tensors = (named.tensors[name] for name in named.outputs)
    values = {t.name: raw.view(t.dtype).reshape(-1, *t.shape) for t, raw in zip(tensors, found, strict=True)}
    return values, sources.plan
