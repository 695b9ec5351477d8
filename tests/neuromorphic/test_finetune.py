"""Fine-tuning: what is trained is what runs, it recovers what few steps lose, it resumes bit for bit."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from converted_nets import KINDS, beat_like
from finetuned_nets import signals, trained, write
from test_target import write_model

from trine.compilers.deploy import deploy
from trine.compilers.graph import Tensor
from trine.compilers.target import Job, silent
from trine.devices import load_device
from trine.devices.errors import InputError, MissingExtra
from trine.neuromorphic.conversion.convert import ConversionOptions, Converted, quantise, spike
from trine.neuromorphic.conversion.layers import READOUT, Layer, LayerNet, Term
from trine.neuromorphic.conversion.levels import InputLevels, LevelNet
from trine.neuromorphic.conversion.running import run_spiking
from trine.neuromorphic.finetune.options import FineTuning
from trine.neuromorphic.finetune.tuning import Tuned, fine_tune
from trine.neuromorphic.simulate import verify
from trine.neuromorphic.target import TARGET, NeuromorphicOptions

SHORT = {"epochs": 3, "batch": 16, "examples": 64, "held_out": 0.3, "learning_rate": 3e-3, "weight_rate": 1.0}


def small(folder: Path, **conversion: Any) -> tuple[Converted, FineTuning]:
    """The ECG network's shape in small, labelled by itself, at two steps."""
    graph, samples = beat_like(3)
    y = graph.run(samples)[graph.outputs[0]].argmax(axis=1)
    np.savez(folder / "train.npz", **samples, y=y, group=np.arange(len(y)) % 7)
    made = quantise(graph, samples, ConversionOptions(**{"scheme": "rate", "steps": 2, **conversion}))
    return made, FineTuning(folder / "train.npz", **SHORT)


def weights_of(tuned: Tuned) -> dict[str, bytes]:
    """Every number of the tuned network."""
    found = {}
    for layer in tuned.converted.levels.net.layers:
        found[f"{layer.name}/bias"] = layer.bias.tobytes()
        found[f"{layer.name}/scale"] = np.float64(
            tuned.converted.levels.scales.get(layer.name, 0.0)
        ).tobytes()
        found |= {f"{layer.name}/{k}": t.weight.tobytes() for k, t in enumerate(layer.terms)}
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "options",
    [
        {"scheme": "exact", "steps": 3},
        {"scheme": "ttfs", "steps": 3},
        {"scheme": "rate", "steps": 1, "lag": 0},
        {"scheme": "rate", "steps": 4, "lag": 1, "weight_bits": 5},
        {"scheme": "rate", "steps": 5, "lag": 2, "per_channel": True},
    ],
    ids=str,
)
def test_the_trained_net_is_the_spiking_net_spike_by_spike(kind: str, options: dict[str, Any]) -> None:
    """Counts of every layer and membranes of the readout, by snnTorch's neurons and by the integer engine."""
    if kind == "pooled_by_maximum" and options["scheme"] == "rate":
        pytest.skip("maximum pools need the scheme exact or ttfs")
    from trine.neuromorphic.finetune.network import TrainableNet

    graph, samples = KINDS[kind](3)
    made = spike(quantise(graph, samples, ConversionOptions(**options)))
    found = TrainableNet(made.levels, made.options).answer(samples)
    assert made.spiking is not None
    ran = run_spiking(made.spiking, made.network, made.network.encode(samples), keep=True)
    assert ran.counts
    for name, counts in ran.counts.items():
        assert counts.any()
        np.testing.assert_array_equal(found[name], counts)
    np.testing.assert_array_equal(found[made.network.output.name] * 64, ran.membrane)


def test_layers_of_different_steps_are_trained_as_they_run() -> None:
    from trine.neuromorphic.finetune.network import TrainableNet

    graph, samples = beat_like(4)
    made = spike(quantise(graph, samples, ConversionOptions(scheme="rate", steps=(3, 2, 4, 2))))
    found = TrainableNet(made.levels, made.options).answer(samples)
    assert made.spiking is not None
    ran = run_spiking(made.spiking, made.network, made.network.encode(samples), keep=True)
    for name, counts in ran.counts.items():
        np.testing.assert_array_equal(found[name], counts)


