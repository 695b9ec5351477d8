"""Neuromorphic chips through the command line: options, back ends, pictures, NIR files, recordings."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_runner import run, tree
from spiking_models import beats, spiking

from trine.neuromorphic.backends import lava_environment, sanafe_environment
from trine.options import options

DATA = Path(os.environ.get("TRINE_DATA", Path(__file__).parents[2] / ".." / "shared" / "data")).resolve()
NIR_FILES = {"lif/lif_norse.nir": "1e-4", "braille_noDelay_bias_zero.nir": "1e-4", "cnn_sinabs.nir": "1"}


def shared(name: str) -> Path:
    """A shared file, or a skipped test."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"no {name} under TRINE_DATA ({DATA})")
    return path


def done(*words: object) -> Any:
    """The object a command prints."""
    answer = run(*words, "--json")
    assert answer.code == 0, answer.err
    return json.loads(answer.out)


def test_every_option_reaches_its_target(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[Any] = []

    class Stopped(Exception):
        pass

    def deploy(job: Any, target: Any) -> None:
        seen.append(job.options)
        raise Stopped

    monkeypatch.setattr("trine.compilers.deploy.deploy", deploy)
    words = [
        "compile", tmp_path / "m.onnx", "--device", "loihi1", "-o", tmp_path / "o", "--scheme", "rate", "--steps",
        "8,8,4", "--lag", "2", "--input-bits", "5", "--weight-bits", "6", "--per-channel", "--no-refit",
        "--calibration-examples", "77", "--fine-tune", tmp_path / "t.npz", "--epochs", "3", "--learning-rate", "0.01",
        "--checkpoint", tmp_path / "c", "--seed", "9", "--chips", "2", "--rate", "2",
    ]  # fmt: skip
    with pytest.raises(Stopped):
        run(*words)
    conversion, tuning = seen[0].conversion, seen[0].fine_tune
    assert (conversion.scheme, conversion.steps, conversion.lag, conversion.input_bits) == (
        "rate",
        (8, 8, 4),
        2,
        5,
    )
    assert (conversion.weight_bits, conversion.per_channel, conversion.refit) == (6, True, False)
    assert conversion.calibration_examples == 77
    assert (tuning.train, tuning.epochs, tuning.learning_rate) == (tmp_path / "t.npz", 3, 0.01)
    assert (tuning.checkpoint, tuning.seed) == (tmp_path / "c", 9)
    assert (seen[0].chips, seen[0].seed, seen[0].duty.inferences_per_s) == (2, 9, 2.0)
    with pytest.raises(Stopped):
        run(*words[:6])
    assert (seen[1].conversion.steps, seen[1].conversion.refit, seen[1].fine_tune) == (8, True, None)


@pytest.mark.parametrize("verb", ["compile", "simulate", "verify"])
def test_help_has_the_options_of_a_verb_and_no_others(verb: str) -> None:
    said = set(run(verb, "--help").out.split())
    for name, option in options().items():
        assert ("--" + name.replace("_", "-") in said) == (verb in option.verbs.split()), name


def test_a_deployment_keeps_its_chips(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--chips` at compilation holds for what follows."""
    from trine import spiking_routes
    from trine.compilers.deployment import open_deployment
    from trine.neuromorphic.target import NeuromorphicOptions

    made = open_deployment(spiking().out)
    assert spiking_routes.as_compiled(made, NeuromorphicOptions(), None).chips == 1
    assert spiking_routes.as_compiled(made, NeuromorphicOptions(chips=3), 3).chips == 3
    monkeypatch.setattr("json.loads", lambda text: {"chips": 4})
    assert spiking_routes.as_compiled(made, NeuromorphicOptions(), None).chips == 4


def live(backend: str) -> None:
    """Skip where a back end is absent; continuous integration must have it."""
    found = (lava_environment if backend == "lava" else sanafe_environment).doctor()
    if not found["ok"]:
        if os.environ.get("CI") == "true":
            pytest.fail(f"continuous integration must have {backend}: {found['says']}")
        pytest.skip(found["says"])


@pytest.mark.parametrize("backend", ["snntorch", "lava", "sanafe"])
def test_another_simulator_sees_the_same_spikes(backend: str) -> None:
    if backend == "snntorch":
        pytest.importorskip("snntorch", reason="the extra neuromorphic (snntorch) is not installed")
    else:
        live(backend)
    made = spiking()
    record = done("simulate", made.out, "--data", made.data, "--examples", "3", "--backend", backend)
    found = record["results"]["backend"]
    assert (found["name"], found["examples"], found["differing"], found["classes_differing"]) == (
        backend,
        3,
        0,
        0,
    )
    assert sum(p["native"] for p in found["populations"].values()) > 20
    assert all(p["native"] == p["other"] for p in found["populations"].values())
    assert found["values"] == sum(p["values"] for p in found["populations"].values())
    parity = record["results"]["parity"][-1]
    assert parity["exact"] == (backend != "snntorch")
    assert (parity["values"], parity["differing"]) == (found["values"], 0)
    if backend == "sanafe":
        assert found["energy_j"]["total"] > 0
        assert found["latency_s"] > 0


def test_a_simulator_that_disagrees_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    from trine.neuromorphic.backends import witness
    from trine.neuromorphic.engine import run as engine

    def wrong(net: Any, inputs: Any, steps: int, backend: str, probes: Any, **options: Any) -> Any:
        result = engine(net, inputs, steps, probes)
        next(iter(result.probes.values()))["spikes"][0, 2, 0, 0] ^= 1
        return result

    monkeypatch.setattr(witness, "simulate", wrong)
    monkeypatch.setattr(witness, "version_of", lambda backend: "0")
    made = spiking()
    answer = run("simulate", made.out, "--data", made.data, "--examples", "2", "--backend", "lava")
    assert answer.code == 1
    assert "lava disagrees with the native engine" in answer.err
    assert ": 1 of " in answer.err
    said = done("simulate", made.out, "--data", made.data, "--examples", "2", "--backend", "snntorch")
    assert said["results"]["backend"]["differing"] == 1


PICTURES = ("accuracy", "cores", "energy", "membranes", "raster")


def test_pictures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra neuromorphic (matplotlib) is not installed")
    made, folder = spiking(), tmp_path / "new" / "plots"
    words = ("simulate", made.out, "--data", made.data, "--plots", folder, "--plot-format", "both")
    found = done(*words)["results"]["plots"]
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        f"{n}.{e}" for n in PICTURES for e in ("png", "svg")
    )
    assert {k: v for k, v in found.items() if k != "folder"} == {n: f"{n}.png, {n}.svg" for n in PICTURES}
    assert all((folder / f"{n}.png").read_bytes()[:4] == b"\x89PNG" for n in PICTURES)
    before = tree(folder)
    done(*words)
    assert tree(folder) == before  # the same run, the same bytes


def test_pictures_say_what_they_leave_out(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra neuromorphic (matplotlib) is not installed")
    made = spiking()
    np.savez(tmp_path / "bare.npz", x=np.load(made.data)["x"][:5])
    found = done("simulate", made.out, "--data", tmp_path / "bare.npz", "--plots", tmp_path / "p")["results"][
        "plots"
    ]
    assert "no labels" in found["accuracy"]
    assert not (tmp_path / "p" / "accuracy.png").exists()


@pytest.mark.parametrize("name", NIR_FILES)
def test_nir_files_go_through(name: str, tmp_path: Path) -> None:
    pytest.importorskip("nir", reason="the extra neuromorphic (nir) is not installed")
    source, dt, out = shared(f"snn_nir/{name}"), NIR_FILES[name], tmp_path / "out"
    from trine.neuromorphic.nir_file import read_nir

    net = read_nir(source, float(dt))
    steps = 6 if "cnn" in name else 60
    rng = np.random.default_rng(1)
    spikes = (rng.random((2, steps, *net.population(net.inputs[0]).shape)) < 0.3).astype(np.uint8)
    np.savez(tmp_path / "spikes.npz", x=spikes)
    made = done(
        "compile", source, "--device", "loihi1", "--dt", dt, "--data", tmp_path / "spikes.npz", "-o", out
    )
    assert made["target"] == "nir"
    first, second = made["parity"]
    assert (first["differing"], first["exact"]) == (0, True)
    assert not second["exact"]
    assert second["differing"] < 0.1 * second["values"]
    again = done("simulate", out, "--data", tmp_path / "spikes.npz")
    assert again["results"]["parity"] == made["parity"]
    assert sum(again["results"]["spikes"].values()) > 0
    assert {c["name"] for c in again["cost"]} >= {"spikes", "dynamic_energy_j", "latency_s"}
    assert done("verify", out)["files"] == 5
    assert done("check", source, "--device", "loihi1")["ok"] or dt != "1e-4"


@pytest.mark.parametrize("name", [*NIR_FILES, "lif/two_lif_neurons.nir"])
def test_nir_files_come_out_as_they_went_in(name: str, tmp_path: Path) -> None:
    pytest.importorskip("nir", reason="the extra neuromorphic (nir) is not installed")
    from trine.neuromorphic.nir_graph import open_graph
    from trine.neuromorphic.nir_write import same_graph

    source = shared(f"snn_nir/{name}")
    found = done("nir", source, "-o", tmp_path / "a.nir", "--dt", NIR_FILES.get(name, "1e-4"))
    assert found["lost"] == []
    assert same_graph(open_graph(source), open_graph(tmp_path / "a.nir")) == []


def test_export_names_what_is_lost(tmp_path: Path) -> None:
    pytest.importorskip("nir", reason="the extra neuromorphic (nir) is not installed")
    from trine.neuromorphic.net_file import load_net, read_exact

    out = tmp_path / "net.nir"
    answer = run("nir", spiking().out, "-o", out)
    assert answer.code == 2
    for word in ("reset by subtraction", "integer arithmetic", "integrate_steps", "--allow-lossy"):
        assert word in answer.err
    assert list(tmp_path.iterdir()) == []
    found = done("nir", spiking().out, "-o", out, "--allow-lossy")
    assert any("reset by subtraction" in line for line in found["lost"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.exact.npz", "net.nir"]
    stored = load_net(spiking().out / "network.npz")
    assert [p.name for p in read_exact(out).populations] == [p.name for p in stored.populations]


@pytest.mark.parametrize("encoder", ["delta", "level_crossing"])
def test_a_record_is_heard_beat_by_beat(encoder: str) -> None:
    pytest.importorskip("wfdb", reason="the extra data (wfdb) is not installed")
    record = shared("mitbih_raw/119.hea").with_suffix("")
    found = done("simulate", beats(), "--record", record, "--seconds", "25", "--encoder", encoder)["results"]
    heard = found["recording"]
    assert heard["reference_beats"] > 20
    assert heard["classified"] == found["examples"] >= heard["reference_beats"] - 3
    assert heard["seconds"] == 25
    assert heard["coding"]["events_per_s"] > 10
    if encoder == "delta":
        assert heard["sensitivity"] >= 0.95
        assert abs(heard["detection_latency_s"]["median"]) < 0.05
    # an answer needs the window, 80 samples at 180 Hz after the R peak, or the next beat, and then the chip
    assert heard["answer_latency_s"]["median"] > 80 / 180
    assert "next beat" in heard["answer_latency_s"]["how"]
    assert "(modelled)" in heard["answer_latency_s"]["how"]
