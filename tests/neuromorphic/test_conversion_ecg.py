"""The ECG network over 3,000 beats of patients never seen: no count differs, and the classes are as good as before."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trine.compilers import datasets
from trine.compilers.examples import Examples
from trine.compilers.metrics import Accuracy, score
from trine.compilers.source import load_source
from trine.neuromorphic.conversion.convert import (
    ConversionOptions,
    Converted,
    draw_samples,
    quantise,
    spike,
    spread,
)
from trine.neuromorphic.conversion.running import run_spiking

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("TRINE_DATA", ROOT.parent / "shared" / "data"))
BEATS = 3000

pytestmark = pytest.mark.skipif(
    not (DATA / "mitbih").is_dir(), reason="needs the mitbih beats in the folder that TRINE_DATA names"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("mitbih")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRINE_DATA", str(DATA))
        assert not datasets.write("mitbih", place).synthetic
    return place


class Bench:
    """The network, calibration beats of DS1, and BEATS beats spread over DS2."""

    def __init__(self, folder: Path) -> None:
        self.made: dict[ConversionOptions, Converted] = {}
        self.graph = load_source(ROOT / "examples" / "ecg" / "ecg.onnx")
        self.calib = draw_samples(self.graph, Examples.open(folder / "calib.npz", self.graph.inputs), 4096)
        test = Examples.open(folder / "test.npz", self.graph.inputs)
        self.beats = draw_samples(self.graph, test, BEATS)
        labels = test.labels
        assert labels is not None
        self.y = labels[spread(test.count, BEATS)].astype(np.int64)
        self.source = self.score(self.graph.run(self.beats)[self.graph.outputs[0]].argmax(axis=1))

    def convert(self, options: ConversionOptions) -> Converted:
        if options not in self.made:
            self.made[options] = spike(quantise(self.graph, self.calib, options))
        return self.made[options]

    def score(self, classes: np.ndarray) -> Accuracy:
        return score(self.y, classes, list("NSVFQ"), draws=1)


@pytest.fixture(scope="module")
def bench(folder: Path) -> Bench:
    return Bench(folder)


def test_exact_no_count_differs_over_3000_beats(bench: Bench) -> None:
    made = bench.convert(ConversionOptions(steps=8))
    assert made.spiking is not None
    ran = run_spiking(made.spiking, made.network, made.network.encode(bench.beats))
    assert ran.differing == 0
    assert ran.values == BEATS * made.spiking.net.neurons
    found = bench.score(ran.spiking)
    assert found.accuracy > bench.source.accuracy - 0.001
    assert found.macro_f1 > bench.source.macro_f1 - 0.005


def test_rate_at_8_steps_keeps_the_float_networks_accuracy(bench: Bench) -> None:
    made = bench.convert(ConversionOptions(scheme="rate", steps=8, lag=1))
    assert made.spiking is not None
    ran = run_spiking(made.spiking, made.network, made.network.encode(bench.beats))
    found = bench.score(ran.spiking)
    assert found.accuracy > bench.source.accuracy - 0.001
    assert found.macro_f1 > bench.source.macro_f1 - 0.005


def test_first_spikes_carry_the_same_counts_in_fewer_spikes(bench: Bench) -> None:
    """300 beats: one spike a neuron at most, and every count that of *exact*, whose network it is."""
    few = {name: x[::10] for name, x in bench.beats.items()}
    exact = bench.convert(ConversionOptions(steps=8))
    again = spike(replace(exact, options=replace(exact.options, scheme="ttfs"), spiking=None))
    assert exact.spiking is not None
    assert again.spiking is not None
    whole = exact.network.encode(few)
    ran, before = (run_spiking(made, exact.network, whole) for made in (again.spiking, exact.spiking))
    assert ran.differing == 0
    assert (ran.membrane == before.membrane).all()
    for layer in exact.network.layers[:-1]:
        spikes = ran.events.populations[layer.name].spikes_by_neuron
        assert spikes is not None
        assert spikes.max() <= 300
    assert ran.events.spikes < 0.7 * before.events.spikes


def test_four_bits_of_weight_answer_nearly_as_eight(bench: Bench) -> None:
    classes = [
        bench.convert(ConversionOptions(weight_bits=bits)).network.readout(bench.beats).argmax(axis=1)
        for bits in (4, 8)
    ]
    assert (classes[0] == classes[1]).mean() > 0.95
