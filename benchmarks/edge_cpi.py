"""Cycles per instruction of each core: published MLPerf Tiny cycles over our emulated instruction counts.

    python benchmarks/edge_cpi.py counts.json [--write]

counts.json: {"compiler": "...", "instructions": {"cortex-m4f": {"kws": 5200000, "ic": ..., "ad": ...}, ...}},
the exact counts of one inference of the three networks of MLPerf Tiny that are at hand (VWW is not) on each
core. Prints a table; --write puts the calibrated cores into edge/cpi.toml and leaves the others as they are.
What such a ratio means and mixes: `trine.edge.cost.cpi`.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trine.devices import load_device
from trine.devices.errors import InputError
from trine.edge.cost.cpi import PATH, Cpi, table

BOARDS = {"cortex-m4f": "stm32l4r5", "cortex-m33": "stm32u575", "cortex-m7": "stm32h7a3"}
"""The board whose published rows stand for each core; its flash and caches are in the figure."""

RUNTIME = "X-CUBE-AI 9.0"
SUITE = "MLPerf Tiny v1.2"

Counts = Mapping[str, Mapping[str, int]]
"""core -> task (kws, ic, ad, vww) -> instructions of one inference of our code."""


@dataclass(frozen=True)
class Calibration:
    """A core's record with what it was made from: ratio and leave-one-out error of each task."""

    cpi: Cpi
    ratios: Mapping[str, float]
    errors: Mapping[str, float]


def published_cycles(core: str) -> dict[str, float]:
    """Cycles of one inference by task: latency x clock of the board's rows that may be fitted."""
    rows = [
        row
        for row in load_device(BOARDS[core]).benchmarks
        if row.split == "calibrate" and row.runtime == RUNTIME and row.suite.startswith(SUITE)
    ]
    return {row.task: row.latency_s * row.clock_hz for row in rows if row.latency_s and row.clock_hz}


def calibrate(counts: Counts, compiler: str) -> list[Calibration]:
    """One calibration a core with published rows, in the order of `BOARDS`.

    Raises `InputError` for a core without rows, fewer than two tasks, or a count that is not positive.
    """
    unknown = sorted(set(counts) - set(BOARDS))
    if unknown:
        raise InputError(f"no published rows for {', '.join(unknown)}; there are for {', '.join(BOARDS)}")
    return [_calibrate(core, counts[core], compiler) for core in BOARDS if core in counts]


def _calibrate(core: str, instructions: Mapping[str, int], compiler: str) -> Calibration:
    cycles = published_cycles(core)
    tasks = sorted(set(instructions) & set(cycles))
    if len(tasks) < 2 or any(instructions[task] <= 0 for task in tasks):
        raise InputError(f"{core}: need positive counts of at least two of {', '.join(sorted(cycles))}")
    ratios = {task: cycles[task] / instructions[task] for task in tasks}
    errors = {}
    for task in tasks:
        others = [ratio for name, ratio in ratios.items() if name != task]
        errors[task] = _geometric_mean(others) / ratios[task] - 1
    board = BOARDS[core]
    record = Cpi(
        core=core,
        value=_geometric_mean(list(ratios.values())),
        low=min(ratios.values()),
        high=max(ratios.values()),
        how="modelled",
        source=f"{SUITE} closed, {board}, {RUNTIME}: published cycles / instructions of our C; geometric "
        "mean, least and most over tasks",
        tasks=tuple(tasks),
        leave_one_out_error=max(abs(error) for error in errors.values()),
        compiler=compiler,
    )
    return Calibration(record, ratios, errors)


def write(calibrations: list[Calibration], path: Path = PATH) -> None:
    """Replace the calibrated cores in a file like edge/cpi.toml; comments at its top and other cores stay."""
    text = path.read_text("utf-8")
    head = text[: text.index("[")]
    cores = {**table(path), **{calibration.cpi.core: calibration.cpi for calibration in calibrations}}
    path.write_text(head + "\n".join(cores[core].to_toml() for core in cores), "utf-8")
    table.cache_clear()


def _geometric_mean(values: list[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("counts", type=Path)
    parser.add_argument("--write", action="store_true", help="put the calibrated cores into edge/cpi.toml")
    arguments = parser.parse_args()
    given = json.loads(arguments.counts.read_text("utf-8"))
    calibrations = calibrate(given["instructions"], given["compiler"])
    for calibration in calibrations:
        cpi = calibration.cpi
        print(f"{cpi.core}: {cpi.value:.3f} ({cpi.low:.3f} to {cpi.high:.3f}) cycles/instruction")
        for task, ratio in calibration.ratios.items():
            print(f"  {task}: {ratio:.3f}, latency predicted from the others {calibration.errors[task]:+.1%}")
    if arguments.write:
        write(calibrations)


if __name__ == "__main__":
    main()
