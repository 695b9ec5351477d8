"""Small networks for neuromorphic chips, compiled once through the command line."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from cli_runner import Compiled, draw, float_answers, node, run, save, small_data, small_net


def spiking_data(path: Path, model: Path, count: int = 64) -> Path:
    """Examples for `small_net` with its own classes as labels."""
    x = draw(9, count, 1, 16)
    y = float_answers(model, x).argmax(axis=1)
    return small_data(path, x=x, y=y, group=np.arange(count) // 4, classes=np.array(["N", "S", "V"]))


@cache
def spiking() -> Compiled:
    """`small_net` for loihi1, scheme exact, T = 4."""
    folder = Path(mkdtemp(prefix="trine-spiking-"))
    model = small_net(folder / "net.onnx")
    data = spiking_data(folder / "calib.npz", model)
    words = (
        "compile",
        model,
        "--device",
        "loihi1",
        "--steps",
        "4",
        "--data",
        data,
        "-o",
        folder / "out",
        "--json",
    )
    answer = run(*words)
    assert answer.code == 0, answer.err
    return Compiled(model, data, folder / "out", answer)


def beat_net(path: Path) -> Path:
    """A network that takes a heartbeat and its rhythm as `trine data mitbih` has them."""
    nodes = [
        node("Conv", ["beat", "w"], "c", strides=[8], kernel_shape=[9]),
        node("Relu", ["c"], "r"),
        node("Flatten", ["r"], "f"),
        node("Concat", ["f", "rr"], "j", axis=1),
        node("Gemm", ["j", "v"], "y", transB=1),
    ]
    constants: dict[str, Any] = {"w": draw(1, 4, 2, 9), "v": draw(2, 5, 4 * 15 + 8)}
    return save(path, nodes, {"beat": ["n", 2, 128], "rr": ["n", 8]}, ["y"], constants)


@cache
def beats() -> Path:
    """`beat_net` for loihi1."""
    folder = Path(mkdtemp(prefix="trine-beats-"))
    np.savez(folder / "calib.npz", beat=draw(3, 32, 2, 128), rr=draw(4, 32, 8))
    words = (
        "compile",
        beat_net(folder / "beats.onnx"),
        "--device",
        "loihi1",
        "--steps",
        "3",
        "--input-bits",
        "4",
    )
    answer = run(*words, "--data", folder / "calib.npz", "-o", folder / "out")
    assert answer.code == 0, answer.err
    return folder / "out"
