"""Calibration files that are broken or odd: types, shapes, numbers, archives and headers that lie."""

from __future__ import annotations

import io
import random
import zipfile
from typing import Any

import numpy as np
from values import DTYPES, REALS, mutate_bytes


def npz(rng: random.Random, data: bytes) -> bytes:
    """A calibration file for input x0 of shape (4,), wrong in one way or several."""
    seed = np.random.default_rng(rng.randrange(2**31))
    if rng.random() < 0.35:
        return extreme_values(rng, seed)
    n = rng.choice((0, 1, 3, 20))
    x = seed.normal(0, 1, rng.choice(((n, 4), (n, 4), (n, 4), (n,), (n, 4, 1), (4,), ()))).astype(
        rng.choice(DTYPES)
    )
    if rng.random() < 0.3 and x.size:
        x.reshape(-1)[0] = rng.choice((0, 1)) if x.dtype.kind != "f" else rng.choice(REALS[:9])
    if rng.random() < 0.1:
        x = np.asfortranarray(x)
    arrays: dict[str, Any] = {rng.choice(("x0", "x0", "x0", "x", "X", "a/b", "é")): x}
    if rng.random() < 0.5:
        y: Any = seed.integers(-1, 3, rng.choice((n, n + 1))).astype(
            rng.choice(("int64", "float32", "uint8", "<U3", "bool"))
        )
        arrays["y"] = y.astype(object) if rng.random() < 0.2 else y
    if rng.random() < 0.3:
        arrays[rng.choice(("group", "classes"))] = np.array(
            rng.choice((["a", "b"], [1, 2, 3], 5, [[1], [2]]))
        )
    file = io.BytesIO()
    rng.choice((np.savez, np.savez_compressed))(file, **arrays)
    made = file.getvalue()
    how = rng.random()
    if how < 0.3:
        return mutate_bytes(rng, made)
    return lying_header(rng, x) if how < 0.5 else made


def extreme_values(rng: random.Random, seed: np.random.Generator) -> bytes:
    """A sound .npz whose numbers are very large, very small, of one sign, on few levels, or labelled oddly."""
    n = rng.choice((1, 2, 5, 40))
    size = rng.choice((1e-45, 1e-38, 1e-20, 1e-3, 1.0, 1e6, 1e18, 1e30, 3e37))
    x = (seed.normal(0, 1, (n, 4)) * size).astype(np.float32)
    how = rng.randrange(5)
    if how == 0:
        x = np.abs(x)
    elif how == 1:
        x[:, 1:] = 0
    elif how == 2:
        x = np.sign(x)
    elif how == 3:
        x[0] = 3e38
    arrays: dict[str, Any] = {"x0": x}
    if rng.random() < 0.7:
        arrays["y"] = seed.integers(rng.choice((-5, 0, 0)), rng.choice((1, 3, 3, 9)), n)
    if rng.random() < 0.5:
        arrays["group"] = seed.integers(0, 3, n)
    if rng.random() < 0.5:
        arrays["classes"] = np.array(["a", "b", "c"][: rng.choice((1, 2, 3, 3))])
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def lying_header(rng: random.Random, x: np.ndarray) -> bytes:
    """An .npz whose .npy header states another shape, type or order than what follows."""
    shape = rng.choice(
        ("(1000000000000, 4)", "(-1, 4)", "(3, 4,", "(2**40,)", "(True, 4)", "(3, 4)", "(0, 4)", "(1,)*9999")
    )
    descr = rng.choice(
        ("'<f4'", "'|O'", "'<f8'", "[('a','<f4')]", "'<U1000000000'", "'<m8[s]'", "'>f4'", "7")
    )
    text = f"{{'descr': {descr}, 'fortran_order': {rng.choice(('False', 'True', '3'))}, 'shape': {shape}, }}"
    header = text.encode().ljust(118) + b"\n"
    version = rng.choice((b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\x09\x00"))
    length = len(header).to_bytes(2 if version == b"\x01\x00" else 4, "little")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        archive.writestr("x0.npy", b"\x93NUMPY" + version + length + header + x.tobytes())
    return file.getvalue()
