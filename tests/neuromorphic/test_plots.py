"""Pictures: written, whole, the same bytes twice, showing what they were given."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trine.devices.errors import InputError
from trine.neuromorphic import plots

pytest.importorskip("matplotlib", reason="the extra neuromorphic (matplotlib) is not installed")

RNG = np.random.default_rng(0)
SPIKES = {
    "input": RNG.random((50, 2, 10)) < 0.2,
    "hidden": RNG.random((50, 200)) < 0.05,
    "out": RNG.random((50, 1)) < 0.5,
}
DATA: dict[str, tuple[Any, Any]] = {
    "raster": (plots.plot_raster, plots.Raster(SPIKES, 1e-3)),
    "membranes": (
        plots.plot_membranes,
        plots.Membranes(
            {"a": RNG.random(50), "b": np.zeros(50)},
            1e-4,
            {"a": 1.2},
            {"a": SPIKES["out"][:, 0]},
            {"a": RNG.random(50)},
        ),
    ),
    "load": (
        plots.plot_core_load,
        plots.CoreLoad(
            np.array([[0.5, 1.0, np.nan], [0.2, 0.9, 0.7]]),
            "neurons",
            "loihi1",
            [["a", "a", ""], ["b", "b", "b"]],
        ),
    ),
    "energy": (
        plots.plot_energy,
        plots.EnergyParts(
            {"one": {"x": 2e-6, "y": 1e-6}, "two": {"x": 5e-6}},
            {"one": 2e-6},
            {"one": 9e-6},
            source="somewhere",
        ),
    ),
    "accuracy": (
        plots.plot_accuracy,
        plots.StepAccuracy({"rate": {1: 0.5, 4: 0.9}, "exact": {2: 0.8}}, {"float": 0.95}),
    ),
}


@pytest.mark.parametrize("kind", DATA)
@pytest.mark.parametrize("ending", ["png", "svg"])
def test_the_same_data_give_the_same_bytes(kind: str, ending: str, tmp_path: Path) -> None:
    draw, data = DATA[kind]
    draw(data, tmp_path / f"a.{ending}")
    draw(data, tmp_path / f"b.{ending}")
    first = (tmp_path / f"a.{ending}").read_bytes()
    assert first == (tmp_path / f"b.{ending}").read_bytes()
    assert first.startswith(b"\x89PNG" if ending == "png" else b"<?xml")
    assert len(first) > 3000


def test_pictures_hold_their_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(plots.STYLE, "svg.fonttype", "none")  # text stays text

    def words(kind: str) -> str:
        draw, data = DATA[kind]
        draw(data, tmp_path / "t.svg")
        return " ".join(re.findall(r">([^<>]+)</text>", (tmp_path / "t.svg").read_text()))

    rate = SPIKES["out"].mean()
    assert f"{100 * rate:.3g} % of steps" in words("raster")
    assert "5 of 6 cores" in words("load")
    assert "mean 66 %" in words("load")
    energy = words("energy")
    assert "5 µJ" in energy
    assert "somewhere" in energy
    assert "float: 95.00 %" in words("accuracy")
    assert "threshold" in words("membranes")


def test_bad_paths_and_empty_data(tmp_path: Path) -> None:
    draw, data = DATA["raster"]
    with pytest.raises(InputError, match=r"\.png or \.svg"):
        draw(data, tmp_path / "a.jpg")
    with pytest.raises(InputError, match="no such folder"):
        draw(data, tmp_path / "none" / "a.png")
    for empty, other in (
        (plots.plot_raster, plots.Raster({}, 1e-3)),
        (plots.plot_energy, plots.EnergyParts({})),
        (plots.plot_membranes, plots.Membranes({}, 1e-3)),
        (plots.plot_accuracy, plots.StepAccuracy({})),
    ):
        with pytest.raises(InputError):
            empty(other, tmp_path / "a.png")
    assert not list(tmp_path.iterdir())
