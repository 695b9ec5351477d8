"""--patches, --banks, --precision int8x16, --fine-tune and a budget for a stream, on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cli_runner import Compiled, draw, float_answers, node, run, save, small_data, tree

from trine.devices import EdgeDevice, load_device
from trine.edge.program_file import load_program
from trine.edge.running import emulation_missing


@pytest.fixture(autouse=True)
def _tools() -> None:
    device = load_device("stm32l053")
    assert isinstance(device, EdgeDevice)
    if emulation_missing(device):
        pytest.skip(emulation_missing(device))


def long_net(folder: Path) -> tuple[Path, Path]:
    """A network whose first map, 9,600 B, is too large for 8 KiB, and examples labelled by itself."""
    nodes = [
        node("Conv", ["x", "w"], "c", pads=[1, 1], kernel_shape=[3]),
        node("Relu", ["c"], "r"),
        node("Conv", ["r", "u"], "d", pads=[1, 1], kernel_shape=[3], strides=[4]),
        node("Relu", ["d"], "s"),
        node("GlobalAveragePool", ["s"], "g"),
        node("Flatten", ["g"], "f"),
        node("Gemm", ["f", "v"], "y", transB=1),
    ]
    constants = {"w": draw(1, 16, 1, 3), "u": draw(2, 8, 16, 3) / 4, "v": draw(3, 2, 8)}
    model = save(folder / "net.onnx", nodes, {"x": ["n", 1, 600]}, ["y"], constants)
    x = draw(1, 40, 1, 600)
    return model, small_data(folder / "calib.npz", x=x, y=float_answers(model, x).argmax(1), group=None)


def test_what_fits_in_patches_only_is_patched(tmp_path: Path) -> None:
    model, data = long_net(tmp_path)
    words = ("compile", model, "--device", "stm32l053", "--data", data, "--json")
    answer = run(*words, "-o", tmp_path / "auto")
    assert answer.code == 0, answer.err
    passes = {p["name"]: p["changed"] for p in json.loads(answer.out)["passes"]}
    assert "patches up to r" in passes["patches"] or "patches up to s" in passes["patches"]
    assert all(p["differing"] == 0 for p in json.loads(answer.out)["parity"] if p["against"].startswith("C "))
    assert run("verify", tmp_path / "auto").code == 0

    checked = json.loads(run("check", model, "--device", "stm32l053", "--json").out)
    assert checked["ok"] is True
    assert checked["patches"] == passes["patches"]

    before = tree(tmp_path)
    assert run(*words, "-o", tmp_path / "off", "--patches", "off").code == 1
    assert tree(tmp_path) == before


def test_patches_change_no_bit(tmp_path: Path) -> None:
    model, data = long_net(tmp_path)
    x = draw(5, 20, 1, 600)
    found = []
    for patches in ("off", "auto", "4"):
        out = tmp_path / patches
        words = (model, "--device", "nrf52840", "--data", data, "-o", out, "--patches", patches, "--json")
        answer = run("compile", *words)
        assert answer.code == 0, answer.err
        program = load_program(out / "program.npz")
        found.append(program.run_float({"x": x})["y"])
        patched = any("@" in step.name for step in program.steps)
        assert patched == (patches == "4"), "auto leaves a network whole that fits"
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


def test_a_budget_of_ram_takes_patches(tmp_path: Path) -> None:
    model, data = long_net(tmp_path)
    words = (
        "compile",
        model,
        "--device",
        "nrf52840",
        "--data",
        data,
        "--max-ram",
        "8K",
        "--precision",
        "int8",
    )
    answer = run(*words, "-o", tmp_path / "out", "--json")
    assert answer.code == 0, answer.err
    record = json.loads(answer.out)
    assert "patches to" in record["budget"]["chosen"]["way"]
    assert record["budget"]["ways"][0]["way"] == "whole"
    assert record["budget"]["chosen"]["ram_bytes"] <= 8192
    assert "ways to run it" in answer.err
    assert run(*words, "-o", tmp_path / "off", "--patches", "off").code == 1


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (("--patches", "many"), "--patches many: give a number of patches, auto or off"),
        (("--patches", "7777"), "no first layers that run in 7777 patches"),
        (("--patches", "2", "--stream"), "--patches: for whole runs"),
        (("--banks",), "stm32f746"),
        (("--epochs", "3"), "--epochs: only with --fine-tune"),
        (("--precision", "int8x16", "--requantize", "tflite", "--epochs", "3"), "--epochs: only with"),
    ],
)
def test_what_cannot_be_is_said(tmp_path: Path, options: tuple[str, ...], wanted: str) -> None:
    model, data = long_net(tmp_path)
    before = tree(tmp_path)
    answer = run("compile", model, "--device", "nrf52840", "--data", data, "-o", tmp_path / "out", *options)
    assert answer.code == 2, answer.err
    assert wanted in answer.err
    assert tree(tmp_path) == before


def test_what_onnxruntime_plans_itself_is_refused(tmp_path: Path) -> None:
    model, data = long_net(tmp_path)
    words = ("compile", model, "--device", "imx8m_mini", "--data", data, "-o", tmp_path / "out")
    answer = run(*words, "--patches", "3", "--banks")
    assert answer.code == 2
    assert "--patches and --banks: imx8m_mini runs the ONNX" in answer.err


def test_two_banks(tmp_path: Path) -> None:
    model, data = long_net(tmp_path)
    words = ("compile", model, "--device", "stm32f746", "--data", data, "-o", tmp_path / "out", "--banks")
    answer = run(*words, "--json")
    assert answer.code == 0, answer.err
    passes = {p["name"]: p["changed"] for p in json.loads(answer.out)["passes"]}
    assert "tcm: " in passes["print_c"]
    assert "of all bytes are read and written" in passes["print_c"]
    assert "BANK1" in (tmp_path / "out" / "c" / "net.h").read_text()
    assert run("verify", tmp_path / "out").code == 0
    assert run("simulate", tmp_path / "out", "--data", data).code == 0


def test_activations_of_16_bits(compiled: Compiled, tmp_path: Path) -> None:
    words = ("compile", compiled.model, "--device", "stm32l4r5", "--data", compiled.data)
    answer = run(*words, "-o", tmp_path / "out", "--precision", "int8x16", "--json")
    assert answer.code == 0, answer.err
    record = json.loads(answer.out)
    assert "int8x16 layers" in record["passes"][0]["changed"]
    program = load_program(tmp_path / "out" / "program.npz")
    assert {t.dtype for t in program.tensors.values()} == {"int16"}
    assert "int16_t" in next((tmp_path / "out" / "c").glob("*.h")).read_text()
    assert all(p["differing"] == 0 for p in record["parity"] if p["against"].startswith("C "))
    assert run("verify", tmp_path / "out").code == 0
    assert run("simulate", tmp_path / "out", "--data", compiled.data).code == 0


def test_a_budget_says_how_many_activations_may_have_16_bits(compiled: Compiled, tmp_path: Path) -> None:
    words = (
        "compile",
        compiled.model,
        "--device",
        "stm32l4r5",
        "--data",
        compiled.data,
        "--precision",
        "int8x16",
    )
    answer = run(*words, "-o", tmp_path / "out", "--max-ram", "64K", "--json")
    assert answer.code == 0, answer.err
    budget = json.loads(answer.out)["budget"]
    assert set(budget["chosen"]["widths"]) <= {"8x16", "x16"}
    assert {a["width"] for layer in budget["layers"] for a in layer["alternatives"]} == {
        "8",
        "8x16",
        "x8",
        "x16",
    }


def test_fine_tuning(compiled: Compiled, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    words = (
        "compile",
        compiled.model,
        "--device",
        "stm32l4r5",
        "--data",
        compiled.data,
        "--precision",
        "int2",
    )
    more = ("--fine-tune", compiled.data, "--epochs", "2", "--seed", "1")
    answer = run(*words, *more, "-o", tmp_path / "out", "--json")
    assert answer.code == 0, answer.err
    passes = {p["name"]: p["changed"] for p in json.loads(answer.out)["passes"]}
    assert passes["fine_tune"].startswith("fine-tuned")
    record = json.loads((tmp_path / "out" / "fine_tuning.json").read_text())
    assert record
    assert run("verify", tmp_path / "out").code == 0


def test_a_budget_for_a_stream(tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["x", "w"], "c", pads=[4, 0], kernel_shape=[5]),
        node("Relu", ["c"], "r"),
        node("Conv", ["r", "u"], "y", pads=[2, 0], kernel_shape=[3]),
    ]
    constants = {"w": draw(1, 32, 1, 5), "u": draw(2, 8, 32, 3) / 4}
    model = save(tmp_path / "net.onnx", nodes, {"x": ["n", 1, 64]}, ["y"], constants)
    np.savez(tmp_path / "calib.npz", x=draw(1, 40, 1, 64))
    words = ("compile", model, "--device", "nrf52840", "--data", tmp_path / "calib.npz", "--stream", "--json")
    plain = run(*words, "-o", tmp_path / "plain")
    assert plain.code == 0, plain.err
    used = {f["limit"]: f["used"] for f in json.loads(plain.out)["fit"]}
    answer = run(*words, "-o", tmp_path / "less", "--max-flash", str(used["flash"] - 200))
    assert answer.code == 0, answer.err
    record = json.loads(answer.out)
    assert record["budget"]["chosen"]["way"] == "stream"
    assert set(record["budget"]["chosen"]["widths"]) - {"8"}
    fit = {f["limit"]: f for f in record["fit"]}
    assert fit["flash"]["used"] <= used["flash"] - 200
    assert run(*words, "-o", tmp_path / "none", "--max-ram", "256").code == 1
