"""Bad input: exit code 2, one message that says what, where and what to try, and nothing written anywhere."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cli_runner import Answer, Compiled, draw, load, node, run, save, shell, small_data, small_net, tree
from onnx import TensorProto

DEVICE = "stm32l4r5"


def refused(answer: Answer, folder: Path, before: dict[str, str], *words: str) -> None:
    """Exit 2, nothing on stdout, one message with every word, no traceback, no file that was not there."""
    assert answer.code == 2, answer
    assert answer.out == ""
    assert answer.err.count("trine: ") == 1
    assert answer.err.startswith("trine: ")
    assert "Traceback" not in answer.err
    for word in words:
        assert word in answer.text, answer.err
    assert tree(folder) == before


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a good model and good data."""
    small_net(tmp_path / "net.onnx")
    small_data(tmp_path / "calib.npz")
    return tmp_path


def compiles(
    place: Path, *words: str, device: str = DEVICE, data: str = "calib.npz", extra: tuple[object, ...] = ()
) -> None:
    """Compile `place`/net.onnx and expect to be refused."""
    before = tree(place)
    answer = run(
        "compile", place / "net.onnx", "--device", device, "--data", place / data, "-o", place / "out", *extra
    )
    refused(answer, place, before, *words)


def no_onnx(place: Path) -> None:
    (place / "net.onnx").write_bytes(b"this is text")


def truncated(place: Path) -> None:
    (place / "net.onnx").write_bytes((place / "net.onnx").read_bytes()[:-200])


def external(place: Path, location: str) -> None:
    proto = load(place / "net.onnx")
    weight = proto.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    entry = weight.external_data.add()
    entry.key, entry.value = "location", location
    (place / "net.onnx").write_bytes(proto.SerializeToString())


def weights(place: Path, value: float) -> None:
    bad = draw(1, 4, 1, 3)
    bad[2, 0, 1] = value
    small_net(place / "net.onnx", weight=bad)


def missing_model(place: Path) -> None:
    (place / "net.onnx").unlink()


def folder_for_model(place: Path) -> None:
    (place / "net.onnx").unlink()
    (place / "net.onnx").mkdir()


MODELS: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "not_onnx": (no_onnx, ("net.onnx", "not an ONNX file")),
    "empty": (lambda p: (p / "net.onnx").write_bytes(b"") and None, ("net.onnx", "empty")),
    "truncated": (truncated, ("net.onnx",)),
    "external_missing": (lambda p: external(p, "w.bin"), ("w.bin", "missing")),
    "external_outside": (lambda p: external(p, "../../etc/passwd"), ("outside the model's folder",)),
    "nan": (lambda p: weights(p, np.nan), ("weight w", "NaN or infinity")),
    "infinity": (lambda p: weights(p, -np.inf), ("weight w", "NaN or infinity")),
    "dynamic": (lambda p: small_net(p / "net.onnx", "time") and None, ("input x", "--shape x=1,1,")),
    "missing": (missing_model, ("net.onnx", "no such file")),
    "folder": (folder_for_model, ("net.onnx", "folder")),
}


@pytest.mark.parametrize("case", MODELS)
def test_models(case: str, place: Path) -> None:
    damage, words = MODELS[case]
    damage(place)
    compiles(place, *words)
    before = tree(place)
    refused(run("check", place / "net.onnx", "--device", DEVICE), place, before, *words)


def test_a_shape_cures_dynamic_axes(place: Path) -> None:
    small_net(place / "net.onnx", "time")
    assert run("check", place / "net.onnx", "--device", DEVICE, "--shape", "x=1,1,16").code == 0


def test_another_kind_of_file(place: Path) -> None:
    (place / "net.pth").write_bytes(b"weights")
    before = tree(place)
    answer = run("compile", place / "net.pth", "--device", DEVICE, "-o", place / "out")
    refused(answer, place, before, "net.pth", ".onnx", "torch.export.save")


def test_every_unsupported_node_is_listed(place: Path) -> None:
    nodes = [node("LpNormalization", ["x"], "a", name="first"), node("Det", ["a"], "y", name="second")]
    save(place / "net.onnx", nodes, {"x": ["n", 4, 4]}, ["y"], {})
    before = tree(place)
    refused(
        run("check", place / "net.onnx", "--device", DEVICE),
        place,
        before,
        "first (LpNormalization)",
        "second (Det)",
    )


