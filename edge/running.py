"""The emitted C on the emulated core of a device: outputs, exact counts, sizes, stack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trine.compilers.report import Parity
from trine.devices import EdgeDevice
from trine.devices.errors import InputError
from trine.edge.emulate import Sizes, core_for, emulator_for, missing
from trine.edge.parity import Sample, as_bytes, difference, entry_of, run_machine
from trine.edge.program import IntegerProgram

Compiler = Literal["zig", "gcc"]
EMULATED_INSTRUCTIONS = 2_000_000_000
PROFILED = 4  # examples counted; the greatest count is reported


@dataclass(frozen=True)
class Emulated:
    """instructions: the greatest count over the profiled examples; low: the least. by_layer: of that example."""

    parity: Parity
    instructions: int
    low: int
    by_layer: Mapping[str, int]
    stack_bytes: int
    sizes: Sizes
    provenance: str


def emulation_missing(device: EdgeDevice, compiler: Compiler = "zig") -> str:
    """Why the device's core cannot be emulated here, with the command that helps; "" when it can."""
    try:
        core_for(device.core)
    except InputError:
        return f"no emulator here models {device.core}: instructions, latency and energy are not estimated"
    absent = missing(device.core, compiler)
    if not absent:
        return ""
    apt = [name for name in absent if name in ("gcc-arm-none-eabi", "qemu-system-arm")]
    how = f"apt-get install {' '.join(apt)}" if apt else "pip install 'trine[verify]'"
    return f"not run on an emulated {device.core}, {', '.join(absent)} missing: {how}"


def affordable(instructions: int, count: int) -> int:
    """How many of `count` examples to run on an emulated core unless the user says: 2e9 instructions' worth, or 16."""
    return min(count, max(EMULATED_INSTRUCTIONS // instructions, 16))


def emulate(
    device: EdgeDevice,
    program: IntegerProgram,
    name: str,
    sample: Sample,
    c_dir: Path,
    compiler: Compiler = "zig",
    examples: int | None = None,
) -> Emulated:
    """Run a sample on the device's core and profile a few examples.

    examples: how many of the sample run; by default as many as are `affordable`.
    """
    emulator = emulator_for(device.core, compiler)
    with emulator.load(c_dir, entry_of(program, name)) as machine:
        few = sample.head(PROFILED)
        profiles = [
            machine.profile([as_bytes(few.codes[n][i : i + 1]) for n in program.inputs])
            for i in range(few.count)
        ]
        most = max(profiles, key=lambda profile: profile.instructions)
        sample = sample.head(examples or affordable(most.instructions, sample.count))
        outputs = run_machine(machine, program, sample)
        against = f"C on an emulated {device.core} ({emulator.provenance})"
        return Emulated(
            difference(against, program, sample, outputs), most.instructions,
            min(p.instructions for p in profiles), dict(most.by_layer),
            max(p.stack_bytes for p in profiles), machine.sizes, emulator.provenance,
        )  # fmt: skip