@pytest.mark.parametrize("scheme", ["exact", "rate"])
def test_a_sum_right_on_the_threshold_spikes(scheme: Any) -> None:
    """S + theta/2 = k theta at every odd input, while snnTorch's neuron spikes above its threshold only."""
    from trine.neuromorphic.finetune.network import TrainableNet

    fire = Layer("fire", "a", (1,), (Term("x", "dense", np.full((1, 1), 4.0)),), np.zeros(1))
    read = Layer("read", "b", (1,), (Term("fire", "dense", np.ones((1, 1))),), np.zeros(1), READOUT)
    net = LayerNet("ties", (Tensor("x", (1,)),), (fire, read))
    code = InputLevels("x", 1.0, 0, 7)
    levels = LevelNet(net, {"x": code}, {"fire": 3, "read": None}, {"x": 1.0, "fire": 8.0})
    options = ConversionOptions(scheme=scheme, steps=3, lag=2, input_bits=3)
    found = TrainableNet(levels, options).answer({"x": np.arange(8, dtype=np.float32).reshape(8, 1)})
    assert found["fire"].ravel().tolist() == [0, 1, 1, 2, 2, 3, 3, 3]


def test_two_steps_lose_and_fine_tuning_recovers(tmp_path: Path) -> None:
    graph = trained()
    x, y, _ = signals(2, 1000)  # other signals than those of the training

    def accuracy(converted: Converted) -> float:
        made = spike(converted)
        assert made.spiking is not None
        return float(
            (run_spiking(made.spiking, made.network, made.network.encode({"x": x})).spiking == y).mean()
        )

    options = ConversionOptions(scheme="rate", steps=2, lag=0)
    before = quantise(graph, {"x": signals(1, 1024)[0]}, options)
    train = write(tmp_path / "train.npz", 1, 1024)
    tuned = fine_tune(before, FineTuning(train, epochs=6, learning_rate=3e-3, batch=32, weight_rate=1.0))
    source = float((graph.run({"x": x})[graph.outputs[0]].argmax(axis=1) == y).mean())
    lost, left = source - accuracy(before), source - accuracy(tuned.converted)
    assert lost > 0.05
    assert left < 0.6 * lost
    record = tuned.record
    assert record["after"]["held_out_loss"] < 0.7 * record["before"]["held_out_loss"]
    assert record["proof"]["differing"] == 0
    assert [e["epoch"] for e in record["epochs"]] == list(range(7))


CHILD = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = {paths!r}
from dataclasses import replace
from test_finetune import small
from trine.neuromorphic.finetune.tuning import fine_tune
folder = Path({folder!r})
made, options = small(folder)
def die(stage, done, total):
    if done == {at}:
        os.kill(os.getpid(), signal.SIGKILL)