x = draw(9, 24, 1, 16)
nan = x.copy()
nan[5, 0, 3] = np.nan
DATA: dict[str, tuple[dict[str, object], tuple[str, ...]]] = {
    "wrong_shape": ({"x": x[:, :, :9]}, ("(24, 1, 9)", "(examples, 1, 16)")),
    "no_example_axis": ({"x": x[0]}, ("(1, 16)", "axis of examples")),
    "text": ({"x": np.array(["a", "b"])}, ("array x", "numbers are wanted")),
    "complex": ({"x": x.astype(complex)}, ("array x", "complex128")),
    "objects": ({"x": np.array([{}, {}], object)}, ("array x", "never unpickled")),
    "missing_input": ({"x": None, "xs": x}, ("no array for input x", "did you mean xs?")),
    "empty": ({"x": x[:0]}, ("array x is empty",)),
    "constant": ({"x": np.ones_like(x)}, ("array x", "constant", "give examples that vary")),
    "nan": ({"x": nan}, ("array x, example 5", "NaN")),
    "counts": ({"y": np.arange(7)}, ("number of examples", "x 24", "y 7")),
}


@pytest.mark.parametrize("case", DATA)
def test_calibration_data(case: str, place: Path) -> None:
    changed, words = DATA[case]
    small_data(place / "calib.npz", **changed)
    compiles(place, "calib.npz", *words)


def test_calibration_files(place: Path) -> None:
    compiles(place, "nothing.npz", "no such file", data="nothing.npz")
    (place / "broken.npz").write_bytes((place / "calib.npz").read_bytes()[:-60])
    compiles(place, "broken.npz", "truncated", data="broken.npz")
    (place / "text.npz").write_text("x,y\n1,2\n")
    compiles(place, "text.npz", "not an .npz file", "numpy.savez", data="text.npz")


def test_no_calibration_data(place: Path) -> None:
    before = tree(place)
    answer = run("compile", place / "net.onnx", "--device", DEVICE, "-o", place / "out")
    refused(answer, place, before, "give --data", "x [examples, 1, 16]")


DEVICES = {
    "stm32l4r": ("unknown device", "did you mean stm32l4r5"),
    "akida_akd1000": ("akida_akd1000", "take loihi1"),
    "ibm_heron_r2": ("quantum machine", "trine formulate"),
    "./mine.toml": ("mine.toml",),
    "": ("no device", "trine devices"),
}


@pytest.mark.parametrize("device", DEVICES)
def test_devices(device: str, place: Path) -> None:
    compiles(place, *DEVICES[device], device=device)
    before = tree(place)
    refused(run("check", place / "net.onnx", "--device", device), place, before, *DEVICES[device])


def test_a_broken_device_file(place: Path) -> None:
    from trine.devices import load_device

    text = Path(load_device(DEVICE).path).read_text()
    (place / "mine.toml").write_text(text.replace("[memory]", "[memory]\nramm = 3\n"))
    compiles(place, "mine.toml", "ramm", "did you mean ram", device=str(place / "mine.toml"))
    (place / "mine.toml").write_text("name = [")
    compiles(place, "mine.toml", device=str(place / "mine.toml"))


OPTIONS = {
    ("--shape", "x"): "--shape x", ("--shape", "x=1,a"): "--shape x=1,a", ("--shape", "=1,2"): "name",
    ("--shape", "x=1,0,16"): "at least 1", ("--shape", "xx=1,1,16"): "did you mean x?",
    ("--rate", "0"): "positive", ("--rate", "-1"): "positive", ("--rate", "nan"): "positive",
    ("--battery", "cr20322"): "did you mean cr2032",
}  # fmt: skip


@pytest.mark.parametrize("option", OPTIONS)
def test_options(option: tuple[str, str], place: Path) -> None:
    compiles(place, OPTIONS[option], extra=option)


@pytest.mark.parametrize(
    "words",
    [("compile",), ("compile", "a.onnx"), ("nothing",), ("verify",), ("devices", "--kind", "x"),
     ("simulate", "out", "--data", "x.npz", "--examples", "0"), ("compile", "a.onnx", "--rate", "often")],
)  # fmt: skip
def test_usage(words: tuple[str, ...]) -> None:
    answer = run(*words)
    assert answer.code == 2
    assert answer.out == ""
    assert "Error: " in answer.err
    assert "Traceback" not in answer.err


