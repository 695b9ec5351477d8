"""What a program really takes on a device: compiled, linked and run on the emulated core."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from trine.devices import EdgeDevice
from trine.edge.c.emit import emit_c
from trine.edge.cost import estimate_cost
from trine.edge.emulate import emulator_for
from trine.edge.fit import io_bytes, static_fit
from trine.edge.parity import entry_of
from trine.edge.program import IntegerProgram
from trine.edge.running import Compiler, emulation_missing


@dataclass(frozen=True)
class Measured:
    """RAM and flash as `fit` counts them, energy of one inference; by_step: instructions of each step.

    code_bytes: flash without constants. energy_j, instructions: None where the core is not emulated here or its power
    is not published. how: "measured", or "modelled" without a cross compiler.
    """

    ram_bytes: int
    flash_bytes: int
    code_bytes: int
    arena_bytes: int
    energy_j: float | None = None
    instructions: int | None = None
    by_step: Mapping[str, int] = field(default_factory=dict)
    how: str = "measured"


def energy_of(device: EdgeDevice, instructions: int) -> float | None:
    """Joules of one inference, or None where the device's power or timing is not known."""
    found = estimate_cost(device, instructions).get("energy_j")
    return None if found is None else found.value


def measure(program: IntegerProgram, device: EdgeDevice, compiler: Compiler) -> Measured:
    """Print, link and run a program once on random inputs."""
    sources = emit_c(program, device.core)
    if emulation_missing(device, compiler):
        ram, flash = (fit.used for fit in static_fit(device, sources, program))
        return Measured(ram, flash, 0, sources.plan.arena_bytes, how="modelled")
    rng = np.random.default_rng(0)
    inputs = [random_bytes(program, name, rng) for name in program.inputs]
    with TemporaryDirectory(prefix="trine-budget-") as folder:
        place = Path(folder)
        (place / f"{sources.name}.h").write_text(sources.header, encoding="utf-8")
        (place / f"{sources.name}.c").write_text(sources.source, encoding="utf-8")
        with emulator_for(device.core, compiler).load(place, entry_of(program, sources.name)) as machine:
            profile, sizes = machine.profile(inputs), machine.sizes
    step_of = dict(sources.layers)
    prefix = f"trine_{sources.name}_layer_"
    by_step = {step_of[name]: count for name, count in named(profile.by_layer, prefix, step_of).items()}
    return Measured(
        sizes.ram_bytes + profile.stack_bytes + io_bytes(program), sizes.flash_bytes, sizes.code_bytes,
        sources.plan.arena_bytes, energy_of(device, profile.instructions), profile.instructions, by_step,
    )  # fmt: skip


def named(by_layer: Mapping[str, int], prefix: str, known: Mapping[str, str]) -> dict[str, int]:
    """Counts by the layer's function, whether or not the emulator leaves the prefix out."""
    full = {name if name in known else prefix + name: count for name, count in by_layer.items()}
    return {name: count for name, count in full.items() if name in known}


def by_layer(by_step: Mapping[str, int]) -> dict[str, int]:
    """Counts by layer of the program that `patched` or `stream` was given: NAME@0, NAME@left are of NAME."""
    found: Counter[str] = Counter()
    for name, count in by_step.items():
        found[name.split("@")[0]] += count
    return dict(found)


def random_bytes(program: IntegerProgram, name: str, rng: np.random.Generator) -> NDArray[np.int8]:
    """One random example of an input as the emulator takes it: int8 [1, bytes]."""
    return rng.integers(-128, 128, (1, program.tensors[name].bytes)).astype(np.int8)