fine_tune(made, replace(options, checkpoint=folder / "state"), die)
"""


def test_a_killed_run_goes_on_and_ends_bit_for_bit_as_an_unbroken_one(tmp_path: Path) -> None:
    made, options = small(tmp_path)
    unbroken = fine_tune(made, options)
    code = CHILD.format(paths=[str(Path(__file__).parent)], folder=str(tmp_path), at=6)  # amid epoch 2 of 3
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    state = tmp_path / "state" / "fine_tuning.npz"
    with np.load(state, allow_pickle=False) as stored:
        assert len(json.loads(stored["head"].tobytes())["history"]) == 2  # before, and epoch 1
    seen: list[int] = []
    resumed = fine_tune(
        made, replace(options, checkpoint=tmp_path / "state"), lambda stage, k, n: seen.append(k)
    )
    assert min(seen) == 4
    assert weights_of(resumed) == weights_of(unbroken)
    assert resumed.record == unbroken.record
    assert unbroken.record["after"]["epoch"] > 0
    assert weights_of(fine_tune(made, replace(options, checkpoint=tmp_path / "state"))) == weights_of(
        unbroken
    )
    assert [p.name for p in state.parent.iterdir()] == ["fine_tuning.npz"]


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    made, options = small(tmp_path)
    options = replace(options, epochs=1, checkpoint=tmp_path / "state")
    fine_tune(made, options)
    with pytest.raises(InputError, match=r"its options are .*seed 0.*not .*seed 1"):
        fine_tune(made, replace(options, seed=1))
    with pytest.raises(InputError, match="another network"):
        fine_tune(quantise(made.graph, made.samples, ConversionOptions(scheme="rate", steps=3)), options)
    other = tmp_path / "other.npz"
    with np.load(options.train) as stored:
        np.savez(other, **{**stored, "y": stored["y"][::-1]})
    with pytest.raises(InputError, match="training data are another file"):
        fine_tune(made, replace(options, train=other))
    state = tmp_path / "state" / "fine_tuning.npz"
    state.write_bytes(state.read_bytes()[:2000])
    with pytest.raises(InputError, match=r"damaged.*remove it"):
        fine_tune(made, options)


def test_held_out_patients_are_never_drawn(tmp_path: Path) -> None:
    from trine.neuromorphic.finetune.training_data import load_training

    made, options = small(tmp_path)
    data = load_training(made.graph, made.levels.net, options)
    group = np.arange(96) % 7
    assert not set(group[data.draws.reshape(-1)]) & set(group[data.judged])
    assert data.held_out.startswith("2 of 7 patients")


def test_synapses_that_are_not_there_do_not_appear(tmp_path: Path) -> None:
    from trine.neuromorphic.finetune.training import Trainer, repeatable
    from trine.neuromorphic.finetune.training_data import load_training

    made, options = small(tmp_path)
    layers = list(made.levels.net.layers)
    weight = layers[1].terms[0].weight.copy()
    weight[:, 0] = 0
    layers[1] = replace(layers[1], terms=(replace(layers[1].terms[0], weight=weight),))
    levels = replace(made.levels, net=replace(made.levels.net, layers=tuple(layers)))
    with repeatable(0):
        trainer = Trainer(
            replace(made, levels=levels), load_training(made.graph, levels.net, options), options
        )
        trainer.begin()
        trainer.epoch(silent)
    found = trainer.net.levels().net.layers[1].terms[0].weight
    assert not found[:, 0].any()
    assert (found[:, 1:] != weight[:, 1:]).mean() > 0.9


BAD_FILES: dict[str, tuple[dict[str, Any], str]] = {
    "no labels": ({"y": None}, "no array y"),
    "one class": ({"y": np.ones(96, np.int64)}, "class 1 only: give examples of at least 2 classes"),
    "no such class": ({"y": np.arange(96) % 9}, "classes 0 to 3"),
    "labels that are no whole numbers": ({"y": np.linspace(0, 1, 96)}, "whole class number"),
    "an example is NaN": ({"beat": np.full((96, 2, 24), np.nan, np.float32)}, "array beat, example 0: NaN"),
    "wrong shape": ({"rr": np.zeros((96, 4), np.float32)}, r"array rr has shape \(96, 4\)"),
    "too few labels": ({"y": np.arange(50) % 4}, "differ in their number of examples"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_training_files_that_cannot_be_learnt_from(case: str, tmp_path: Path) -> None:
    made, options = small(tmp_path)
    changed, said = BAD_FILES[case]
    with np.load(options.train) as stored:
        arrays = {k: v for k, v in {**stored, **changed}.items() if v is not None}
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(InputError, match=said):
        fine_tune(made, replace(options, train=tmp_path / "bad.npz"))


def test_everything_wrong_is_said_at_once(tmp_path: Path) -> None:
    made, options = small(tmp_path)
    np.savez(tmp_path / "bad.npz", **made.samples)
    with pytest.raises(InputError) as error:
        fine_tune(made, replace(options, train=tmp_path / "bad.npz", epochs=0, learning_rate=-1.0, noise=-1))
    for said in ("epochs is 0", "learning rate is -1", "noise is -1", "no array y"):
        assert said in str(error.value)


def test_a_learning_rate_that_runs_away_is_named(tmp_path: Path) -> None:
    made, options = small(tmp_path)
    with pytest.raises(InputError, match="smaller --learning-rate"):
        fine_tune(made, replace(options, learning_rate=1e9))


def test_a_scheme_without_levels_is_refused(tmp_path: Path) -> None:
    made, options = small(tmp_path, scheme="sigma_delta")
    with pytest.raises(InputError, match=r"sigma_delta.*--scheme exact or rate or ttfs"):
        fine_tune(made, options)


def test_without_snntorch_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, options = small(tmp_path)
    monkeypatch.setitem(sys.modules, "snntorch", None)
    with pytest.raises(MissingExtra, match=r"fine-tuning needs the package snntorch.*trine\[neuromorphic\]"):
        fine_tune(made, options)


def test_the_pipeline_trains_between_quantise_and_spike(tmp_path: Path) -> None:
    model, data = write_model(tmp_path, *beat_like(11))
    tuning = FineTuning(data, **SHORT)
    options = NeuromorphicOptions(
        ConversionOptions(scheme="rate", steps=4, input_bits=4), parity_examples=20, fine_tune=tuning
    )
    chip = load_device("loihi1")
    made = deploy(Job(model, chip, tmp_path / "out", data, options=options), TARGET)
    passes = {p["name"]: p["changed"] for p in made.record["passes"]}
    assert list(passes) == ["quantise", "fine_tune", "spike", "map"]
    assert " 0 of " in passes["fine_tune"]
    record = json.loads(made.artifact("fine_tuning").read_text("utf-8"))
    assert len(record["epochs"]) == 4
    assert verify(made, chip, options)["parity"]
    bad = replace(options, fine_tune=replace(tuning, epochs=0))
    with pytest.raises(InputError, match="epochs is 0"):
        deploy(Job(model, chip, tmp_path / "none", data, options=bad), TARGET)
    assert not (tmp_path / "none").exists()
