"""Bad input for neuromorphic chips: one message, the right exit code, nothing left running and nothing half-written."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cli_runner import Answer, draw, node, run, save, shell, small_net, tree
from spiking_models import spiking, spiking_data
from test_bad_input import refused

from trine.neuromorphic.backends import lava_environment, sanafe_environment


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a good model and good data."""
    spiking_data(tmp_path / "calib.npz", small_net(tmp_path / "net.onnx"))
    return tmp_path


def compiles(place: Path, *extra: object, device: str = "loihi1") -> Answer:
    """Compile what lies in a folder."""
    words = (
        "compile",
        place / "net.onnx",
        "--device",
        device,
        "--data",
        place / "calib.npz",
        "-o",
        place / "out",
    )
    return run(*words, *extra)


def test_unsupported_nodes_are_named_all_at_once(place: Path) -> None:
    nodes = [
        node("Sigmoid", ["x"], "a", name="first"),
        node("Tanh", ["x"], "t", name="second"),
        node("Add", ["a", "t"], "y"),
    ]
    save(place / "net.onnx", nodes, {"x": ["n", 1, 16]}, ["y"], {})
    before = tree(place)
    refused(compiles(place), place, before, "first", "Sigmoid", "second", "Tanh")
    refused(run("check", place / "net.onnx", "--device", "loihi1"), place, before, "first", "second")


OPTIONS = {
    ("--steps", "0"): "T is 0", ("--steps", "4,0"): "0", ("--steps", "many"): "--steps many",
    ("--scheme", "rate", "--steps", "4", "--lag", "7"): "lag is 7", ("--lag", "1"): "only --scheme rate has a lag",
    ("--scheme", "sigma_delta"): "graded spikes, which loihi1 does not have", ("--input-bits", "0"): "input_bits is 0",
    ("--weight-bits", "40"): "40", ("--calibration-examples", "0"): "calibration_examples is 0",
    ("--epochs", "3"): "--epochs: only with --fine-tune", ("--implant",): "--implant: means nothing for loihi1",
    ("--compiler", "gcc"): "--compiler: means nothing for loihi1", ("--dt", "1e-3"): "only for .nir files",
}  # fmt: skip


@pytest.mark.parametrize("option", OPTIONS)
def test_options(option: tuple[str, ...], place: Path) -> None:
    before = tree(place)
    refused(compiles(place, *option), place, before, OPTIONS[option])


def test_options_of_spikes_mean_nothing_to_an_edge_device(place: Path) -> None:
    before = tree(place)
    answer = compiles(place, "--scheme", "rate", "--steps", "4", device="stm32l4r5")
    refused(answer, place, before, "--scheme", "--steps", "means nothing for stm32l4r5")


def test_weights_that_are_no_numbers(place: Path) -> None:
    bad = draw(1, 4, 1, 3)
    bad[1, 0, 2] = np.nan
    small_net(place / "net.onnx", weight=bad)
    refused(compiles(place), place, tree(place), "weight w", "NaN or infinity")


def test_a_threshold_that_would_be_zero(place: Path) -> None:
    nodes = [
        node("Conv", ["x", "w"], "c", pads=[1, 1], kernel_shape=[3]),
        node("Relu", ["c"], "r"),
        node("Flatten", ["r"], "f"),
        node("Gemm", ["f", "v"], "y", transB=1),
    ]
    constants = {"w": np.zeros((4, 1, 3), np.float32), "v": draw(2, 3, 64)}
    save(place / "net.onnx", nodes, {"x": ["n", 1, 16]}, ["y"], constants)
    refused(compiles(place, "--no-refit"), place, tree(place), "layer the_c", "threshold would be zero")


def test_a_net_too_large_for_the_chip(place: Path) -> None:
    nodes = [  # 69,632 neurons of two compartments each; the chip has 131,072
        node("Conv", ["x", "w"], "c", pads=[1, 1], kernel_shape=[3]),
        node("Relu", ["c"], "r"),
        node("AveragePool", ["r"], "a", kernel_shape=[256], strides=[256]),
        node("Flatten", ["a"], "f"),
        node("Gemm", ["f", "v"], "y", transB=1),
    ]
    constants = {"w": draw(1, 17, 1, 3), "v": draw(2, 2, 17 * 16)}
    save(place / "net.onnx", nodes, {"x": ["n", 1, 4096]}, ["y"], constants)
    np.savez(place / "calib.npz", x=draw(5, 2, 1, 4096))
    before = tree(place)
    answer = compiles(place, "--steps", "2", "--input-bits", "2", "--no-refit")
    assert answer.code == 1
    assert answer.out == ""
    assert "does not fit loihi1" in answer.err
    assert "any of these would make it fit" in answer.err
    assert tree(place) == before


