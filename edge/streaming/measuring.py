"""What a program takes on a device as a stream: the way to run it that a budget search is told."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trine.devices import EdgeDevice
from trine.edge.budget.measure import Measured, by_layer, energy_of, named
from trine.edge.budget.ways import Way
from trine.edge.c.stream import emit_stream
from trine.edge.emulate import emulator_for
from trine.edge.program import IntegerProgram
from trine.edge.running import Compiler, emulation_missing
from trine.edge.streaming.choose import stream
from trine.edge.streaming.costing import io_bytes, static_fit
from trine.edge.streaming.machine import CoreStream, as_array
from trine.edge.streaming.state import state_bytes, to_bytes


@dataclass(frozen=True)
class Streamed(Way):
    """A step for each hop of new samples, see `stream`; `Measured` is of one step, its arena with the state."""

    hop: int | None = None

    @property
    def name(self) -> str:
        """What the front calls it."""
        return "stream" if self.hop is None else f"stream, hop {self.hop}"

    def arena(self, program: IntegerProgram, device: EdgeDevice) -> int:
        """Bytes of state and work memory."""
        made = stream(program, self.hop)
        return state_bytes(made) + emit_stream(made, device.core).plan.arena_bytes

    def measure(self, program: IntegerProgram, device: EdgeDevice, compiler: Compiler) -> Measured:
        """Print, link and run one step on random samples after a reset."""
        made = stream(program, self.hop)
        sources = emit_stream(made, device.core)
        arena = state_bytes(made) + sources.plan.arena_bytes
        if emulation_missing(device, compiler):
            ram, flash = (fit.used for fit in static_fit(device, made, sources))
            return Measured(ram, flash, 0, arena, how="modelled")
        rng = np.random.default_rng(0)
        pieces = {name: made.piece(name) for name in program.inputs}
        hop = {n: rng.integers(-128, 128, (1, *p.shape)).astype(p.dtype) for n, p in pieces.items()}
        with CoreStream(made, sources, emulator_for(device.core, compiler)) as core:
            profile = core.profile(as_array([to_bytes(made, made.reset())]), hop)
        step_of = dict(sources.layers)
        counts = named(profile.by_layer, f"trine_{sources.name}_layer_", step_of)
        sizes = profile.sizes
        return Measured(
            state_bytes(made) + sizes.ram_bytes + profile.stack_bytes + io_bytes(made), sizes.flash_bytes,
            sizes.code_bytes, arena, energy_of(device, profile.instructions), profile.instructions,
            by_layer({step_of[name]: count for name, count in counts.items()}),
        )  # fmt: skip
