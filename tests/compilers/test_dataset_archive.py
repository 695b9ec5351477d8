"""Data sets by name, the archives they write, the bars they draw."""

from __future__ import annotations

import errno
import hashlib
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trine.compilers import datasets
from trine.compilers.datasets import archive, mitbih
from trine.devices.errors import InputError


def test_an_unknown_data_set_offers_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean mitbih"):
        datasets.write("mitbhi", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_outside_package_adds_a_data_set_but_cannot_replace_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def offer(value: str) -> None:
        point = EntryPoint("x", value, datasets.ENTRY_POINTS)
        monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [point])

    own = replace(mitbih.DATASET, name="own")
    monkeypatch.setattr(mitbih, "OWN", own, raising=False)
    offer("trine.compilers.datasets.mitbih:OWN")
    assert datasets.known()["own"] is own
    offer("trine.compilers.datasets.mitbih:DATASET")
    with pytest.raises(InputError, match="exists already"):
        datasets.known()
    offer("trine.compilers.datasets.mitbih:LEAD")
    with pytest.raises(InputError, match="no trine DataSet record"):
        datasets.known()


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_archive_is_what_numpy_reads_and_the_same_bytes_each_time(tmp_path: Path) -> None:
    values = np.arange(24, dtype=np.float32).reshape(6, 4)
    for name in ("a.npz", "b.npz"):
        pieces = archive.Column("v", np.float32, (6, 4), (values[i : i + 2] for i in (0, 2, 4)))
        archive.write_archive(tmp_path / name, [pieces, archive.column("names", np.array(["N", "S"]))])
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        assert np.array_equal(file["v"], values)
        assert file["names"].tolist() == ["N", "S"]
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.npz") as opened:
        assert {member.date_time for member in opened.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_a_full_disk_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(out: Path, progress: datasets.Progress) -> datasets.Summary:
        archive.write_archive(out / "calib.npz", [archive.Column("v", np.float32, (2,), full())])
        raise AssertionError("the disk was full")

    def full() -> Iterator[Any]:
        yield np.zeros(1)
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "calib.npz").write_bytes(b"old")
    monkeypatch.setattr(datasets, "known", lambda: {"x": replace(mitbih.DATASET, name="x", write=fill)})
    with pytest.raises(InputError, match="No space left on device"):
        datasets.write("x", tmp_path)
    assert digests(tmp_path) == {"calib.npz": hashlib.sha256(b"old").hexdigest()}


def test_pieces_that_do_not_make_the_shape_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="4 bytes for shape"):
        archive.write_archive(tmp_path / "a.npz", [archive.Column("v", np.float32, (2,), [np.zeros(1)])])
    assert not list(tmp_path.iterdir())


def test_bars_are_drawn_on_a_terminals_stderr_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from trine.compilers.datasets.progress import bars

    for variable in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(variable, raising=False)
    with bars() as tell:
        tell("mitdb from PhysioNet", 66, 132)
    silent = capsys.readouterr()
    assert silent.out == silent.err == ""
    monkeypatch.setenv("FORCE_COLOR", "1")
    with bars() as tell:
        tell("mitdb from PhysioNet", 66, 132)
    drawn = capsys.readouterr()
    assert drawn.out == ""
    assert "66/132" in drawn.err
