"""Examples in an .npz file, read in bounded memory: one array an input, its first axis the examples.

Arrays are streamed out of the zip members, stored or deflated; nothing is unpickled. `y` (labels), `group`
(patient) and `classes` may be there too.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any

import numpy as np

from trine.compilers.graph import Array, Shape, Tensor
from trine.devices.errors import InputError, nearest

# What a damaged archive raises; RuntimeError stands for encryption and unknown compression (zipfile).
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError, MemoryError, SyntaxError,
          TokenError)  # fmt: skip


@dataclass(frozen=True)
class Header:
    """What an .npy member says of itself."""

    member: str
    shape: Shape
    dtype: np.dtype[Any]
    fortran: bool


@dataclass(frozen=True)
class Examples:
    """An .npz file: `inputs` says which member feeds each input of the network; no array is in memory.

    gaps: inputs in which NaN is a missing value, as trees take it.
    """

    path: Path
    inputs: dict[str, Header]
    shapes: dict[str, Shape]
    others: dict[str, Header]
    count: int
    gaps: Collection[str] = ()

    @staticmethod
    def open(
        path: Path, graph_inputs: Sequence[Tensor], require_varied: bool = False, gaps: Collection[str] = ()
    ) -> Examples:
        """Examples for a network with these inputs; an array `x` will do for a single one.

        require_varied: for calibration, read everything once and refuse inputs equal in every example.
        Raises InputError listing all that is wrong: not an .npz, truncated, an input missing, a wrong shape
        or dtype, no examples, counts that differ; with require_varied also NaN, infinity, constant inputs.
        """
        path = Path(path)
        headers, problems = _headers(path)
        inputs = {}
        for tensor in graph_inputs:
            header = headers.get(tensor.name) or (headers.get("x") if len(graph_inputs) == 1 else None)
            if header is None:
                if not any(problem.startswith(f"array {tensor.name} ") for problem in problems):
                    near = nearest(tensor.name, headers) if headers else "the file holds no arrays"
                    problems.append(f"no array for input {tensor.name}; {near}")
                continue
            inputs[tensor.name] = header
            problems += _misfits(tensor, header)
        problems += _counts(inputs, headers)
        _refuse(path, problems)
        count = next(iter(inputs.values())).shape[0]
        used = {header.member for header in inputs.values()}
        others = {name: header for name, header in headers.items() if header.member not in used}
        opened = Examples(path, inputs, {t.name: t.shape for t in graph_inputs}, others, count, gaps)
        if require_varied:
            opened.check_varied()
        return opened

    def batches(self, size: int = 256, limit: int | None = None) -> Iterator[dict[str, Array]]:
        """{input: [up to size, *shape] float32} in order, at most `limit` examples in all.

        Raises InputError naming array and example on NaN or infinity, and when the file breaks off.
        """
        total = self.count if limit is None else min(limit, self.count)
        with zipfile.ZipFile(self.path) as archive:
            streams = {name: archive.open(header.member) for name, header in self.inputs.items()}
            for name, stream in streams.items():
                self._guard(name, lambda stream=stream: _read_header(stream, ""))
            for start in range(0, total, size):
                n = min(size, total - start)
                yield {name: self._batch(name, stream, start, n) for name, stream in streams.items()}

    def check_varied(self) -> None:
        """Read everything once; raise InputError for NaN, infinity and inputs that every example repeats."""
        first: dict[str, Array] = {}
        constant = set(self.inputs)
        for batch in self.batches():
            for name in sorted(constant):
                reference = first.setdefault(name, batch[name][0])
                if (batch[name] != reference).any() or (self.count == 1 and np.ptp(reference) > 0):
                    constant.discard(name)
        _refuse(
            self.path,
            [
                f"array {self._array(name)} (input {name}) is constant: all {self.count} examples are "
                "equal, so no range can be learnt from it; give examples that vary"
                for name in sorted(constant)
            ],
        )

    @cached_property
    def labels(self) -> Array | None:
        """`y` as it is stored, [count, ...], or None."""
        return self._other("y")

    @cached_property
    def group(self) -> Array | None:
        """`group`, the patient of each example, [count], or None."""
        return self._other("group")

    @cached_property
    def classes(self) -> tuple[str, ...] | None:
        """`classes`, the names of the labels, or None."""
        names = self._other("classes")
        return None if names is None else tuple(str(name) for name in names.tolist())

    def _other(self, name: str) -> Array | None:
        header = self.others.get(name)
        if header is None:
            return None
        with zipfile.ZipFile(self.path) as archive, archive.open(header.member) as stream:
            array: Array = self._guard(name, lambda: np.lib.format.read_array(stream, allow_pickle=False))
            return array

    def _array(self, name: str) -> str:
        return self.inputs[name].member.removesuffix(".npy")

    def _batch(self, name: str, stream: IO[bytes], start: int, n: int) -> Array:
        header, shape = self.inputs[name], self.shapes[name]
        want = n * prod(shape) * header.dtype.itemsize
        data = self._guard(name, lambda: _read_exactly(stream, want))
        with np.errstate(over="ignore"):
            batch = np.frombuffer(data, header.dtype).reshape(n, *shape).astype(np.float32)
        sound = np.isfinite(batch) | np.isnan(batch) if name in self.gaps else np.isfinite(batch)
        finite = sound.reshape(n, -1).all(axis=1)
        if not finite.all():
            which = start + int(np.argmin(finite))
            where = f"array {self._array(name)}, example {which}"
            raise InputError(f"{self.path.name}: {where}: NaN, infinity, or a number beyond float32")
        return batch

    def _guard(self, name: str, read: Any) -> Any:
        try:
            return read()
        except DAMAGE as reason:
            raise InputError(f"{self.path.name}: array {name} cannot be read to its end: {reason}") from None


def _refuse(path: Path, problems: list[str]) -> None:
    if problems:
        listed = "\n  ".join(problems)
        raise InputError(f"{path.name}: {listed}" if len(problems) == 1 else f"{path.name}:\n  {listed}")


def _headers(path: Path) -> tuple[dict[str, Header], list[str]]:
    """Headers of the members by array name, and what is wrong with some."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    headers, problems = {}, []
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                name = member.removesuffix(".npy")
                try:
                    with archive.open(member) as stream:
                        headers[name] = header = _read_header(stream, member)
                    missing = prod(header.shape) * header.dtype.itemsize - archive.getinfo(member).file_size
                    if missing > 0 and not header.dtype.hasobject:
                        problems.append(
                            f"array {name} is damaged: it breaks off {missing} bytes early or more"
                        )
                except DAMAGE as reason:
                    problems.append(f"array {name} is damaged: {reason}")
    except DAMAGE:
        raise InputError(
            f"{path.name}: not an .npz file, or a truncated one; write it with numpy.savez"
        ) from None
    if not headers and not problems:
        problems.append("the file holds no arrays")
    return headers, problems


