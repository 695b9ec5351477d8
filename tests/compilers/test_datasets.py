"""The data loader: recordings against prepared beats, every source in turn, the files it writes."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trine.compilers import datasets
from trine.compilers.datasets import mitbih, physionet, synthetic_ecg
from trine.devices.errors import InputError, MissingExtra

SHARED = Path(os.environ.get("TRINE_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
RAW = SHARED / "mitbih_raw"
needs_beats = pytest.mark.skipif(not (SHARED / "mitbih").is_dir(), reason="TRINE_DATA has no mitbih")
needs_recordings = pytest.mark.skipif(
    not (RAW.is_dir() and (SHARED / "mitbih").is_dir()), reason="TRINE_DATA has no mitbih_raw or no mitbih"
)


@pytest.fixture(autouse=True)
def _closed_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No shared data, an empty cache and no network unless a test opens them."""
    monkeypatch.delenv("TRINE_DATA", raising=False)
    monkeypatch.setenv("TRINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TRINE_PHYSIONET_URL", "http://127.0.0.1:9/files")


# --- recordings against the prepared beats ---


@needs_recordings
@pytest.mark.parametrize("record", [119, 208])
def test_recordings_are_prepared_to_the_very_beats_of_the_archive(record: int) -> None:
    pytest.importorskip("wfdb", reason="extra data")
    with np.load(SHARED / "mitbih" / "mitbih_ds1.npz") as file:
        mine = file["record"] == record
        expected = {name: file[name][mine] for name in ("x", "y", "rr_pre", "rr_post", "sample")}
    made = mitbih.read_record(RAW, record)
    for name, values in expected.items():
        assert np.array_equal(getattr(made, name), values), name


@needs_beats
def test_shared_data_comes_first_and_the_files_hold_both_splits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRINE_DATA", str(SHARED))
    summary = datasets.write("mitbih", tmp_path / "out")
    assert not summary.synthetic
    assert [one.examples for one in summary.files] == [51001, 49691]
    assert summary.files[1].classes == {"N": 44239, "S": 1837, "V": 3220, "F": 388, "Q": 7}
    for name, split in (("calib", mitbih.DS1), ("test", mitbih.DS2)):
        with np.load(tmp_path / "out" / f"{name}.npz", allow_pickle=False) as file:
            count = len(file["y"])
            assert file["beat"].shape == (count, 2, 128)
            assert file["rr"].shape == (count, 8)
            assert file["beat"].dtype == file["rr"].dtype == np.float32
            assert tuple(np.unique(file["group"])) == split
            assert file["classes"].tolist() == ["N", "S", "V", "F", "Q"]
            assert "MIT-BIH" in str(file["source"])
    assert not set(mitbih.DS1) & set(mitbih.DS2)


# --- download, cache and what goes wrong ---


class Mirror(http.server.SimpleHTTPRequestHandler):
    asked: list[str]

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.asked.append(Path(self.path).name)
        super().do_GET()


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, list[str]]]:
    """A local server in PhysioNet's place: its database folder, and the names asked for."""
    folder = tmp_path / "served" / "mitdb" / "1.0.0"
    folder.mkdir(parents=True)
    asked: list[str] = []
    handler = type("Handler", (Mirror,), {"asked": asked})
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(handler, directory=str(tmp_path / "served"))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("TRINE_PHYSIONET_URL", f"http://127.0.0.1:{server.server_port}")
    yield folder, asked
    server.shutdown()
    server.server_close()


def publish(folder: Path) -> None:
    lines = [
        f"{physionet.checksum(p)} {p.name}\n" for p in sorted(folder.iterdir()) if p.name != physionet.SUMS
    ]
    (folder / physionet.SUMS).write_text("".join(lines))


@needs_recordings
def test_download_gives_the_same_arrays_as_the_shared_beats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirror: tuple[Path, list[str]]
) -> None:
    pytest.importorskip("wfdb", reason="extra data")
    folder, asked = mirror
    for path in RAW.glob("[12]*"):
        shutil.copy(path, folder)
    publish(folder)
    monkeypatch.setattr(mitbih, "DS1", (119,))
    monkeypatch.setattr(mitbih, "DS2", (208,))
    told: list[tuple[str, int, int]] = []
    first = datasets.write("mitbih", tmp_path / "one", lambda *step: told.append(step))
    assert first.source.endswith("PhysioNet")
    assert ("mitdb from PhysioNet", 6, 6) in told
    fetched = len(asked)
    assert fetched == 7

    second = datasets.write("mitbih", tmp_path / "two")
    assert second.source.endswith("the user's cache")
    assert len(asked) == fetched

    monkeypatch.setattr(mitbih, "_split", functools.partial(ds1_part, mitbih._split))
    monkeypatch.setenv("TRINE_DATA", str(SHARED))
    datasets.write("mitbih", tmp_path / "three")
    for name in ("calib.npz", "test.npz"):
        contents = [dict(np.load(tmp_path / out / name)) for out in ("one", "two", "three")]
        for key in set(contents[0]) - {"source"}:
            assert np.array_equal(contents[0][key], contents[1][key]), key
            assert np.array_equal(contents[0][key], contents[2][key]), key


