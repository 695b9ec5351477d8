"""`--stream` on the command line: compile, verify, simulate, and what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from cli_runner import draw, node, run, save, small_data, small_net, tree

from trine.edge.emulate import HostCompiler


def causal_net(path: Path, length: int = 64) -> Path:
    """Two causal convolutions: x [n, 1, length] -> y [n, 3, length]."""
    nodes = [
        node("Conv", ["x", "w"], "c", pads=[2, 0], kernel_shape=[3]),
        node("Relu", ["c"], "r"),
        node("Conv", ["r", "u"], "y", pads=[8, 0], dilations=[4], kernel_shape=[3]),
    ]
    return save(path, nodes, {"x": ["n", 1, length]}, ["y"], {"w": draw(1, 6, 1, 3), "u": draw(2, 3, 6, 3)})


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stream")
    model = causal_net(folder / "net.onnx")
    data = small_data(folder / "calib.npz", x=draw(7, 40, 1, 64), y=None, group=None)
    words = (model, "--device", "nrf52840", "--data", data, "--stream", "--rate", 250, "--json")
    answer = run("compile", *words, "-o", folder / "out")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out) == json.loads((folder / "out" / "deployment.json").read_text())
    return folder


def test_the_record_says_what_a_sample_costs(deployed: Path) -> None:
    record = json.loads((deployed / "out" / "deployment.json").read_text())
    assert [p["name"] for p in record["passes"]] == ["quantize", "stream", "print_c"]
    assert "a step every 1 samples" in record["passes"][1]["changed"]
    assert all(p["differing"] == 0 for p in record["parity"] if "no graph" not in p["against"])
    what = [p["against"].split(" (")[0] for p in record["parity"]]
    assert what[0] == "the whole sequence, IntegerProgram.run"
    assert "C on the host" in what
    cost = {c["name"]: c for c in record["cost"]}
    assert (
        cost["state_bytes"]["value"] == 84
    )  # 6 words, rings of 3 bytes and of 9 columns of 6, to whole words
    if "C on an emulated cortex-m4f" not in what:
        pytest.skip("no emulator here")
    assert cost["instructions_per_sample"]["value"] == cost["instructions"]["value"]
    assert cost["whole_instructions"]["value"] > 20 * cost["instructions"]["value"]
    factor, latency = cost["real_time_factor"], cost["latency_s"]
    assert factor["value"] == pytest.approx(250 * latency["value"])


def test_the_same_again_byte_for_byte(deployed: Path, tmp_path: Path) -> None:
    words = ("--device", "nrf52840", "--data", deployed / "calib.npz", "--stream", "--rate", 250)
    assert run("compile", deployed / "net.onnx", *words, "-o", tmp_path / "again").code == 0
    assert tree(tmp_path / "again") == tree(deployed / "out")


def test_verify_and_simulate(deployed: Path, tmp_path: Path) -> None:
    assert run("verify", deployed / "out").code == 0
    data = small_data(tmp_path / "test.npz", x=draw(8, 30, 1, 64), y=None, group=None)
    answer = run("simulate", deployed / "out", "--data", data, "--json")
    assert answer.code == 0, answer.err
    result = json.loads(answer.out)
    assert result["results"]["steps"] == 30 * 64
    assert all(p["differing"] == 0 for p in result["results"]["parity"])
    assert "give --rate HZ" in result["missing"]["real_time_factor"]


def test_verify_sees_a_stream_that_was_changed(deployed: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(deployed / "out", tmp_path / "copy"))
    source = copy / "c" / "net.c"
    source.write_text(source.read_text().replace("return 1;", "return 0;", 1))
    answer = run("verify", copy)
    assert answer.code == 1
    assert "c/net.c: changed" in answer.err


def test_a_program_in_c_calls_it(deployed: Path, tmp_path: Path) -> None:
    """What docs/streaming.md shows: reset, step, copy of the state."""
    c = deployed / "out" / "c"
    main = tmp_path / "main.c"
    main.write_text(
        '#include <stdio.h>\n#include "net.h"\nint main(void) {\n'
        "  trine_net_state state, kept;\n  int8_t x[TRINE_NET_X_SIZE] = {0}, y[TRINE_NET_Y_SIZE];\n"
        "  trine_net_reset(&state);\n  for (int i = 0; i < 100; i++) if (trine_net_step(&state, x, y)) return 1;\n"
        "  trine_net_save(&state, &kept);\n  trine_net_reset(&state);\n"
        '  printf("%d %d", trine_net_restore(&state, &kept), (int)sizeof state);\n'
        "  kept.version++;\n  return trine_net_restore(&state, &kept) != 1;\n}\n"
    )
    command = HostCompiler().command
    flags = ("-std=c99", "-Wall", "-Wextra", "-Werror", f"-I{c}")
    program = tmp_path / "main"
    subprocess.run([*command, *flags, str(main), str(c / "net.c"), "-o", str(program)], check=True)
    assert subprocess.run([str(program)], check=True, capture_output=True, text=True).stdout == "0 84"


def test_a_window_network_answers_every_hop(tmp_path: Path) -> None:
    model = small_net(tmp_path / "net.onnx")
    data = small_data(tmp_path / "calib.npz", x=draw(7, 60, 1, 16), y=None, group=None)
    words = (model, "--device", "nrf52840", "--data", data, "--stream", "--json")
    answer = run("compile", *words, "-o", tmp_path / "out")
    assert answer.code == 0, answer.err
    stream = json.loads((tmp_path / "out" / "stream.json").read_text())
    assert (stream["kind"], stream["hop"], stream["window"]) == ("window", 2, 16)
    record = json.loads(answer.out)
    assert record["parity"][0]["against"] == "every window whole, IntegerProgram.run"
    assert "give --rate HZ" in record["missing"]["battery_life_s"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--device", "raspberry_pi_zero_2w", "--stream"), "runs ONNX, which has no state"),
        (("--device", "nrf52840", "--hop", "4"), "only with --stream"),
        (("--device", "loihi1", "--stream"), "--stream: means nothing for loihi1"),
        (("--device", "nrf52840", "--stream", "--rate", "0"), "give a positive number"),
    ],
)
def test_what_cannot_stream_is_refused(tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    model = causal_net(tmp_path / "net.onnx")
    data = small_data(tmp_path / "calib.npz", x=draw(7, 20, 1, 64), y=None, group=None)
    answer = run("compile", model, *words, "--data", data, "-o", tmp_path / "out")
    assert answer.code == 2, answer.out
    assert message in answer.text
    assert not (tmp_path / "out").exists()


def test_a_layer_over_all_of_time_is_refused_by_name(tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["x", "w"], "c", pads=[2, 0], kernel_shape=[3]),
        node("Softmax", ["c"], "y", axis=2, name="soft"),
    ]
    model = save(tmp_path / "net.onnx", nodes, {"x": ["n", 1, 32]}, ["y"], {"w": draw(1, 4, 1, 3)})
    data = small_data(tmp_path / "calib.npz", x=draw(7, 20, 1, 32), y=None, group=None)
    answer = run("compile", model, "--device", "nrf52840", "--stream", "--data", data, "-o", tmp_path / "out")
    assert answer.code == 2
    assert "layer soft (softmax): it normalises over all of time" in answer.text


def test_small_data_has_what_streams_need(tmp_path: Path) -> None:
    """A guard of this file's own samples: the causal network's examples are not all alike."""
    data = np.load(small_data(tmp_path / "calib.npz", x=draw(7, 20, 1, 64), y=None, group=None))
    assert np.ptp(data["x"]) > 1