SIMULATIONS = {
    (): "--data X.npz", ("--time-limit", "5"): "--time-limit: only with", ("--plot-format", "svg"): "only with --plots",
    ("--seconds", "3"): "--seconds: only with --record", ("--encoder", "delta"): "only with --record",
    ("--record", "nowhere/1"): "a recording becomes inputs beat [2, 128] and rr [8]",
    ("--compiler", "gcc"): "means nothing for loihi1",
}  # fmt: skip


@pytest.mark.parametrize("words", SIMULATIONS)
def test_simulations(words: tuple[str, ...], tmp_path: Path) -> None:
    answer = run("simulate", spiking().out, *words)
    refused(answer, tmp_path, {}, SIMULATIONS[words])


def test_pictures_that_cannot_be_put_anywhere(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    before = tree(tmp_path)
    words = ("simulate", spiking().out, "--data", spiking().data, "--plots")
    refused(run(*words, tmp_path / "file"), tmp_path, before, "a file is there")
    refused(run(*words, tmp_path / "file" / "deep"), tmp_path, before, "--plots")


def test_records_that_are_none(tmp_path: Path) -> None:
    pytest.importorskip("wfdb", reason="the extra data (wfdb) is not installed")
    from spiking_models import beats

    words = ("simulate", beats(), "--record")
    refused(run(*words, tmp_path / "208"), tmp_path, {}, "208.hea: no such record")
    refused(run(*words, tmp_path / "208", "--seconds", "-1"), tmp_path, {}, "give more than 0")
    (tmp_path / "1.hea").write_text("no header\n")
    refused(run(*words, tmp_path / "1"), tmp_path, tree(tmp_path), "1: cannot be read as a WFDB record")


def nir_file(path: Path, delayed: bool = False, weight: float = 0.5, tau: float = 5e-3) -> Path:
    """Two neurons that feed each other, without a delay or with one."""
    nir = pytest.importorskip("nir", reason="the extra neuromorphic (nir) is not installed")

    def lif() -> object:
        return nir.LIF(*(np.full(2, v) for v in (tau, 1.0, 0.0, 1.0)), v_reset=np.zeros(2))

    w = np.array([[0.0, weight], [weight, 0.0]])
    nodes = {
        "i": nir.Input(np.array([2])), "o": nir.Output(np.array([2])), "n": lif(), "m": lif(),
        "w": nir.Linear(w), "v": nir.Linear(w),
    }  # fmt: skip
    edges = [("i", "n"), ("n", "w"), ("w", "m"), ("m", "v"), ("v", "n"), ("n", "o")]
    if delayed:
        nodes["d"] = nir.Delay(np.full(2, 2e-4))
        edges = [e for e in edges if e != ("v", "n")] + [("v", "d"), ("d", "n")]
    nir.write(str(path), nir.NIRGraph(nodes, edges, type_check=False))
    return path


def test_nir_files_that_cannot_run(tmp_path: Path) -> None:
    def refuses(path: Path, *words: str, extra: tuple[object, ...] = ()) -> None:
        before = tree(tmp_path)
        answer = run("compile", path, "--device", "loihi1", "-o", tmp_path / "out", *extra)
        refused(answer, tmp_path, before, *words)

    ring = nir_file(tmp_path / "ring.nir")
    refuses(ring, "cycle without delay", "--slower-cycles")
    refuses(ring, "longer than tau", extra=("--dt", "0.02"))
    refuses(ring, "dt_s is", extra=("--dt", "0"))
    refuses(nir_file(tmp_path / "nan.nir", True, np.nan), "NaN")
    refuses(ring, "--scheme: for networks", extra=("--scheme", "rate"))
    (tmp_path / "text.nir").write_text("hello")
    refuses(tmp_path / "text.nir", "text.nir", "not a readable NIR")
    refuses(tmp_path / "none.nir", "no such file")
    before = tree(tmp_path)
    refused(
        run("compile", ring, "--device", "stm32l4r5", "-o", tmp_path / "o"), tmp_path, before, "a spiking net"
    )
    late = nir_file(tmp_path / "late.nir", delayed=True)
    assert run("compile", late, "--device", "loihi1", "-o", tmp_path / "late").code == 0
    assert run("compile", ring, "--device", "loihi1", "--slower-cycles", "-o", tmp_path / "slow").code == 0
    before = tree(tmp_path)
    np.savez(tmp_path / "c.npz", y=np.zeros((2, 3)))
    before = tree(tmp_path)
    refused(
        run("simulate", tmp_path / "late", "--data", tmp_path / "c.npz"),
        tmp_path,
        before,
        "no array for input i",
    )
    refused(
        run("simulate", tmp_path / "late", "--data", tmp_path / "no.npz"), tmp_path, before, "no such file"
    )


def test_a_malformed_nir_file_of_another_tool(tmp_path: Path) -> None:
    from test_spiking import shared

    source = shared("snn_nir/lif/lif_rockpool.nir")
    words = ("malformed NIR graph", "'1_LIFNeuronTorch' puts out (1,), 'output' takes (1, 1, 1)")
    refused(run("compile", source, "--device", "loihi1", "-o", tmp_path / "o"), tmp_path, {}, *words)
    refused(run("nir", source, "-o", tmp_path / "o.nir"), tmp_path, {}, *words)


def test_exports_that_have_no_place(tmp_path: Path) -> None:
    out = spiking().out
    refused(run("nir", out, "-o", tmp_path / "a.txt"), tmp_path, {}, "ends in .nir")
    refused(run("nir", out, "-o", tmp_path / "none" / "a.nir"), tmp_path, {}, "no such folder")
    refused(run("nir", tmp_path, "-o", tmp_path / "a.nir"), tmp_path, {}, "not a deployment")


def asks(backend: str, *extra: object) -> tuple[object, ...]:
    """A simulation with another simulator."""
    made = spiking()
    return ("simulate", made.out, "--data", made.data, "--examples", "1", "--backend", backend, *extra)


def test_missing_side_environments(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(lava_environment.VARIABLE, raising=False)
    monkeypatch.setattr(lava_environment, "folder", lambda: tmp_path)
    refused(run(*asks("lava")), tmp_path, {}, "trine lava setup")
    monkeypatch.delenv(sanafe_environment.VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    refused(run(*asks("sanafe")), tmp_path, {}, "pip install sanafe", sanafe_environment.VARIABLE)
    for variable, backend in ((lava_environment.VARIABLE, "lava"), (sanafe_environment.VARIABLE, "sanafe")):
        monkeypatch.setenv(variable, str(tmp_path / "python"))
        refused(run(*asks(backend)), tmp_path, {}, variable, "does not exist")


def running(mark: str) -> list[str]:
    """Processes whose command line has a mark."""
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if mark in line]


def fake(folder: Path, body: str) -> tuple[Path, str]:
    """An interpreter that does something else than it is asked, and leaves a child behind; and the child's mark."""
    mark = f"time.sleep(600 + {os.getpid()})"
    child = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; {mark}'])"
    path = folder / "python"
    path.write_text(f"#!{sys.executable}\n{child}\n{body}\n")
    path.chmod(0o755)
    return path, mark


WORKERS = {
    "hangs": ("time.sleep(600)", "did not finish within 2 s"),
    "dies": ("import os; os.kill(os.getpid(), 9)", "ended with code -9"),
    "fails": ("raise ValueError('no such layer: conv7')", "no such layer: conv7"),
    "answers nothing": ("", "result"),
}


@pytest.mark.skipif(os.name == "nt", reason="process groups of POSIX")
@pytest.mark.parametrize("backend", ["lava", "sanafe"])
@pytest.mark.parametrize("what", WORKERS)
def test_workers_that_misbehave(
    what: str, backend: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    body, says = WORKERS[what]
    interpreter, mark = fake(tmp_path, body)
    place = lava_environment if backend == "lava" else sanafe_environment
    monkeypatch.setenv(place.VARIABLE, str(interpreter))
    spiking()
    before, began = tree(tmp_path), time.monotonic()
    answer = run(*asks(backend, "--time-limit", "2"))
    assert answer.code == 1
    assert answer.out == ""
    assert answer.err.count("trine: ") == 1
    assert says in answer.err
    assert "Traceback" not in answer.err
    assert time.monotonic() - began < 60
    assert running(mark) == []
    assert tree(tmp_path) == before


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_an_interrupt_ends_the_worker(tmp_path: Path) -> None:
    """SIGTERM to trine while a worker hangs: nothing of the worker is left."""
    interpreter, mark = fake(tmp_path, "time.sleep(600)")
    made = spiking()
    code = "from trine.cli import main; main()"
    words = ["simulate", str(made.out), "--data", str(made.data), "--examples", "1", "--backend", "sanafe"]
    child = subprocess.Popen(
        [sys.executable, "-c", code, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, sanafe_environment.VARIABLE: str(interpreter)},
    )  # fmt: skip
    until = time.monotonic() + 90
    while not running(mark) and time.monotonic() < until:
        time.sleep(0.2)
    assert running(mark)
    child.terminate()
    _, said = child.communicate(timeout=60)
    assert child.returncode == 143
    assert b"Traceback" not in said
    assert running(mark) == []


def no_package(name: str) -> Callable[..., Answer]:
    """Runs a command where a package cannot be imported."""
    hide = f"import sys; sys.modules[{name!r}] = None; from trine.cli import main; main()"
    return lambda *words: shell(*words, head=(sys.executable, "-c", hide))


def test_without_snntorch(tmp_path: Path) -> None:
    answer = no_package("snntorch")(*asks("snntorch"))
    refused(answer, tmp_path, {}, "pip install 'trine[neuromorphic]'")
