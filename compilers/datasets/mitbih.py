"""MIT-BIH Arrhythmia Database, heartbeats in the inter-patient split of de Chazal et al. (2004).

Calibration: the 22 patients of DS1. Test: the 22 records of DS2. Records 201 (DS1) and 202 (DS2) are of the
same man, as the database's directory says; both stay, as in the literature. Paced records 102, 104, 107 and
217 are left out (AAMI EC57).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from trine.compilers.datasets import DataSet, Progress, Summary, Written, physionet, synthetic_ecg
from trine.compilers.datasets.archive import Column, column, write_archive
from trine.compilers.datasets.ecg_beats import (
    CLASSES,
    RR_FEATURES,
    WINDOW,
    RecordBeats,
    beat_input,
    cut_beats,
    rr_input,
)
from trine.devices.errors import InputError, MissingExtra

# fmt: off
DS1 = (
    101, 106, 108, 109, 112, 114, 115, 116, 118, 119, 122,
    124, 201, 203, 205, 207, 208, 209, 215, 220, 223, 230,
)
DS2 = (
    100, 103, 105, 111, 113, 117, 121, 123, 200, 202, 210,
    212, 213, 214, 219, 221, 222, 228, 231, 232, 233, 234,
)
# fmt: on
DATABASE, VERSION = "mitdb", "1.0.0"
LEAD, ZERO = "MLII", 1024


@dataclass(frozen=True)
class Found:
    """The beats of both splits, record by record, and where they came from."""

    source: str
    calib: Sequence[RecordBeats]
    test: Sequence[RecordBeats]
    synthetic: bool = False
    notes: tuple[str, ...] = ()


def write(out: Path, progress: Progress) -> Summary:
    """Write `calib.npz` (DS1) and `test.npz` (DS2), each with `beat` float32 [n, 2, 128] in mV, `rr` float32
    [n, 8], `y` uint8 [n], `group` uint16 [n] (record), `classes` and `source`.

    Source: TRINE_DATA/mitbih, else the cache, else PhysioNet, else a synthetic ECG that says so in `source`.
    """
    found = _prepared() or _recorded(progress)
    files = []
    for name, records in (("calib.npz", found.calib), ("test.npz", found.test)):
        progress(f"writing {name}", 0, 1)
        write_archive(out / name, _columns(records, found.source))
        progress(f"writing {name}", 1, 1)
        labels = np.concatenate([beats.y for beats in records])
        counts = np.bincount(labels, minlength=len(CLASSES))
        files.append(Written(name, len(labels), dict(zip(CLASSES, counts.tolist()))))
    return Summary("mitbih", found.source, found.synthetic, tuple(files), found.notes)


def _columns(records: Sequence[RecordBeats], source: str) -> list[Column]:
    """The file's arrays; the large one is made one record at a time."""
    count = sum(len(beats) for beats in records)
    return [
        Column("beat", np.float32, (count, 2, WINDOW), (beat_input(beats) for beats in records)),
        Column("rr", np.float32, (count, len(RR_FEATURES)), (rr_input(beats) for beats in records)),
        column("y", np.concatenate([beats.y for beats in records])),
        column("group", np.concatenate([np.full(len(beats), beats.record, np.uint16) for beats in records])),
        column("classes", np.array(CLASSES)),
        column("source", np.array(source)),
    ]


def _prepared() -> Found | None:
    """The beats already cut, when TRINE_DATA points to them."""
    root = os.environ.get("TRINE_DATA")
    paths = [Path(root) / "mitbih" / f"mitbih_ds{k}.npz" for k in (1, 2)] if root else []
    if not paths or not all(path.is_file() for path in paths):
        return None
    calib, test = (_split(path, wanted) for path, wanted in zip(paths, (DS1, DS2)))
    return Found("MIT-BIH Arrhythmia Database 1.0.0, prepared beats in TRINE_DATA", calib, test)


def _split(path: Path, wanted: tuple[int, ...]) -> list[RecordBeats]:
    fields = ("x", "y", "rr_pre", "rr_post", "sample")
    try:
        with np.load(path, allow_pickle=False) as file:
            record, arrays = file["record"], {name: file[name] for name in fields}
    except (ValueError, KeyError, EOFError, OSError) as error:
        raise InputError(
            f"{path} cannot be read as prepared MIT-BIH beats ({error}): unset TRINE_DATA"
        ) from error
    missing = sorted(set(wanted) - set(record.tolist()))
    if missing:
        raise InputError(
            f"{path} lacks the records {missing}: unset TRINE_DATA to use the cache or PhysioNet"
        )
    return [RecordBeats(r, **{name: a[record == r] for name, a in arrays.items()}) for r in wanted]


def _recorded(progress: Progress) -> Found:
    """Recordings of the cache or of PhysioNet; without either, the synthetic stand-in."""
    files = [f"{record}.{kind}" for record in (*DS1, *DS2) for kind in ("atr", "dat", "hea")]
    where = "the user's cache"
    folder = physionet.cached(DATABASE, VERSION, files)
    if folder is not None and (spoilt := physionet.verify(folder, files)):
        raise InputError(
            f"{folder}: {', '.join(spoilt)} do not match {physionet.SUMS}: remove them to download again"
        )
    if folder is None:
        _need_wfdb()
        try:
            folder, where = physionet.fetch(DATABASE, VERSION, files, progress), "PhysioNet"
        except physionet.Unreachable as error:
            return _synthetic(progress, f"no recording: TRINE_DATA and cache hold none, and {error}")
    read = partial(read_record, folder)
    source = f"MIT-BIH Arrhythmia Database 1.0.0, {where}"
    return Found(source, _each(DS1, read, progress), _each(DS2, read, progress))


def _synthetic(progress: Progress, reason: str) -> Found:
    # Eight and four made-up patients: enough to run the whole chain, too few to mistake for the data set.
    calib = _each(range(9001, 9009), synthetic_ecg.simulate, progress)
    test = _each(range(9101, 9105), synthetic_ecg.simulate, progress)
    return Found(synthetic_ecg.SOURCE, calib, test, synthetic=True, notes=(reason,))


def _each(
    records: Iterable[int], make: Callable[[int], RecordBeats], progress: Progress
) -> list[RecordBeats]:
    numbers = list(records)
    beats = []
    for done, record in enumerate(numbers, 1):
        beats.append(make(record))
        progress("cutting heartbeats", done, len(numbers))
    return beats


def _need_wfdb() -> None:
    from importlib.util import find_spec

    if find_spec("wfdb") is None:
        raise MissingExtra("wfdb", "data", "reading PhysioNet records")


def read_record(folder: Path, record: int) -> RecordBeats:
    """The beats of one WFDB record: lead MLII less 1024, reference annotations `atr`."""
    _need_wfdb()
    import wfdb

    path = str(folder / str(record))
    read, marks = wfdb.rdrecord(path, physical=False), wfdb.rdann(path, "atr")
    signal = read.d_signal[:, read.sig_name.index(LEAD)].astype(np.int64) - ZERO
    return cut_beats(record, signal, marks.sample, marks.symbol)


DATASET = DataSet(
    name="mitbih",
    title="MIT-BIH Arrhythmia Database: heartbeats in five AAMI classes, 44 patients, de Chazal's split",
    licence="ODC-By 1.0",
    reference="Moody & Mark 2001; Goldberger et al. 2000; split: de Chazal, O'Dwyer & Reilly 2004",
    write=write,
)
