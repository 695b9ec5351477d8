"""Cycles per instruction of each core: the bridge from an exact instruction count to a time.

`edge/cpi.toml` holds them. A core with published rows is calibrated: published cycles of the MLPerf Tiny
tasks (latency x clock, X-CUBE-AI 9) divided by our own emulated instruction count of the same network on
that core (benchmarks/edge_cpi.py). Such a figure is no property of the core alone: it also holds how much
better or worse the vendor's kernels are than ours on that network. What follows: it predicts the time that
the vendor's code would need for a network of that kind, and our code's only as far as both spend instructions
alike (a ratio below what the pipeline can do says that their kernels are the better ones); it must be fitted
again when our kernels change. The leave-one-task-out error says how far it carries from task to task.
A core without rows has a wide range from documented instruction timings at zero wait states.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from trine.compilers.estimate import HOWS

PATH = Path(__file__).parent.parent / "cpi.toml"


@dataclass(frozen=True)
class Cpi:
    """Cycles per executed instruction of one core, over whole networks.

    value, low, high: cycles/instruction. how: "modelled" when calibrated, "datasheet" when it rests on
    documented timings. tasks: networks of the calibration. leave_one_out_error: largest relative error of a
    task's latency predicted from the other tasks (None: not calibrated). compiler: what compiled the counted
    code.
    Raises ValueError when the numbers make no sense.
    """

    core: str
    value: float
    low: float
    high: float
    how: str
    source: str
    tasks: tuple[str, ...] = ()
    leave_one_out_error: float | None = None
    compiler: str = ""

    def __post_init__(self) -> None:
        good = (
            all(map(math.isfinite, (self.value, self.low, self.high)))
            and 0 < self.low <= self.value <= self.high
        )
        if not good or self.how not in HOWS or not self.source:
            raise ValueError(f"cycles per instruction of {self.core}: {self}")

    def to_toml(self) -> str:
        """The table of this core in `cpi.toml`."""
        lines = [
            f"[{self.core}]",
            f"cpi = {self.value:.3f}",
            f"low = {self.low:.3f}",
            f"high = {self.high:.3f}",
        ]
        quoted = ", ".join(f'"{task}"' for task in self.tasks)
        lines += [f'how = "{self.how}"', f"tasks = [{quoted}]"]
        if self.leave_one_out_error is not None:
            lines.append(f"leave_one_out_error = {self.leave_one_out_error:.3f}")
        if self.compiler:
            lines.append(f'compiler = "{self.compiler}"')
        return "\n".join([*lines, f'source = "{self.source}"', ""])


@cache
def table(path: Path = PATH) -> Mapping[str, Cpi]:
    """Every core of a file like `cpi.toml`, by the core's id in the device catalogue."""
    return {core: _read(core, entry) for core, entry in tomllib.loads(path.read_text("utf-8")).items()}


def cycles_per_instruction(core: str) -> Cpi | None:
    """The record of a core, or None: nothing is known (a core without an emulator, such as Cortex-A)."""
    return table().get(core)


def _read(core: str, entry: Mapping[str, Any]) -> Cpi:
    return Cpi(
        core=core,
        value=float(entry["cpi"]),
        low=float(entry["low"]),
        high=float(entry["high"]),
        how=entry["how"],
        source=entry["source"],
        tasks=tuple(entry.get("tasks", ())),
        leave_one_out_error=entry.get("leave_one_out_error"),
        compiler=entry.get("compiler", ""),
    )
