"""--precision and the limits on the command line: what is chosen, what is refused and how."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cli_runner import Compiled, run, tree

from trine.devices import EdgeDevice, load_device
from trine.edge.program_file import load_program
from trine.edge.running import emulation_missing


@pytest.fixture(autouse=True)
def _tools() -> None:
    device = load_device("stm32l4r5")
    assert isinstance(device, EdgeDevice)
    if emulation_missing(device):
        pytest.skip(emulation_missing(device))


def words(compiled: Compiled, out: Path) -> tuple[object, ...]:
    """A compilation of the small network, options still to come."""
    return ("compile", compiled.model, "--device", "stm32l4r5", "--data", compiled.data, "-o", out, "--json")


def test_every_weight_has_the_width_asked_for(compiled: Compiled, tmp_path: Path) -> None:
    answer = run(*words(compiled, tmp_path / "out"), "--precision", "int4")
    assert answer.code == 0, answer.err
    program = load_program(tmp_path / "out" / "program.npz")
    widths = {s.attributes.get("weight_bits", 8) for s in program.steps if s.kernel in ("conv", "dense")}
    assert widths == {4}
    record = json.loads(answer.out)
    assert "of 4 bits" in record["passes"][0]["changed"]
    assert "budget" not in record
    assert run("verify", tmp_path / "out").code == 0


def test_a_budget_chooses_and_says_what(compiled: Compiled, tmp_path: Path) -> None:
    answer = run(*words(compiled, tmp_path / "out"), "--max-flash", "1M", "--max-energy-per-inference", "1mJ")
    assert answer.code == 0, answer.err
    budget = json.loads((tmp_path / "out" / "deployment.json").read_text())["budget"]
    assert budget == json.loads(answer.out)["budget"]
    assert budget["limits"] == {"flash_bytes": 1 << 20, "energy_j": pytest.approx(1e-3)}
    assert "as compiled: flash" in answer.text
    assert "least noise" in answer.text


def test_what_cannot_be_met_is_an_answer(compiled: Compiled, tmp_path: Path) -> None:
    before = tree(tmp_path)
    answer = run(*words(compiled, tmp_path / "out"), "--max-flash", "1K")
    assert answer.code == 1
    assert "flash: 1,024 B allowed, at least" in answer.text
    assert "over by" in answer.text
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (("--max-flash", "4Q"), "--max-flash 4Q: give a number and a unit"),
        (("--max-ram", "64 uJ"), "--max-ram 64 uJ"),
        (("--max-energy-per-inference", "5"), "as in --max-energy-per-inference 200uJ"),
        (("--max-accuracy-drop", "-1"), "points of accuracy from 0 to 100"),
    ],
)
def test_bad_limits_are_named(
    compiled: Compiled, tmp_path: Path, options: tuple[str, str], wanted: str
) -> None:
    answer = run(*words(compiled, tmp_path / "out"), *options)
    assert answer.code == 2
    assert wanted in answer.text
    assert "Traceback" not in answer.err


def test_limits_mean_nothing_for_a_processor_that_runs_onnx(compiled: Compiled, tmp_path: Path) -> None:
    answer = run(
        "compile", compiled.model, "--device", "imx8m_mini", "--data", compiled.data,
        "-o", tmp_path / "out", "--max-flash", "1M",
    )  # fmt: skip
    assert answer.code == 2
    assert "runs the ONNX in onnxruntime" in answer.text


def test_without_labels_an_accuracy_limit_is_refused(compiled: Compiled, tmp_path: Path) -> None:
    with np.load(compiled.data, allow_pickle=False) as file:
        np.savez(tmp_path / "bare.npz", x=file["x"])
    answer = run(
        "compile", compiled.model, "--device", "stm32l4r5", "--data", tmp_path / "bare.npz",
        "-o", tmp_path / "out", "--precision", "mixed",
    )  # fmt: skip
    assert answer.code == 2
    assert "needs labels" in answer.text