def test_output_folders(place: Path) -> None:
    def refuses(out: Path, *words: str) -> None:
        before = tree(place)
        answer = run(
            "compile", place / "net.onnx", "--device", DEVICE, "--data", place / "calib.npz", "-o", out
        )
        refused(answer, place, before, str(out), *words)

    (place / "mine").mkdir()
    (place / "mine" / "notes.txt").write_text("keep")
    refuses(place / "mine", "exists and is not a deployment", "choose another folder")
    refuses(place / "net.onnx", "a file is there", "choose another output folder")
    refuses(place / "net.onnx" / "out", "cannot write in", "choose another output folder")
    refuses(place / "mine" / "notes.txt" / "deep" / "out", "cannot write in")
    (place / "dangling").symlink_to(place / "nowhere")
    refuses(place / "dangling", "a file is there")
    (place / "mine" / "deployment.json").write_text("{}")
    refuses(place / "mine", "no deployment that can be replaced", "schema")


def test_a_deployment_with_other_files_is_not_replaced(compiled: Compiled, copy: Path) -> None:
    (copy / "notes.txt").write_text("keep")
    before = tree(copy)
    answer = run("compile", compiled.model, "--device", DEVICE, "--data", compiled.data, "-o", copy)
    refused(answer, copy, before, "notes.txt", "choose another folder")


def test_a_parent_that_cannot_be_written(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and access(path, mode))
    compiles(place, "cannot write in")


def test_a_disk_that_fills_at_any_write(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        if ".part" in str(self) and self.name == "float.onnx":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    before = tree(place)
    out = place / "new" / "deep" / "out"
    answer = run("compile", place / "net.onnx", "--device", DEVICE, "--data", place / "calib.npz", "-o", out)
    refused(answer, place, before, str(out), "No space left on device", "nothing was left behind")


@pytest.mark.parametrize("limit", [500, 2500])
def test_a_file_system_that_takes_no_more(limit: int, place: Path) -> None:
    before = tree(place)
    answer = shell(
        "compile", place / "net.onnx", "--device", DEVICE, "--data", place / "calib.npz", "-o", place / "out",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        env={"PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    refused(answer, place, before, str(place / "out"), "could not be written", "File too large")


def test_folders_that_are_no_deployments(compiled: Compiled, place: Path) -> None:
    (place / "other").mkdir()
    for command in (("verify", place / "other"), ("simulate", place / "other", "--data", compiled.data)):
        refused(run(*command), place, tree(place), "other", "not a deployment")
    refused(
        run("verify", place / "nothing"), place, tree(place), "nothing", "no such folder", "trine compile"
    )
    refused(run("verify", place / "net.onnx"), place, tree(place), "net.onnx", "no such folder")


RECORDS = {
    "text": "not json", "list": "[]", "empty": "", "null": "null", "deep": "[" * 100_000,
    "schema": '{"schema": "trine.deployment/9"}', "keys": '{"schema": "trine.deployment/1"}',
}  # fmt: skip


@pytest.mark.parametrize("case", RECORDS)
def test_a_record_that_cannot_be_read(case: str, compiled: Compiled, copy: Path) -> None:
    (copy / "deployment.json").write_text(RECORDS[case])
    for command in (("verify", copy), ("simulate", copy, "--data", compiled.data)):
        refused(run(*command), copy, tree(copy), "deployment.json", "compile the model again")


@pytest.mark.parametrize("case", ["wrong_shape", "missing_input", "empty", "nan", "text"])
def test_data_that_do_not_fit_the_deployment(case: str, compiled: Compiled, tmp_path: Path) -> None:
    changed, words = DATA[case]
    data = small_data(tmp_path / "test.npz", **changed)
    refused(run("simulate", compiled.out, "--data", data), tmp_path, tree(tmp_path), "test.npz", *words)


def test_a_program_of_its_own_says_the_same(place: Path) -> None:
    no_onnx(place)
    before = tree(place)
    answer = shell(
        "compile", place / "net.onnx", "--device", DEVICE, "--data", place / "calib.npz", "-o", place / "out"
    )
    refused(answer, place, before, "not an ONNX file")
