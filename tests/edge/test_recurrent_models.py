"""Trained recurrent networks in int8: heartbeats by GRU and LSTM, seizure states by Conv and BiLSTM."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from trine.compilers import datasets
from trine.compilers.examples import Examples
from trine.compilers.graph import Array, Graph
from trine.compilers.onnx_reader import read_onnx
from trine.edge.c.emit import emit_c
from trine.edge.parity import Sample, draw, entry_of, in_onnxruntime, on_host
from trine.edge.program import IntegerProgram
from trine.edge.program_file import load_program, save_program
from trine.edge.qdq import to_qdq
from trine.edge.quantize import quantize
from trine.edge.quantize.replay import decibels, noise_ratio

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("TRINE_DATA", ROOT.parent / "shared" / "data"))
EEG = DATA / "models_eeg_onnx"
STEPS = 8

needs_beats = pytest.mark.skipif(
    not (DATA / "mitbih").is_dir(), reason="needs the mitbih beats of TRINE_DATA"
)
needs_eeg = pytest.mark.skipif(not EEG.is_dir(), reason="needs models_eeg_onnx of TRINE_DATA")


@pytest.fixture(scope="module")
def beats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("mitbih")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRINE_DATA", str(DATA))
        assert not datasets.write("mitbih", place).synthetic
    for name in ("calib", "test"):
        with np.load(place / f"{name}.npz", allow_pickle=False) as file:
            np.savez(place / f"few_{name}.npz", **{k: file[k][::24] for k in ("beat", "rr", "y")})
    return place


def prove(program: IntegerProgram, sample: Sample, folder: Path) -> None:
    """C on the host equals the definition; onnxruntime on the QDQ print is near; the program survives its file."""
    sources = emit_c(program)
    (folder / f"{sources.name}.c").write_text(sources.source)
    (folder / f"{sources.name}.h").write_text(sources.header)
    assert on_host(program, sample, folder, entry_of(program, sources.name)).differing == 0
    assert all(parity.ok for parity in in_onnxruntime(program, sample, to_qdq(program)))
    save_program(program, folder / "program.npz")
    again = load_program(folder / "program.npz")
    assert emit_c(again).source == sources.source


@needs_beats
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_int8_classifies_heartbeats_as_float_does(cell: str, beats: Path, tmp_path: Path) -> None:
    """Calibrated on and judged by every 24th beat; all 49,691 of DS2 are in docs/recurrent.md."""
    graph = read_onnx(ROOT / "examples" / "recurrent_ecg" / f"{cell}.onnx")
    program = quantize(graph, Examples.open(beats / "few_calib.npz", graph.inputs)).program
    assert cell in {step.kernel for step in program.steps}
    with np.load(beats / "few_test.npz", allow_pickle=False) as file:
        feed, labels = {t.name: file[t.name] for t in graph.inputs}, file["y"]
    exact, found = graph.run(feed)["logits"], program.run_float(feed)["logits"]
    right = [float(np.mean(logits.argmax(axis=1) == labels)) for logits in (exact, found)]
    assert right[0] > 0.92
    assert abs(right[0] - right[1]) <= 0.003
    assert decibels(noise_ratio(exact, found)) > 28
    session = onnxruntime.InferenceSession(str(ROOT / "examples" / "recurrent_ecg" / f"{cell}.onnx"))
    np.testing.assert_allclose(exact, session.run(["logits"], feed)[0], rtol=1e-4, atol=1e-4)
    prove(program, draw(program, Examples.open(beats / "few_test.npz", graph.inputs), 200), tmp_path)


def spectrograms(count: int, seed: int) -> Array:
    """Log spectrograms [count, 100 bins of 1 Hz, STEPS of 0.5 s] of a real EEG, half of them with rhythmic bursts."""
    with np.load(EEG / "spindle_eeg_sample.npz", allow_pickle=False) as file:
        eeg = np.asarray(file["signal"], np.float64).ravel()
    eeg = (eeg - eeg.mean()) / eeg.std()
    rng, length = np.random.default_rng(seed), 250 + 125 * (STEPS - 1)
    made = []
    for i in range(count):
        signal = np.roll(eeg, rng.integers(len(eeg)))[:length] * np.exp(0.3 * rng.normal())
        if i % 2:
            size = int(rng.integers(length // 4, length // 2))
            at, rate = rng.integers(length - size), rng.uniform(2.5, 8)
            burst = np.sign(np.sin(2 * np.pi * rate * np.arange(size) / 250)) * np.hanning(size)
            signal[at : at + size] += rng.uniform(2, 8) * burst
        windows = np.lib.stride_tricks.sliding_window_view(signal, 250)[::125] * np.hanning(250)
        power = np.abs(np.fft.rfft(windows, axis=1)[:, 1:101]) ** 2
        made.append(np.log10(power + 1e-3).T)
    return ((np.stack(made) + 0.3) / 1.6).astype(np.float32)  # near zero mean and unit deviation


@cache
def seizure() -> Graph:
    return read_onnx(EEG / "seizure_modelA.onnx", {"x": (1, 100, STEPS)})


@needs_eeg
def test_the_seizure_network_is_read_as_onnxruntime_runs_it() -> None:
    """Its outputs are [time, batch, 4]: the batch axis ends in the middle."""
    x = spectrograms(4, 3)
    ours = seizure().run({"x": x})
    session = onnxruntime.InferenceSession(str(EEG / "seizure_modelA.onnx"))
    theirs = session.run(list(ours), {"x": x})
    for values, found in zip(ours.values(), theirs, strict=True):
        np.testing.assert_allclose(values, np.moveaxis(found, 1, 0), atol=2e-5)


@needs_eeg
def test_the_seizure_network_agrees_in_int8(tmp_path: Path) -> None:
    np.savez(tmp_path / "calib.npz", x=spectrograms(16, 0))
    graph, test = seizure(), spectrograms(24, 1)
    examples = Examples.open(tmp_path / "calib.npz", graph.inputs)
    program = quantize(graph, examples).program
    exact, found = graph.run({"x": test}), program.run_float({"x": test})
    assert decibels(noise_ratio(exact["logits"], found["logits"])) > 35
    assert decibels(noise_ratio(exact["probs"], found["probs"])) > 30
    classes = [values["logits"].argmax(axis=2) for values in (exact, found)]
    assert len(np.unique(classes[0])) >= 2
    assert np.mean(classes[0] == classes[1]) > 0.95
    prove(program, draw(program, examples, 4), tmp_path)