def _read_header(stream: IO[bytes], member: str) -> Header:
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
    else:
        raise ValueError(f".npy format {version[0]}.{version[1]}, which holds records, not plain numbers")
    return Header(member, tuple(int(d) for d in shape), dtype, bool(fortran and len(shape) > 1))


def _read_exactly(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise EOFError(f"the file breaks off {size - len(data)} bytes early")
    return data


def _misfits(tensor: Tensor, header: Header) -> list[str]:
    """Why an array cannot feed an input."""
    name = header.member.removesuffix(".npy")
    wanted = f"(examples, {', '.join(map(str, tensor.shape))})" if tensor.shape else "(examples,)"
    if header.dtype.kind not in "fiub":
        what = "Python objects, which are never unpickled" if header.dtype.hasobject else f"{header.dtype}"
        return [f"array {name} holds {what}; float or integer numbers are wanted"]
    if header.shape[:1] == (0,):
        return [f"array {name} is empty: it holds no examples"]
    if header.shape[1:] != tensor.shape or not header.shape:
        missing = "; it seems to lack the axis of examples" if header.shape == tensor.shape else ""
        return [f"array {name} has shape {header.shape}, input {tensor.name} wants {wanted}{missing}"]
    if header.fortran:
        return [
            f"array {name} is stored column first and cannot be streamed; save numpy.ascontiguousarray of it"
        ]
    return []


def _counts(inputs: dict[str, Header], headers: dict[str, Header]) -> list[str]:
    """Arrays that disagree on the number of examples, and labels that would need unpickling."""
    problems = []
    counted = dict(inputs) | {name: headers[name] for name in ("y", "group") if name in headers}
    counts = {h.member.removesuffix(".npy"): h.shape[0] for h in counted.values() if h.shape}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
        problems.append(f"the arrays differ in their number of examples: {listed}")
    for name in ("y", "group", "classes"):
        if name in headers and headers[name].dtype.hasobject:
            problems.append(
                f"array {name} holds Python objects, which are never unpickled; save numbers or strings"
            )
        elif name in headers and not headers[name].shape:
            problems.append(f"array {name} is a single value, not one for each example")
    return problems
