"""The neuromorphic target through the one pipeline: written, proved, simulated, verified, refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from converted_nets import Builder, beat_like

from trine.compilers.deploy import DoesNotFit, deploy
from trine.compilers.deployment import Deployment, open_deployment, write_record
from trine.compilers.graph import Array, Graph
from trine.compilers.onnx_writer import write_onnx
from trine.compilers.report import Artifact
from trine.compilers.target import Job
from trine.devices import load_device
from trine.devices.errors import AnswerIsNo, InputError
from trine.neuromorphic import net_file
from trine.neuromorphic.conversion.convert import ConversionOptions
from trine.neuromorphic.conversion.receipts import STAGES
from trine.neuromorphic.simulate import load, simulate, verify
from trine.neuromorphic.target import TARGET, NeuromorphicOptions

Compile = Callable[..., Deployment]


def write_model(folder: Path, graph: Graph, samples: dict[str, Array]) -> tuple[Path, Path]:
    """model.onnx and calib.npz with the network's own classes as labels."""
    model, data = folder / "model.onnx", folder / "calib.npz"
    model.write_bytes(write_onnx(graph).SerializeToString(deterministic=True))
    y = graph.run(samples)[graph.outputs[0]].argmax(axis=1)
    np.savez(data, **samples, y=y.astype(np.int64))
    return model, data


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compile:
    """Compiles the small network; the same request twice goes to two folders."""
    place = tmp_path_factory.mktemp("neuro")
    model, data = write_model(place, *beat_like(11))
    made: list[int] = []

    def compile_for(device: str = "loihi1", **options: Any) -> Deployment:
        made.append(1)
        conversion = ConversionOptions(**options)
        job = Job(
            model, load_device(device), place / f"out{len(made)}", data,
            options=NeuromorphicOptions(conversion, parity_examples=60),
        )  # fmt: skip
        return deploy(job, TARGET)

    return compile_for


@pytest.fixture(scope="module")
def exact(compiled: Compile) -> Deployment:
    return compiled(steps=6)


def test_a_deployment_proves_its_counts_and_states_what_it_costs(exact: Deployment) -> None:
    record = exact.record
    (parity,) = record["parity"]
    assert (parity["differing"], parity["exact"]) == (0, True)
    assert parity["values"] > 1000
    assert [p["name"] for p in record["passes"]] == ["quantise", "spike", "map"]
    assert record["accuracy"]["source"]["accuracy"] == 1.0
    assert record["accuracy"]["deployed"]["accuracy"] > 0.5
    costs = {c["name"]: c for c in record["cost"]}
    assert costs["dynamic_energy_j"]["value"] > 0
    assert costs["sanafe: dynamic_energy_j"]["value"] > 0
    assert record["fit"][0]["available"] == 128
    receipts = json.loads(exact.artifact("receipts").read_text("utf-8"))
    assert {s["stage"] for s in receipts["stages"]} == set(STAGES)
    assert json.loads(exact.artifact("mapping").read_text("utf-8"))["violations"] == []


def test_the_same_request_gives_the_same_bytes(exact: Deployment, compiled: Compile) -> None:
    again = compiled(steps=6)
    assert again.record["digest"] == exact.record["digest"]


def test_verify_and_simulate_agree_with_the_deployment(exact: Deployment) -> None:
    device, options = load_device("loihi1"), NeuromorphicOptions()
    proof = verify(exact, device, options)
    assert proof["parity"][0]["differing"] == 0
    record = simulate(exact, device, exact.folder.parent / "calib.npz", options, limit=40)
    results = record["results"]
    assert results["examples"] == 40
    assert all(layer["differing"] == 0 for layer in results["layers"].values())
    assert results["events"]["steps"] == load(exact).spiking.steps
    assert 0 < results["accuracy"]["deployed"]["accuracy"] <= 1


@pytest.mark.parametrize("scheme", ["rate", "sigma_delta"])
def test_other_schemes_go_the_same_way(compiled: Compile, scheme: str) -> None:
    device = "loihi1" if scheme == "rate" else "loihi2"
    made = compiled(device, scheme=scheme)
    (parity,) = made.record["parity"]
    assert parity["exact"] == (scheme != "rate")
    assert ("network's class" in parity.get("note", "")) == (scheme == "rate")
    if device == "loihi2":
        assert not any("energy" in c["name"] for c in made.record["cost"])
        assert "no joules" in made.record["missing"]["dynamic_energy_j"]


def tampered(exact: Deployment, folder: Path) -> Deployment:
    """A copy whose net has one weight more, with hashes that fit."""
    shutil.copytree(exact.folder, folder)
    net = net_file.load_net(folder / "network.npz")
    first = net.projections[0]
    weight = first.weight.copy()
    weight.flat[0] += 2
    net_file.save_net(
        net.with_projections((replace(first, weight=weight), *net.projections[1:])), folder / "network.npz"
    )
    (folder / "deployment.json").unlink()
    plain = {k: v for k, v in exact.record.items() if k not in ("artifacts", "digest", "schema")}
    write_record(folder, plain, [Artifact(a["path"], a["role"]) for a in exact.record["artifacts"]])
    return open_deployment(folder)


def test_a_changed_net_is_noticed_even_with_hashes_that_fit(exact: Deployment, tmp_path: Path) -> None:
    broken = tampered(exact, tmp_path / "broken")
    with pytest.raises(AnswerIsNo, match=r"network\.npz"):
        verify(broken, load_device("loihi1"), NeuromorphicOptions())
    with pytest.raises(AnswerIsNo, match=r"network\.npz"):
        simulate(broken, load_device("loihi1"), exact.folder.parent / "calib.npz", NeuromorphicOptions())


def test_graded_spikes_are_refused_where_the_chip_has_none(compiled: Compile) -> None:
    with pytest.raises(InputError, match="graded spikes, which loihi1 does not have"):
        compiled("loihi1", scheme="sigma_delta")


def test_chips_without_a_scheme_are_refused(compiled: Compile) -> None:
    with pytest.raises(InputError, match=r"akida_akd1000.*loihi1"):
        compiled("akida_akd1000")


def test_a_net_too_large_for_the_chip_is_refused_with_amounts_and_remedies(tmp_path: Path) -> None:
    b = Builder(1, x=(1, 4096))  # 69,632 neurons of two compartments each; the chip has 131,072
    x = b.relu(b.conv("x", 17, 3))
    model, data = write_model(tmp_path, b.graph(b.gemm(b.flat(b.average(x, 256)), 2)), b.samples(4))
    options = NeuromorphicOptions(ConversionOptions(steps=2, input_bits=2, refit=False))
    job = Job(model, load_device("loihi1"), tmp_path / "out", data, options=options)
    with pytest.raises(DoesNotFit) as error:
        deploy(job, TARGET)
    assert "any of these would make it fit" in str(error.value)
    assert not (tmp_path / "out").exists()


def test_bad_options_leave_nothing_behind(compiled: Compile, exact: Deployment) -> None:
    before = sorted(p.name for p in exact.folder.parent.iterdir())
    with pytest.raises(InputError, match="T is 0"):
        compiled(steps=0)
    assert sorted(p.name for p in exact.folder.parent.iterdir()) == before
