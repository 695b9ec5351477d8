"""One door for models: the file's name says which reader takes it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from trine.compilers.graph import Graph, Shape
from trine.devices.errors import InputError

ACCEPTED = {".onnx": "an ONNX model", ".pt2": "a torch exported program"}

# What people try, and the way from there.
ADVICE = {
    ".pt": "save it with torch.export.save as .pt2, or export it to ONNX",
    ".pth": "save it with torch.export.save as .pt2, or export it to ONNX",
    ".ckpt": "save it with torch.export.save as .pt2, or export it to ONNX",
    ".tflite": "convert it to ONNX with tf2onnx",
    ".h5": "convert it to ONNX with tf2onnx",
    ".keras": "convert it to ONNX with tf2onnx",
    ".pb": "convert it to ONNX with tf2onnx",
}


def load_source(path: Path, shapes: Mapping[str, Shape] | None = None) -> Graph:
    """The network in a model file. shapes: as in `read_onnx`. Raises InputError as the readers do."""
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if path.is_dir():
        raise InputError(f"{path}: a folder, not a model file")
    suffix = path.suffix.lower()
    if suffix == ".onnx":
        from trine.compilers.onnx_reader import read_onnx

        return read_onnx(path, shapes)
    if suffix == ".pt2":
        from trine.compilers.torch_reader import read_torch

        return read_torch(path, shapes)
    known = ", ".join(f"{kind} ({meaning})" for kind, meaning in sorted(ACCEPTED.items()))
    advice = f"; {ADVICE[suffix]}" if suffix in ADVICE else ""
    raise InputError(f"{path.name}: cannot tell what model this is; accepted are {known}{advice}")


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
