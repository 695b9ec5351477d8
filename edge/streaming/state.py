"""The state of a stream as bytes: the C struct `trine_NAME_state`, field by field, without pointers or gaps."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from trine.compilers.graph import Array
from trine.devices.errors import InputError
from trine.edge.streaming.program import Hold, Mask, Ring, State, StreamProgram

VERSION = 1  # of the struct's form
HEAD = 12  # bytes of version, program, check
WORDS = {"uint32": "uint32_t", "int32": "int32_t"}


@dataclass(frozen=True)
class Field:
    """One member of the struct. of: the tensor it belongs to, "" for the words at its head. count: elements, of which
    the last few may only fill up a word."""

    name: str
    of: str
    dtype: str
    count: int
    offset: int

    @property
    def bytes(self) -> int:
        """Its size."""
        return self.count * np.dtype(self.dtype).itemsize


def state_fields(stream: StreamProgram) -> tuple[Field, ...]:
    """version, program, check; age; the place of each ring's next columns; running sums; kept values; rings."""
    named = [(name, "", "uint32", 1) for name in ("version", "program", "check")]
    named.append(("age", "", "int32", 1))
    named += [(f"at_{i}", name, "int32", 1) for i, name in enumerate(stream.rings)]
    named += [
        (f"sums_{i}", name, "int32", stream.summed[name])
        for i, name in enumerate(stream.rings)
        if name in stream.summed
    ]
    named += [(f"kept_{i}", name, v.dtype.name, v.size) for i, (name, v) in enumerate(stream.kept.items())]
    named += [
        (f"ring_{i}", name, r.initial.dtype.name, r.initial.size * r.columns)
        for i, (name, r) in enumerate(stream.rings.items())
    ]
    found, offset = [], 0
    for name, of, dtype, count in named:
        item = np.dtype(dtype).itemsize
        if item > 4:
            raise InputError(f"{of}: a state of {dtype} is not supported")
        count += -count % (4 // item)
        found.append(Field(name, of, dtype, count, offset))
        offset += found[-1].bytes
    return tuple(found)


def state_bytes(stream: StreamProgram) -> int:
    """Size of the struct."""
    last = state_fields(stream)[-1]
    return last.offset + last.bytes


def oldest_age(stream: StreamProgram) -> int:
    """Where the count of steps stops: beyond it nothing depends on it."""
    masks = [-(-o.delay // o.shift) for o in stream.operations if isinstance(o, Mask)]
    return max([*masks, *(o.steps for o in stream.operations if isinstance(o, Hold))], default=0)


def to_bytes(stream: StreamProgram, state: State, index: int = 0) -> bytes:
    """The struct of one of the state's streams, `check` left at 0."""
    out = np.zeros(state_bytes(stream), np.uint8)
    for field in state_fields(stream):
        value = content(stream, state, field, index)
        raw = np.frombuffer(np.ascontiguousarray(value, field.dtype).tobytes(), np.uint8)
        out[field.offset : field.offset + len(raw)] = raw
    return out.tobytes()


def content(stream: StreamProgram, state: State, field: Field, index: int) -> Array:
    """What a member holds."""
    if field.name in ("version", "program", "check"):
        return np.array({"version": VERSION, "program": program_word(stream)}.get(field.name, 0))
    if field.name == "age":
        return np.array(min(state.age, oldest_age(stream)))
    kind = field.name.partition("_")[0]
    if kind == "sums":
        return np.asarray(state.sums[field.of][index])
    if kind == "kept":
        return np.asarray(state.kept[field.of][index])
    ring = stream.rings[field.of]
    at = state.age * ring.shift % ring.columns
    if kind == "at":
        return np.array(at)
    return np.roll(stored(state.rings[field.of][index], ring.tensor.axis), at, axis=0)


def stored(columns: Array, axis: int) -> Array:
    """A value along time as it lies in memory: time first, and channels last where time is no first axis."""
    moved = np.moveaxis(columns, axis, 0)
    if axis > 0 and moved.ndim > 2:
        moved = np.moveaxis(moved, 1, -1)
    return moved


def unstored(values: Array, like: tuple[int, ...], axis: int) -> Array:
    """The other way round: values in memory order to the shape `like`."""
    return values.reshape(-1)[stored(np.arange(values.size).reshape(like), axis).ravel().argsort()].reshape(
        like
    )


def first_column(ring: Ring) -> Array:
    """The column a ring is filled with at a reset, as it lies in memory."""
    return stored(ring.initial, ring.tensor.axis)


def program_word(stream: StreamProgram) -> int:
    """32 bits that tell programs apart: of SHA-256 over everything that decides what a state means."""
    digest = hashlib.sha256()

    def add(value: Any) -> None:
        if isinstance(value, np.ndarray):
            digest.update(f"{value.dtype.str}{value.shape}".encode() + np.ascontiguousarray(value).tobytes())
        elif is_dataclass(value) and not isinstance(value, type):
            for f in fields(value):
                add(getattr(value, f.name))
        elif isinstance(value, Mapping):
            for key in sorted(value):
                add(key)
                add(value[key])
        elif isinstance(value, tuple | list):
            for item in value:
                add(item)
        else:
            digest.update(repr(value.item() if isinstance(value, np.generic) else value).encode() + b";")

    add((VERSION, stream.kind, stream.hop, stream.program.steps, stream.program.tensors))
    return int.from_bytes(digest.digest()[:4], "little")
