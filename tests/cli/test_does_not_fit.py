"""A model that does not fit: exit 1, what is used, what is there, three remedies, nothing written."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from cli_runner import draw, run, small_data, tree, wide_net

# channels, length: 8 KiB RAM and 64 KiB flash are there
CASES = {"ram": (16, 600), "flash": (150, 4), "both": (150, 120)}
CASE_LIMITS = {"ram": {"ram"}, "flash": {"flash"}, "both": {"ram", "flash"}}


@pytest.mark.parametrize("case", CASES)
def test_does_not_fit(case: str, tmp_path: Path) -> None:
    channels, length = CASES[case]
    model = wide_net(tmp_path / "net.onnx", channels, length)
    data = small_data(tmp_path / "calib.npz", x=draw(1, 6, 1, length), y=None, group=None)
    before = tree(tmp_path)
    words = (model, "--device", "stm32l053")
    answer = run("compile", *words, "--data", data, "-o", tmp_path / "out", "--json")
    assert answer.code == 1, answer.err
    assert answer.out == ""
    assert answer.err.startswith("trine: does not fit stm32l053: ")
    assert "Traceback" not in answer.err
    assert tree(tmp_path) == before
    over = dict(re.findall(r"(ram|flash): ([\d,]+) B used", answer.err))
    assert set(over) == CASE_LIMITS[case]
    there = dict(re.findall(r"(ram|flash): [\d,]+ B used, ([\d,]+) B there", answer.err))
    assert set(there.items()) <= {("ram", "8,192"), ("flash", "65,536")}
    assert [line[:5] for line in answer.err.splitlines()[2:]] == ["  1. ", "  2. ", "  3. "]

    checked = run("check", *words, "--json")
    assert checked.code == 1
    report = json.loads(checked.out)
    assert report["ok"] is False
    assert {f["limit"] for f in report["fit"] if not f["ok"]} == CASE_LIMITS[case]
    assert [line[5:] for line in answer.err.splitlines()[2:]] == report["remedies"]
    text = run("check", *words)
    assert text.code == 1
    assert text.out.count("DOES NOT FIT") == len(over)


def test_a_remedy_carried_out_compiles(tmp_path: Path) -> None:
    channels, length = CASES["both"]
    report = json.loads(
        run("check", wide_net(tmp_path / "net.onnx", channels, length), "--device", "stm32l053", "--json").out
    )
    narrow, short, larger = report["remedies"]
    share = float(re.findall(r"(\d+)% of the channels", narrow)[0]) / 100
    new_length = int(re.findall(r"last axis of x (\d+) instead of 120", short)[0])
    share_too = float(re.findall(r"(\d+)% of the channels", short)[0]) / 100
    device = re.findall(r"(\w+) \([\d,]+ KiB RAM\)", larger)[0]
    assert run("check", tmp_path / "net.onnx", "--device", device).code == 0
    for i, (c, n) in enumerate([(int(channels * share), length), (int(channels * share_too), new_length)]):
        model = wide_net(tmp_path / f"net{i}.onnx", c, n)
        data = small_data(tmp_path / "calib.npz", x=draw(1, 4, 1, n), y=None, group=None)
        words = ("compile", model, "--device", "stm32l053", "--data", data, "-o", tmp_path / f"out{i}")
        answer = run(*words)
        assert answer.code == 0, answer.err


def test_a_device_whose_flash_nobody_published_is_not_refused(tmp_path: Path) -> None:
    model = wide_net(tmp_path / "net.onnx", 100, 8)
    report = json.loads(run("check", model, "--device", "rp2040", "--json").out)
    flash = next(f for f in report["fit"] if f["limit"] == "flash")
    assert flash["available"] is None
    assert report["ok"] is True
    assert np.isclose(report["parameters"], 100 * 3 + 100 * 100 * 3 + 200 + 2)