def ds1_part(split: Any, path: Path, wanted: tuple[int, ...]) -> Any:
    """Both records are in DS1: take either from there."""
    return split(path.with_name("mitbih_ds1.npz"), wanted)


def test_a_file_that_fails_its_checksum_is_refused_and_not_kept(mirror: tuple[Path, list[str]]) -> None:
    folder, _ = mirror
    (folder / "100.dat").write_bytes(b"heart")
    publish(folder)
    (folder / "100.dat").write_bytes(b"heard")
    with pytest.raises(InputError, match=r"100\.dat: SHA-256 .* is not"):
        physionet.fetch("mitdb", "1.0.0", ["100.dat"], lambda *_: None)
    kept = [path.name for path in physionet.cache_folder().rglob("*") if path.is_file()]
    assert kept == [physionet.SUMS]


def test_a_spoilt_cached_file_is_fetched_again_and_a_good_one_is_not(mirror: tuple[Path, list[str]]) -> None:
    folder, asked = mirror
    for name in ("100.dat", "101.dat"):
        (folder / name).write_bytes(name.encode())
    publish(folder)
    here = physionet.fetch("mitdb", "1.0.0", ["100.dat", "101.dat"], lambda *_: None)
    assert physionet.cached("mitdb", "1.0.0", ["100.dat", "101.dat"]) == here
    (here / "101.dat").write_bytes(b"spoilt")
    assert physionet.verify(here, ["100.dat", "101.dat"]) == ["101.dat"]
    asked.clear()
    physionet.fetch("mitdb", "1.0.0", ["100.dat", "101.dat"], lambda *_: None)
    assert asked == [physionet.SUMS, "101.dat"]
    assert (here / "101.dat").read_bytes() == b"101.dat"


def test_a_cache_that_was_altered_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mitbih, "DS1", (119,))
    monkeypatch.setattr(mitbih, "DS2", (208,))
    folder = physionet.cache_folder() / "physionet" / "mitdb" / "1.0.0"
    folder.mkdir(parents=True)
    for name in (f"{record}.{kind}" for record in (119, 208) for kind in ("atr", "dat", "hea")):
        (folder / name).write_bytes(name.encode())
    publish(folder)
    (folder / "208.atr").write_bytes(b"altered")
    with pytest.raises(InputError, match=r"208\.atr do not match"):
        datasets.write("mitbih", tmp_path / "out")


def test_a_file_the_database_does_not_list_is_an_error(mirror: tuple[Path, list[str]]) -> None:
    publish(mirror[0])
    with pytest.raises(InputError, match=r"does not list 999\.dat"):
        physionet.fetch("mitdb", "1.0.0", ["999.dat"], lambda *_: None)


def test_a_missing_record_in_shared_data_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mitbih").mkdir()
    for k in (1, 2):
        np.savez(
            tmp_path / "mitbih" / f"mitbih_ds{k}.npz",
            record=np.array([101], np.uint16),
            x=np.zeros((1, 128), np.int16),
            **{name: np.zeros(1, np.int32) for name in ("y", "rr_pre", "rr_post", "sample")},
        )
    monkeypatch.setenv("TRINE_DATA", str(tmp_path))
    with pytest.raises(InputError, match=r"lacks the records \[106, 108"):
        datasets.write("mitbih", tmp_path / "out")
    (tmp_path / "mitbih" / "mitbih_ds1.npz").write_bytes(b"PK no archive")
    with pytest.raises(InputError, match=r"mitbih_ds1\.npz cannot be read"):
        datasets.write("mitbih", tmp_path / "out")


# --- the synthetic stand-in ---


def test_without_recordings_the_stand_in_says_that_it_is_synthetic(tmp_path: Path) -> None:
    pytest.importorskip("wfdb", reason="extra data")
    pytest.importorskip("neurokit2", reason="extra data")
    summary = datasets.write("mitbih", tmp_path / "out")
    assert summary.synthetic
    assert "SYNTHETIC" in summary.source
    assert "127.0.0.1:9" in summary.notes[0]
    assert all(one.classes["N"] and one.classes["S"] and one.classes["V"] for one in summary.files)
    with np.load(tmp_path / "out" / "test.npz") as file:
        assert "SYNTHETIC" in str(file["source"])
        assert not set(file["group"].tolist()) & {*mitbih.DS1, *mitbih.DS2}
        early = file["rr"][file["y"] == 1, 0]
        assert np.median(early) < -0.15
    once, again = synthetic_ecg.simulate(9001), synthetic_ecg.simulate(9001)
    assert np.array_equal(once.x, again.x)
    assert np.array_equal(once.rr_pre, again.rr_pre)


def test_without_the_generator_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "neurokit2", None)
    with pytest.raises(MissingExtra, match=r"pip install 'trine\[data\]'"):
        synthetic_ecg.simulate(9001)
