"""The ECG network on every emulated core, bit for bit against its definition, over thousands of real beats.

    python benchmarks/edge_parity.py [--beats 3000] [--cores cortex-m4f,...]

Prints one table (instructions, per multiply-accumulate, flash, RAM, stack, values that differ) and writes
benchmarks/results/edge_parity.json. Cores with two rows were compiled by both compilers. The integer program is
quantised on DS1; the beats are spread evenly over DS2. Needs the data folder named by TRINE_DATA
(default ../shared/data), and for Cortex-M55 and gcc the apt packages qemu-system-arm and gcc-arm-none-eabi.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from record import ECG, keep, machine

from trine.compilers import datasets
from trine.compilers.examples import Examples
from trine.compilers.source import load_source
from trine.edge.c.emit import emit_c
from trine.edge.emulate import emulator_for, missing
from trine.edge.parity import Sample, difference, draw, entry_of, in_onnxruntime, on_host, run_machine
from trine.edge.program import IntegerProgram
from trine.edge.qdq import to_qdq
from trine.edge.quantize import quantize

ROUTES = (
    ("cortex-m0", "zig", "unicorn"), ("cortex-m3", "zig", "unicorn"), ("cortex-m4f", "zig", "unicorn"),
    ("cortex-m7", "zig", "unicorn"), ("cortex-m33", "zig", "unicorn"), ("rv32imc", "zig", "unicorn"),
    ("cortex-m55", "zig", "qemu"), ("cortex-m3", "gcc", "qemu"), ("cortex-m4f", "gcc", "qemu"),
    ("cortex-m7", "gcc", "qemu"), ("cortex-m33", "gcc", "qemu"), ("cortex-m55", "gcc", "qemu"),
)  # fmt: skip


def on_core(
    route: tuple[str, str, str], program: IntegerProgram, sample: Sample, macs: int
) -> dict[str, Any]:
    """One row: compile, run the sample, profile one example."""
    core, compiler, emulator = route
    absent = missing(core, compiler, emulator)  # type: ignore[arg-type]
    if absent:
        raise SystemExit(f"{core} with {compiler} on {emulator} needs {', '.join(absent)}")
    sources = emit_c(program, core)
    chosen = emulator_for(core, compiler, emulator)  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / f"{sources.name}.h").write_text(sources.header)
        (Path(folder) / f"{sources.name}.c").write_text(sources.source)
        with chosen.load(Path(folder), entry_of(program, sources.name)) as core_machine:
            parity = difference(core, program, sample, run_machine(core_machine, program, sample))
            one = sample.head(1)
            profile = core_machine.profile([one.codes[n].reshape(1, -1) for n in program.inputs])
            sizes = core_machine.sizes
    return {
        "core": core, "how": chosen.provenance, "beats": parity.examples, "values": parity.values,
        "differing": parity.differing, "instructions": profile.instructions,
        "instructions_per_mac": round(profile.instructions / macs, 3), "stack_bytes": profile.stack_bytes,
        "ram_bytes": sizes.ram_bytes, "flash_bytes": sizes.flash_bytes,
        "arena_bytes": sources.plan.arena_bytes, "liveness_bound_bytes": sources.plan.lower_bound_bytes,
    }  # fmt: skip


def main() -> None:
    """Run all routes and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--beats", type=int, default=3000)
    parser.add_argument("--cores", default="")
    arguments = parser.parse_args()
    wanted = set(arguments.cores.split(",")) - {""}
    graph = load_source(ECG)
    with tempfile.TemporaryDirectory() as folder:
        datasets.write("mitbih", Path(folder))
        program = quantize(graph, Examples.open(Path(folder) / "calib.npz", graph.inputs)).program
        sample = draw(program, Examples.open(Path(folder) / "test.npz", graph.inputs), arguments.beats)
        sources = emit_c(program, "cortex-m4f")
        (Path(folder) / f"{sources.name}.h").write_text(sources.header)
        (Path(folder) / f"{sources.name}.c").write_text(sources.source)
        others = [on_host(program, sample, Path(folder), entry_of(program, sources.name))]
    others += in_onnxruntime(program, sample, to_qdq(program))
    for parity in others:
        print(f"{parity.against}: {parity.differing} of {parity.values} differ {parity.note}", flush=True)
    rows = []
    print(
        f"{'core':12} {'compiler':9} {'instr':>10} {'/MAC':>6} {'flash':>7} {'RAM':>6} {'stack':>6} {'differ':>7}"
    )
    for route in ROUTES:
        if wanted and route[0] not in wanted:
            continue
        row = on_core(route, program, sample, graph.macs())
        rows.append(row)
        print(
            f"{route[0]:12} {route[1]:9} {row['instructions']:10,} {row['instructions_per_mac']:6.3f} "
            f"{row['flash_bytes']:7,} {row['ram_bytes']:6,} {row['stack_bytes']:6} {row['differing']:7}",
            flush=True,
        )
    if not wanted:
        result = {
            "macs": graph.macs(), "machine": machine("onnxruntime", "ziglang", "unicorn"), "rows": rows,
            "others": [p.as_json() for p in others],
        }  # fmt: skip
        print(f"written to {keep('edge_parity', result)}")


if __name__ == "__main__":
    main()
