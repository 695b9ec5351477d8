"""What runs emitted C: the records every emulator shares, and the protocol they all answer to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from trine.devices.errors import AnswerIsNo, InputError
from trine.edge.emulate.elf import Sizes

Int8 = NDArray[np.int8]


class EmulationFault(AnswerIsNo):
    """The emitted C did not run to its end on the emulated core; the message names the place."""


@dataclass(frozen=True)
class Entry:
    """The function ``int SYMBOL(const int8_t *in0, ..., int8_t *out0, ...)`` and the bytes of each buffer.

    `symbol` is ``trine_NAME_run``; the C lies in ``NAME.c``. Buffers are placed on multiples of `align` and
    of no greater power of two.
    """

    symbol: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    align: int = 4

    def __post_init__(self) -> None:
        if not (self.symbol.startswith("trine_") and self.symbol.endswith("_run")):
            raise InputError(f"entry {self.symbol!r} is not of the form trine_NAME_run")
        if not self.inputs or not self.outputs or min(*self.inputs, *self.outputs) < 1:
            raise InputError(f"{self.symbol}: every input and output needs at least one byte")

    @property
    def name(self) -> str:
        """The program's name, which is also the stem of its files."""
        return self.symbol.removeprefix("trine_").removesuffix("_run")

    def source(self, c_dir: Path) -> Path:
        """The program's C source in `c_dir`. Raises InputError when it is not there."""
        path = c_dir / f"{self.name}.c"
        if not path.is_file():
            raise InputError(f"{c_dir} has no {path.name}")
        return path


@dataclass(frozen=True)
class Profile:
    """One run on one input: exact instructions, by layer function too where the emulator can, and peak stack.

    ``instructions`` runs from the entry function's first instruction to its return, both included.
    ``by_layer`` holds, in call order, each layer with the library routines it calls, and ``run`` for the
    rest; it adds up to ``instructions``, or is empty (QEMU).
    """

    instructions: int
    by_layer: dict[str, int]
    stack_bytes: int
    outputs: tuple[Int8, ...]


class Machine(Protocol):
    """A program loaded on an emulated core. Close it, or use it in a ``with`` block."""

    @property
    def elf(self) -> Path: ...

    @property
    def sizes(self) -> Sizes: ...

    def run(self, inputs: Sequence[Int8]) -> list[Int8]: ...

    def profile(self, inputs: Sequence[Int8]) -> Profile: ...

    def close(self) -> None: ...

    def __enter__(self) -> Machine: ...

    def __exit__(self, *exc: object) -> None: ...


def checked(entry: Entry, inputs: Sequence[Int8]) -> tuple[int, list[Int8]]:
    """The number of examples, and the inputs as contiguous int8 arrays [n, bytes].

    Raises InputError when an array is not int8 or does not have the shape that `entry` takes.
    """
    if len(inputs) != len(entry.inputs):
        raise InputError(f"{entry.symbol} takes {len(entry.inputs)} inputs, got {len(inputs)}")
    arrays = []
    for i, (array, size) in enumerate(zip(inputs, entry.inputs, strict=True)):
        if array.dtype != np.int8 or array.ndim != 2 or array.shape[1] != size:
            found = f"{array.dtype} {list(array.shape)}"
            raise InputError(f"{entry.symbol}: input {i} must be int8 [n, {size}], got {found}")
        arrays.append(np.ascontiguousarray(array))
    lengths = {len(array) for array in arrays}
    if len(lengths) != 1:
        raise InputError(f"{entry.symbol}: the inputs disagree on the number of examples: {sorted(lengths)}")
    return lengths.pop(), arrays


def first_example(entry: Entry, inputs: Sequence[Int8]) -> list[Int8]:
    """Inputs [1, bytes] for a profile: the first example of `inputs` [n, bytes] (or [bytes])."""
    rows = [array[None, :] if array.ndim == 1 else array[:1] for array in inputs]
    count, arrays = checked(entry, rows)
    if count != 1:
        raise InputError(f"{entry.symbol}: a profile needs one example")
    return arrays
