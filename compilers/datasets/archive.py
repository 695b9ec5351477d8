"""Write an `.npz` piece by piece: bounded memory, the same bytes every time, no half-written file."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy_format


@dataclass(frozen=True)
class Column:
    """One array of the file: its whole shape, and its rows in pieces that are made as they are written."""

    name: str
    dtype: npt.DTypeLike
    shape: tuple[int, ...]
    pieces: Iterable[npt.NDArray[Any]]


def column(name: str, values: npt.NDArray[Any]) -> Column:
    """A column that is small enough to be held whole."""
    return Column(name, values.dtype, values.shape, [values])


def write_archive(path: Path, columns: Iterable[Column]) -> None:
    """Write the columns to `path` through a temporary neighbour, removed if anything fails.

    Members are stored uncompressed with the zip epoch as their time, so equal arrays give equal bytes.
    Raises OSError from the disk, ValueError when the pieces of a column do not add up to its shape.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_STORED) as archive:
            for one in columns:
                _write_column(archive, one)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _write_column(archive: zipfile.ZipFile, one: Column) -> None:
    dtype = np.dtype(one.dtype)
    member = zipfile.ZipInfo(f"{one.name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
    member.external_attr = 0o644 << 16
    header = {"descr": npy_format.dtype_to_descr(dtype), "fortran_order": False, "shape": one.shape}
    expected = int(np.prod(one.shape, dtype=np.int64)) * dtype.itemsize
    written = 0
    with archive.open(member, "w", force_zip64=True) as stream:
        npy_format.write_array_header_1_0(stream, header)
        for piece in one.pieces:
            data = np.ascontiguousarray(piece, dtype=dtype).tobytes()
            stream.write(data)
            written += len(data)
    if written != expected:
        raise ValueError(
            f"column {one.name}: {written} bytes for shape {one.shape} of {dtype}, not {expected}"
        )
