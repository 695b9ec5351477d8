"""`--json` prints one object with the documented keys and nothing else; simulate counts and scores."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_runner import Answer, Compiled, draw, run, shell, small_data, small_net

from trine.doctor import Part, show

DOCUMENTED = {
    "schema", "trine_version", "device", "source", "artifacts", "passes", "fit", "parity", "accuracy", "cost",
    "warnings",
}  # fmt: skip
COSTS = {"instructions", "latency_s", "energy_j", "battery_life_s", "ram_bytes", "flash_bytes", "stack_bytes"}


def only_object(answer: Answer, code: int = 0) -> Any:
    """The one JSON object on stdout."""
    assert answer.code == code, answer.err
    value = json.loads(answer.out)
    assert isinstance(value, dict)
    return value


def test_compile_prints_deployment_json(compiled: Compiled) -> None:
    record = only_object(compiled.answer)
    assert record == compiled.record
    assert record.keys() >= DOCUMENTED
    assert record["source"].keys() >= {"file", "sha256"}
    for entry in record["artifacts"]:
        assert entry.keys() == {"path", "sha256", "role"}
    for entry in record["passes"]:
        assert entry.keys() == {"name", "changed"}
    for entry in record["fit"]:
        assert entry.keys() >= {"limit", "used", "available", "unit", "ok"}
        assert entry["ok"] is True
        assert 0 < entry["used"] <= entry["available"]
    for entry in record["cost"]:
        assert entry.keys() == {"name", "value", "unit", "low", "high", "how", "source"}
        assert entry["low"] <= entry["value"] <= entry["high"]
        assert entry["source"]
    assert {entry["name"] for entry in record["cost"]} >= COSTS


def test_every_print_agrees(compiled: Compiled) -> None:
    parity = compiled.record["parity"]
    for entry in parity:
        assert entry.keys() >= {"against", "examples", "values", "differing", "max_abs_diff"}
        assert (entry["differing"], entry["max_abs_diff"]) == (0, 0)
        assert (entry["examples"], entry["values"]) == (24, 72)
    ran = " ".join(entry["against"] for entry in parity)
    for word in ("C on the host", "emulated cortex-m4f", "all graph optimisations", "no graph optimisations"):
        assert word in ran


def test_talk_goes_to_stderr(compiled: Compiled, tmp_path: Path) -> None:
    words = ("compile", compiled.model, "--device", "rp2040", "--data", compiled.data, "-o", tmp_path / "out")
    answer = run(*words, "--json", "--timings")
    assert only_object(answer)["device"] == "rp2040"
    assert "compiled in" in answer.err


def test_simulate(compiled: Compiled) -> None:
    answer = run("simulate", compiled.out, "--data", compiled.data, "--json")
    record = only_object(answer)
    assert record.keys() >= DOCUMENTED | {"results"}
    results = record["results"]
    assert results["examples"] == 24
    assert all(entry["differing"] == 0 for entry in results["parity"])
    scores = results["accuracy"]
    keys = {"accuracy", "macro_f1", "macro_f1_low", "macro_f1_high", "per_class"}
    assert scores["source"].keys() >= keys
    assert scores["deployed"].keys() >= keys
    assert scores["source"]["accuracy"] == 23 / 24
    assert abs(scores["deployed"]["accuracy"] - 23 / 24) <= scores["disagreements"] / 24
    assert set(scores["source"]["per_class"]) == {"N", "S", "V"}
    assert sum(c["support"] for c in scores["source"]["per_class"].values()) == 24
    for name in ("instructions", "ram_bytes", "flash_bytes", "stack_bytes"):
        found, compiled_value = (cost_of(r, name) for r in (record, compiled.record))
        assert found == compiled_value, name
    layers = results["instructions_by_layer"]
    assert sum(layers.values()) == cost_of(record, "instructions")


def cost_of(record: Any, name: str) -> float:
    """A cost of a record."""
    (value,) = (entry["value"] for entry in record["cost"] if entry["name"] == name)
    return float(value)


def test_simulate_counts_its_examples(compiled: Compiled, tmp_path: Path) -> None:
    data = small_data(tmp_path / "test.npz", 9, x=draw(5, 9, 1, 16), y=None, group=None)
    record = only_object(run("simulate", compiled.out, "--data", data, "--examples", "5", "--json"))
    ran = {p["against"].split(" (")[0]: p["examples"] for p in record["results"]["parity"]}
    assert ran["C on an emulated cortex-m4f"] == 5
    assert ran["C on the host"] == 9
    assert record["results"]["accuracy"] is None


def test_rate_and_battery_count(compiled: Compiled) -> None:
    words = ("simulate", compiled.out, "--data", compiled.data, "--json")
    slow, quick = (only_object(run(*words, "--rate", rate)) for rate in (1, 200))
    assert cost_of(quick, "battery_life_s") < cost_of(slow, "battery_life_s")
    assert cost_of(quick, "average_power_w") > cost_of(slow, "average_power_w")
    assert cost_of(quick, "energy_j") == cost_of(slow, "energy_j")


def test_verify(compiled: Compiled) -> None:
    result = only_object(run("verify", compiled.out, "--json"))
    assert result["files"] == 9
    assert result["reprinted"] == ["c_header", "c_source", "qdq_onnx"]
    assert all(entry["differing"] == 0 for entry in result["parity"])
    assert all(entry["ok"] for entry in result["fit"])


def test_check(compiled: Compiled, tmp_path: Path) -> None:
    report = only_object(run("check", compiled.model, "--device", "nrf52840", "--json"))
    assert report["ok"] is True
    assert report["remedies"] == []
    assert report["macs"] == 4 * 3 * 16 + 32 * 3
    assert report["parameters"] == 12 + 96 + 3
    large = small_net(tmp_path / "large.onnx", 16)
    assert only_object(run("check", large, "--device", "stm32l4r5", "--json"))["ok"]


def test_devices() -> None:
    listed = only_object(run("devices", "--json"))["devices"]
    assert {"stm32l4r5", "loihi2", "ibm_heron_r2"} <= {d["name"] for d in listed}
    edge = only_object(run("devices", "--kind", "edge", "--json"))["devices"]
    assert {d["kind"] for d in edge} == {"edge"}
    assert only_object(run("devices", "nrf52840", "--json"))["name"] == "nrf52840"


def test_doctor() -> None:
    parts = only_object(run("doctor", "--json"))["parts"]
    assert {"numpy", "torch", "ziglang"} <= {p["name"] for p in parts}
    for part in parts:
        assert part.keys() >= {"name", "version", "present", "purpose", "get"}


def test_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trine.compilers.datasets import Summary, Written

    file = Written("calib.npz", 3, {"N": 2, "V": 1})
    made = Summary("mitbih", "nowhere", True, (file,), ("a note",))
    monkeypatch.setattr("trine.compilers.datasets.write", lambda *_: made)
    assert only_object(run("data", "mitbih", "-o", tmp_path, "--json")) == json.loads(
        json.dumps(made.as_json())
    )
    monkeypatch.undo()
    answer = run("data", "mitbihh", "-o", tmp_path / "e", "--json")
    assert answer.code == 2
    assert answer.out == ""
    assert "did you mean mitbih?" in answer.err
    assert list(tmp_path.iterdir()) == []


def test_doctor_names_the_command_that_helps() -> None:
    parts = [Part("unicorn", None, "counts", "pip install 'trine[verify]'")]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        show(parts)
    assert "pip install 'trine[verify]'" in out.getvalue()


@pytest.mark.parametrize("words", [("devices",), ("devices", "stm32l4r5"), ("doctor",)])
def test_reading_forms(words: tuple[str, ...]) -> None:
    answer = run(*words)
    assert answer.code == 0
    assert answer.err == ""
    assert answer.out


def test_reading_forms_of_a_deployment(compiled: Compiled, tmp_path: Path) -> None:
    answer = shell("simulate", compiled.out, "--data", compiled.data)
    assert answer.code == 0, answer.err
    for word in ("net.onnx", "stm32l4r5", "instructions", "battery_life_s", "accuracy on 24 examples"):
        assert word in answer.out
    assert answer.err == ""
    np.testing.assert_array_equal(sorted(p.name for p in tmp_path.iterdir()), [])
