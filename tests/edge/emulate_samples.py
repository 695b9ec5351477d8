"""Small C programs of the form that the code generator emits, with their meaning in NumPy."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from trine.edge.emulate import Entry, Machine, emulator_for, missing
from trine.edge.emulate.cores import CompilerName, EmulatorName

C_DIR = Path(__file__).parent / "emulate_c"
Int8 = NDArray[np.int8]


def need(core: str, compiler: CompilerName = "zig", emulator: EmulatorName | None = None) -> None:
    """Skip with the reason when a tool is absent; in continuous integration an absent tool fails."""
    absent = missing(core, compiler, emulator)
    if absent:
        reason = "not installed: " + ", ".join(absent)
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


def load(
    core: str,
    compiler: CompilerName,
    emulator: EmulatorName,
    c_dir: Path,
    entry: Entry,
    flags: Sequence[str] = (),
    time_limit_s: float = 60.0,
) -> Machine:
    """The program of `c_dir` on an emulated core, once its tools are known to be there."""
    need(core, compiler, emulator)
    return emulator_for(core, compiler, emulator, time_limit_s=time_limit_s).load(c_dir, entry, flags)


@dataclass(frozen=True)
class Net:
    """The network of ``emulate_c/net.c`` with random weights."""

    length: int = 64
    channels: int = 8
    taps: int = 7
    extra: int = 3  # with 29 steps of 8 channels: 235 values, so that every blocked loop has a remainder
    classes: int = 5
    seed: int = 0

    @property
    def steps(self) -> int:
        return (self.length - self.taps) // 2 + 1

    @property
    def joined(self) -> int:
        return self.steps * self.channels + self.extra

    @property
    def entry(self) -> Entry:
        return Entry("trine_net_run", (self.length, self.extra), (self.classes, 1))

    def weights(self) -> dict[str, NDArray[np.int64]]:
        rng = np.random.default_rng(self.seed)
        return {
            "conv_weight": rng.integers(-127, 128, (self.channels, self.taps)),
            "conv_bias": rng.integers(-4000, 4000, self.channels),
            "conv_multiplier": rng.integers(2**30, 2**31, self.channels),
            "dense_weight": rng.integers(-127, 128, (self.classes, self.joined)),
            "dense_bias": rng.integers(-4000, 4000, self.classes),
            "dense_multiplier": np.asarray(rng.integers(2**30, 2**31)),
        }

    def inputs(self, count: int) -> list[Int8]:
        rng = np.random.default_rng(self.seed + 1)
        return [rng.integers(-128, 128, (count, size), dtype=np.int8) for size in (self.length, self.extra)]

    def expected(self, inputs: list[Int8]) -> list[Int8]:
        """What the C computes, in int64 NumPy."""
        w = self.weights()
        windows = np.lib.stride_tricks.sliding_window_view(inputs[0].astype(np.int64), self.taps, axis=1)[
            :, ::2
        ]
        sums = np.maximum(windows[:, : self.steps] @ w["conv_weight"].T + w["conv_bias"], 0)
        hidden = _requantise(sums, w["conv_multiplier"], 38).reshape(len(sums), -1)
        joined = np.concatenate([hidden, inputs[1].astype(np.int64)], axis=1)
        logits = _requantise(joined @ w["dense_weight"].T + w["dense_bias"], w["dense_multiplier"], 41)
        return [logits.astype(np.int8), logits.argmax(axis=1, keepdims=True).astype(np.int8)]

    def write(self, folder: Path, change: int = 0) -> Path:
        """Write the C into `folder`; `change` is added to one dense weight."""
        folder.mkdir(parents=True, exist_ok=True)
        for file in C_DIR.iterdir():
            shutil.copyfile(file, folder / file.name)
        w = self.weights()
        w["dense_weight"][2, 11] += change
        sizes = {
            "STEPS": self.steps,
            "CHANNELS": self.channels,
            "TAPS": self.taps,
            "EXTRA": self.extra,
            "JOINED": self.joined,
            "CLASSES": self.classes,
        }
        lines = [f"#define NET_{name} {value}" for name, value in sizes.items()]
        for name, array in w.items():
            kind = "int8_t" if name.endswith("weight") else "int32_t"
            if array.ndim == 0:
                lines.append(f"static const {kind} trine_net_{name} = {int(array)};")
            else:
                values = ", ".join(str(v) for v in array.ravel().tolist())
                lines.append(f"static const {kind} trine_net_{name}[{array.size}] = {{{values}}};")
        (folder / "weights.h").write_text("\n".join(lines) + "\n")
        return folder


def _requantise(sums: NDArray[np.int64], multiplier: NDArray[np.int64], shift: int) -> NDArray[np.int64]:
    rounded: NDArray[np.int64] = (sums * multiplier + (1 << (shift - 1))) >> shift
    return rounded.clip(-128, 127)


def write_program(folder: Path, name: str, body: str) -> Path:
    """Write ``NAME.c``: `body` defines ``trine_NAME_run`` with one input and one output."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.c").write_text(
        f"#include <stdint.h>\nint trine_{name}_run(const int8_t *, int8_t *);\n{body}\n"
    )
    return folder
