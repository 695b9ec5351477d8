"""The sleep spindle detector on an emulated Cortex-M4F with more memory than any such chip has: what it would cost.

    python benchmarks/eeg_models.py

The emulator gives a program 32 MiB of flash and of RAM, so that networks can be counted that no microcontroller with
the core holds: the detector's arena alone is 3.4 MB. One run of the stored 30 s of EEG, some 5 G instructions, takes
minutes; its int8 outputs are compared with the program's. Writes benchmarks/results/eeg_models.json. Needs the data
folder named by TRINE_DATA (default ../shared/data).
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from record import DATA, keep, machine

from trine.compilers.graph import Array
from trine.compilers.source import load_source
from trine.edge.c.emit import emit_c
from trine.edge.emulate import emulator_for
from trine.edge.lower import lower
from trine.edge.parity import as_bytes, entry_of
from trine.edge.program import IntegerProgram
from trine.edge.simplify import simplify

CORE = "cortex-m4f"
FOLDER = DATA / "models_eeg_onnx"
TIME_LIMIT_S = 3600.0


def spindle() -> tuple[IntegerProgram, dict[str, Array], int]:
    """The detector in int8 with the ranges of the stored recording, that recording, and multiply-accumulates."""
    graph = load_source(FOLDER / "spindle-detector-eeg.onnx")
    with np.load(FOLDER / "spindle_eeg_sample.npz") as stored:
        feed = {tensor.name: stored[tensor.name].astype(np.float32) for tensor in graph.inputs}
    simpler = simplify(graph)
    ranges = {name: (float(x.min()), float(x.max())) for name, x in feed.items()}
    for node, found in simpler.trace(feed):
        ranges |= {n: (float(x.min()), float(x.max())) for n, x in zip(node.outputs, found, strict=True)}
    return replace(lower(simpler, ranges).program, name="spindle"), feed, graph.macs()


def measure(program: IntegerProgram, feed: dict[str, Array], macs: int) -> dict[str, Any]:
    """Instructions, memory and values that differ."""
    codes = program.quantize(feed)
    wanted = program.run(codes)
    sources = emit_c(program, CORE)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / f"{sources.name}.h").write_text(sources.header)
        (Path(folder) / f"{sources.name}.c").write_text(sources.source)
        emulator = emulator_for(CORE, time_limit_s=TIME_LIMIT_S)
        with emulator.load(Path(folder), entry_of(program, sources.name)) as core:
            profile = core.profile([as_bytes(codes[name]) for name in program.inputs])
            flash, ram = core.sizes.flash_bytes, core.sizes.ram_bytes
    found = zip(program.outputs, profile.outputs, strict=True)
    return {
        "core": CORE, "macs": macs, "instructions": profile.instructions,
        "instructions_per_mac": round(profile.instructions / macs, 3), "flash_bytes": flash,
        "arena_bytes": sources.plan.arena_bytes, "bound_bytes": sources.plan.lower_bound_bytes,
        "ram_bytes": ram + profile.stack_bytes, "stack_bytes": profile.stack_bytes,
        "differing": sum(int((as_bytes(wanted[name]) != raw).sum()) for name, raw in found),
    }  # fmt: skip


def main() -> None:
    """Measure, print, keep."""
    row = measure(*spindle())
    print(
        "\n".join(
            f"{name:22} {value:>15,}" if name != "core" else f"{name:22} {value:>15}"
            for name, value in row.items()
        )
    )
    print(f"written to {keep('eeg_models', {'spindle': row, 'machine': machine('ziglang', 'unicorn')})}")


if __name__ == "__main__":
    main()
