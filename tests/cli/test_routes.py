"""Other ways in and out: torch, tflite's rule, uint8, awkward networks and names, other devices."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_runner import Answer, Array, Compiled, draw, node, run, save, shell, small_data, small_net

from trine.devices import load_device


def compiled_record(answer: Answer) -> Any:
    """deployment.json of a compilation that must have gone well, all prints equal."""
    assert answer.code == 0, answer.err
    record = json.loads(answer.out)
    for entry in record["parity"]:
        assert entry["differing"] == 0 or not entry["exact"], entry
    assert any("C on the host" in entry["against"] for entry in record["parity"])
    return record


def compile_here(
    folder: Path, model: Path, arrays: dict[str, Array], *extra: object, device: str = "nrf52840"
) -> Any:
    """Compile with these examples; the record."""
    np.savez(folder / "calib.npz", **arrays)
    words = (
        "compile",
        model,
        "--device",
        device,
        "--data",
        folder / "calib.npz",
        "-o",
        folder / "out",
        "--json",
    )
    return compiled_record(run(*words, *extra))


def test_a_torch_network(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv1d(1, 4, 5, padding=2), torch.nn.BatchNorm1d(4), torch.nn.ReLU(), torch.nn.AvgPool1d(2),
        torch.nn.Flatten(), torch.nn.Linear(32, 3),
    ).eval()  # fmt: skip
    batch = torch.export.Dim("batch")
    exported = torch.export.export(net, (torch.zeros(2, 1, 16),), dynamic_shapes=({0: batch},))
    torch.export.save(exported, tmp_path / "net.pt2")
    x = draw(3, 20, 1, 16)
    with torch.no_grad():
        y = net(torch.from_numpy(x)).argmax(dim=1).numpy()
    name = json.loads(run("check", tmp_path / "net.pt2", "--device", "nrf52840", "--json").out)
    assert name["ok"] is True
    record = compile_here(tmp_path, tmp_path / "net.pt2", {"x": x, "y": y})
    assert record["source"]["file"] == "net.pt2"
    assert record["accuracy"]["source"]["accuracy"] == 1.0
    assert run("verify", tmp_path / "out").code == 0


def test_a_broken_pt2(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "net.pt2").write_bytes(b"PK\x03\x04 nothing")
    answer = shell("check", tmp_path / "net.pt2", "--device", "nrf52840")
    assert answer.code == 2
    assert answer.out == ""
    assert "net.pt2" in answer.err
    assert "Traceback" not in answer.err


def test_the_tflite_rule(tmp_path: Path) -> None:
    model = small_net(tmp_path / "net.onnx")
    record = compile_here(tmp_path, model, {"x": draw(9, 24, 1, 16)}, "--requantize", "tflite")
    assert [p for p in record["parity"] if "onnxruntime" in p["against"]] == []
    assert any("tflite" in warning for warning in record["warnings"])
    assert "trine_tflite" in (tmp_path / "out" / "c" / "net.c").read_text()
    assert run("verify", tmp_path / "out").code == 0


def test_uint8_activations(compiled: Compiled, tmp_path: Path) -> None:
    import onnx

    words = (
        "compile",
        compiled.model,
        "--device",
        "stm32l4r5",
        "--data",
        compiled.data,
        "-o",
        tmp_path / "out",
        "--json",
    )
    record = compiled_record(run(*words, "--activation-type", "uint8"))
    assert len([p for p in record["parity"] if "onnxruntime" in p["against"]]) == 2
    kinds = {t.data_type for t in onnx.load(tmp_path / "out" / "model.onnx").graph.initializer}
    assert onnx.TensorProto.UINT8 in kinds
    assert (tmp_path / "out" / "c" / "net.c").read_bytes() == (compiled.out / "c" / "net.c").read_bytes()
    assert run("verify", tmp_path / "out").code == 0


def conv(x: str, y: str, w: str, **attributes: Any) -> Any:
    return node("Conv", [x, w], y, **attributes)


def two_ends(path: Path) -> dict[str, Array]:
    """Two inputs that are added, two outputs."""
    nodes = [
        conv("a", "c", "w"),
        node("Add", ["c", "b"], "s"),
        node("Relu", ["s"], "r"),
        node("Tanh", ["s"], "t"),
    ]
    save(path, nodes, {"a": ["n", 2, 8], "b": ["n", 3, 6]}, ["r", "t"], {"w": draw(1, 3, 2, 3)})
    return {"a": draw(2, 10, 2, 8), "b": draw(3, 10, 3, 6)}


def image(path: Path) -> dict[str, Array]:
    """A picture of three channels, flattened: the layout changes on the way."""
    nodes = [conv("x", "c", "w", strides=[2, 2], pads=[1, 1, 1, 1]), node("Relu", ["c"], "r"),
             node("Flatten", ["r"], "f"),
             node("Gemm", ["f", "v"], "g", transB=1), node("Softmax", ["g"], "y")]  # fmt: skip
    save(path, nodes, {"x": ["n", 3, 8, 6]}, ["y"], {"w": draw(1, 5, 3, 3, 3), "v": draw(2, 4, 60)})
    return {"x": draw(2, 10, 3, 8, 6)}


def gemm_only(path: Path) -> dict[str, Array]:
    save(
        path,
        [node("Gemm", ["x", "w", "b"], "y")],
        {"x": ["n", 7]},
        ["y"],
        {"w": draw(1, 7, 5), "b": draw(2, 5)},
    )
    return {"x": draw(3, 10, 7)}


def input_is_output(path: Path) -> dict[str, Array]:
    nodes = [node("Relu", ["x"], "r"), node("Identity", ["x"], "same")]
    save(path, nodes, {"x": ["n", 2, 9]}, ["r", "same"], {})
    return {"x": draw(3, 10, 2, 9)}


def odd_names(path: Path) -> dict[str, Array]:
    """Slashes, letters beyond ASCII, leading digits, C keywords, names that fall together as identifiers."""
    nodes = [
        conv("сигнал/1", "int", "while", name="for"), node("Relu", ["int"], "1/2", name="for "),
        conv("сигнал.1", "心", "double", name="心电"),
        node("Add", ["1/2", "心"], "return", name="*/ #error"),
        node("Tanh", ["return"], "RETURN", name="main"),
    ]  # fmt: skip
    shapes = {"сигнал/1": ["n", 2, 6], "сигнал.1": ["n", 2, 6]}
    save(path, nodes, shapes, ["return", "RETURN"], {"while": draw(1, 2, 2, 3), "double": draw(2, 2, 2, 3)})
    return {"сигнал/1": draw(2, 10, 2, 6), "сигнал.1": 3 * draw(3, 10, 2, 6)}


NETS = {
    "two_ends": two_ends,
    "image": image,
    "gemm_only": gemm_only,
    "input_is_output": input_is_output,
    "odd_names": odd_names,
}


@pytest.mark.parametrize("net", NETS)
def test_awkward_networks(net: str, tmp_path: Path) -> None:
    arrays = NETS[net](tmp_path / "net.onnx")
    record = compile_here(tmp_path, tmp_path / "net.onnx", arrays)
    assert any("emulated cortex-m4f" in p["against"] for p in record["parity"])
    again = run("verify", tmp_path / "out")
    assert again.code == 0, again.err
    simulated = run("simulate", tmp_path / "out", "--data", tmp_path / "calib.npz", "--json")
    assert simulated.code == 0, simulated.err


@pytest.mark.parametrize(
    "name",
    [
        "my net (final).onnx",
        "int.onnx",
        "心电图.onnx",
        "1-2.onnx",
        "a'b\"c.onnx",
        "a[b].onnx",
        "-x.ONNX",
        "....onnx",
    ],
)
def test_names_of_model_files(name: str, tmp_path: Path) -> None:
    gemm_only(tmp_path / name)
    record = compile_here(tmp_path, tmp_path / name, {"x": draw(3, 10, 7)}, device="rsl10")
    assert record["source"]["file"] == name
    assert all(entry["path"].isascii() for entry in record["artifacts"])
    assert run("verify", tmp_path / "out").code == 0
    assert name in run("simulate", tmp_path / "out", "--data", tmp_path / "calib.npz").out


def test_a_linux_device_gets_onnx_and_no_c(compiled: Compiled, tmp_path: Path) -> None:
    words = ("--device", "raspberry_pi_zero_2w", "--data", compiled.data, "-o", tmp_path / "out", "--json")
    answer = run("compile", compiled.model, *words)
    assert answer.code == 0, answer.err
    record = json.loads(answer.out)
    assert not (tmp_path / "out" / "c").exists()
    assert {a["role"] for a in record["artifacts"]}.isdisjoint({"c_source", "c_header"})
    assert len(record["parity"]) == 2
    assert all(p["differing"] == 0 and "onnxruntime" in p["against"] for p in record["parity"])
    assert "latency_s" not in {c["name"] for c in record["cost"]}
    assert record["missing"]["latency_s"]
    assert [f["limit"] for f in record["fit"]] == ["ram"]
    assert run("verify", tmp_path / "out").code == 0
    assert run("simulate", tmp_path / "out", "--data", compiled.data).code == 0


@pytest.mark.parametrize("device", ["esp32s3", "msp430fr5994"])
def test_a_core_that_nothing_here_emulates(device: str, compiled: Compiled, tmp_path: Path) -> None:
    words = ("--device", device, "--data", compiled.data, "-o", tmp_path / "out", "--json")
    record = compiled_record(run("compile", compiled.model, *words))
    assert any("no emulator here models" in warning for warning in record["warnings"])
    assert {f["how"] for f in record["fit"]} == {"modelled"}
    assert "latency_s" in record["missing"]
    assert run("verify", tmp_path / "out").code == 0


def test_a_device_of_ones_own(compiled: Compiled, tmp_path: Path) -> None:
    text = Path(load_device("stm32l4r5").path).read_text()
    mine = tmp_path / "mine.toml"
    mine.write_text(text.replace('name = "stm32l4r5"', 'name = "mine"', 1))
    words = (
        "compile",
        compiled.model,
        "--device",
        "./mine.toml",
        "--data",
        compiled.data,
        "-o",
        "out",
        "--json",
    )
    answer = shell(*words, cwd=tmp_path)
    assert compiled_record(answer)["device"] == "mine"
    mine.unlink()
    assert run("verify", tmp_path / "out").code == 0
    simulated = run("simulate", tmp_path / "out", "--data", compiled.data, "--json")
    assert simulated.code == 0
    found = {c["name"]: c["value"] for c in json.loads(simulated.out)["cost"]}
    assert found["latency_s"] == {c["name"]: c["value"] for c in compiled.record["cost"]}["latency_s"]


def test_a_shape_given_on_the_command_line(tmp_path: Path) -> None:
    small_net(tmp_path / "net.onnx", "time")
    small_data(tmp_path / "calib.npz", y=None, group=None)
    words = ("compile", tmp_path / "net.onnx", "--device", "nrf52840", "--data", tmp_path / "calib.npz")
    record = compiled_record(run(*words, "-o", tmp_path / "out", "--shape", "x=1,1,16", "--json"))
    assert record["accuracy"] is None
