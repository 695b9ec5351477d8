"""One small deployment, compiled once and copied by the tests that change it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from cli_runner import Compiled, draw, float_answers, run, small_data, small_net


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    """`small_net` for stm32l4r5, on data that its float form classifies without a mistake but one."""
    folder = tmp_path_factory.mktemp("compiled")
    model, x = small_net(folder / "net.onnx"), draw(9, 24, 1, 16)
    y = float_answers(model, x).argmax(axis=1)
    y[0] = (y[0] + 1) % 3
    data = small_data(folder / "calib.npz", x=x, y=y, classes=np.array(["N", "S", "V"]))
    answer = run("compile", model, "--device", "stm32l4r5", "--data", data, "-o", folder / "out", "--json")
    assert answer.code == 0, answer.err
    return Compiled(model, data, folder / "out", answer)


@pytest.fixture
def copy(compiled: Compiled, tmp_path: Path) -> Path:
    """The deployment in a folder of the test's own."""
    return Path(shutil.copytree(compiled.out, tmp_path / "copy"))
