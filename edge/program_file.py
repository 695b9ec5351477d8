"""An `IntegerProgram` as one `.npz`: structure as JSON, arrays beside it. Deterministic bytes, no pickle."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from operator import index
from pathlib import Path
from typing import Any

import numpy as np

from trine.compilers.graph import Array
from trine.compilers.operators import operators
from trine.compilers.recurrent import ACTIVATIONS
from trine.devices.errors import InputError
from trine.edge.c.writer import C_TYPES
from trine.edge.operators import kernel_of, kernels
from trine.edge.program import IntegerProgram, QuantizedTensor, Step
from trine.edge.requantize import Requantizer

SCHEMA = "trine.integer_program/2"
DAMAGE = (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, KeyError, TypeError, AttributeError,
          IndexError, RuntimeError)  # fmt: skip


def save_program(program: IntegerProgram, path: Path) -> None:
    """Write a program."""
    arrays: dict[str, Array] = {}
    names: dict[tuple[str, tuple[int, ...], bytes], str] = {}  # equal arrays are stored once

    def plain(value: Any, name: str) -> Any:
        if isinstance(value, np.ndarray):
            first = names.setdefault((value.dtype.str, value.shape, value.tobytes()), name)
            arrays[first] = value
            return {"array": first}
        if isinstance(value, Requantizer):
            return {f.name: plain(getattr(value, f.name), f"{name}.{f.name}") for f in fields(value)}
        if isinstance(value, dict):
            return {key: plain(value[key], f"{name}.{key}") for key in sorted(value)}
        if isinstance(value, tuple | list):
            return [plain(item, f"{name}.{i}") for i, item in enumerate(value)]
        return value.item() if isinstance(value, np.generic) else value

    steps = []
    for i, step in enumerate(program.steps):
        steps.append(
            {
                "kernel": step.kernel, "name": step.name, "inputs": list(step.inputs), "output": step.output,
                "also": list(step.also),
                "constants": plain(dict(step.constants), f"step{i}"),
                "attributes": plain(dict(step.attributes), f"step{i}.attributes"),
                "requantizer": plain(step.requantizer, f"step{i}.requantizer"),
            }
        )  # fmt: skip
    tensors = [
        [t.name, list(t.shape), float(t.scale), t.zero_point, t.dtype] for t in program.tensors.values()
    ]
    head = {
        "schema": SCHEMA, "name": program.name, "inputs": list(program.inputs),
        "outputs": list(program.outputs),
        "requantize": program.requantize, "tensors": tensors, "steps": steps,
    }  # fmt: skip
    text = np.frombuffer(json.dumps(head, sort_keys=True).encode(), np.uint8)
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, program=text, **dict(sorted(arrays.items())))


def load_program(path: Path) -> IntegerProgram:
    """Read a program. Raises InputError for a file that is none."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        head = json.loads(arrays.pop("program").tobytes())
        if head.get("schema") != SCHEMA:
            raise InputError(
                f"{path}: schema {head.get('schema')!r}, this Trine reads {SCHEMA!r}; compile the model again"
            )
        program = read_program(head, arrays)
        program.check()
    except DAMAGE as error:
        raise InputError(f"{path}: not an integer program ({error}); compile the model again") from error
    return program


def read_program(head: Mapping[str, Any], arrays: Mapping[str, Array]) -> IntegerProgram:
    """A program from its structure and arrays. Raises ValueError, KeyError or TypeError."""

    # Attributes are printed into C: no other words are read, so that a file from elsewhere brings no code.
    words = {"exact", "tflite", *kernel_of(), *C_TYPES, *operators(), *ACTIVATIONS}
    words |= {word for kernel in kernels().values() for word in kernel.words}
    words |= {
        word for record in operators().values() for case in record.cases for word in texts(case.attributes)
    }

    def rich(value: Any) -> Any:
        if isinstance(value, dict):
            return (
                numeric(arrays[value["array"]])
                if set(value) == {"array"}
                else {k: rich(v) for k, v in value.items()}
            )
        if isinstance(value, list):
            return tuple(rich(item) for item in value)
        if isinstance(value, str) and value not in words:
            raise ValueError(f"unknown word {value!r}")
        # What float32 holds was one; an operator's own attribute (0.1, say) need not be.
        return np.float32(value) if isinstance(value, float) and float(np.float32(value)) == value else value

    steps = tuple(
        Step(
            s["kernel"], s["name"], tuple(s["inputs"]), s["output"],
            rich(s["constants"]), rich(s["attributes"]),
            None if s["requantizer"] is None else Requantizer(**rich(s["requantizer"])), tuple(s["also"]),
        )
        for s in head["steps"]
    )  # fmt: skip
    unknown = {step.kernel for step in steps} - set(kernels())
    if unknown:
        raise ValueError(f"unknown kernels {', '.join(sorted(unknown))}")
    tensors = {
        name: QuantizedTensor(
            name, tuple(map(index, shape)), np.float32(scale), index(zero_point), stored(dtype)
        )
        for name, shape, scale, zero_point, dtype in head["tensors"]
    }
    return IntegerProgram(
        head["name"], tuple(head["inputs"]), tuple(head["outputs"]), steps, tensors, head["requantize"]
    )


def texts(value: Any) -> Iterator[str]:
    """Every text inside an attribute."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from texts(item)


def stored(dtype: str) -> str:
    """The type's name, if C can hold it."""
    if dtype not in C_TYPES:
        raise ValueError(f"unknown type {dtype!r}")
    return dtype


def numeric(array: Array) -> Array:
    """The array, if it holds numbers."""
    if array.dtype.kind not in "iufb":
        raise ValueError(f"an array of {array.dtype}")
    return array
