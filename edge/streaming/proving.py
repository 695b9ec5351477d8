"""A stream's prints against each other: its definition and the whole program, C on this machine and on the core."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from trine.compilers.examples import Examples
from trine.compilers.graph import Array
from trine.compilers.report import Parity
from trine.devices import EdgeDevice
from trine.edge.c.emit import CSources, emit_c
from trine.edge.emulate import Sizes, emulator_for
from trine.edge.emulate.emulator import Emulator
from trine.edge.parity import as_bytes, draw, entry_of
from trine.edge.program import IntegerProgram
from trine.edge.running import EMULATED_INSTRUCTIONS, Compiler
from trine.edge.streaming.machine import CoreStream, HostStream, as_array, hops_of, write_sources
from trine.edge.streaming.program import State, StreamProgram, columns_of
from trine.edge.streaming.state import to_bytes

SAMPLES = 40_000  # of signal, compared while compiling
STREAMS = 4
CORE_STEPS = 64
PROFILED = 4


@dataclass(frozen=True)
class Signals:
    """Stored signals {name: [n, ..., columns, ...]} (without time axis: [n, hops, *shape]), and what the stream makes
    of them, {name: [n, hops, *piece shape]}."""

    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]

    @property
    def count(self) -> int:
        """Streams."""
        return len(next(iter(self.inputs.values())))

    def hops(self, stream: StreamProgram, index: int) -> dict[str, Array]:
        """One stream's inputs, hop by hop."""
        return hops_of(stream, {name: value[index] for name, value in self.inputs.items()})


def run_signals(stream: StreamProgram, inputs: Mapping[str, Array]) -> Signals:
    """Signals through the definition."""
    return Signals(inputs, stream.run(inputs)[0])


def draw_signals(stream: StreamProgram, examples: Examples, samples: int = SAMPLES) -> tuple[Signals, Parity]:
    """Signals from examples, evenly spread, and the definition of the stream against that of the whole program.

    A sequence's examples each begin after a reset. A window's are put one behind the other, so that windows lie across
    them too. samples: of signal, about.
    """
    program = stream.program
    if stream.kind == "sequence":
        sample = draw(program, examples, max(samples // stream.window, 1))
        signals = run_signals(stream, sample.codes)
        return signals, sequence_parity(stream, signals, sample.outputs)
    sample = draw(program, examples, max(samples // stream.window, STREAMS))
    each = max(sample.count // STREAMS, 1)
    joined = {}
    for name, codes in sample.codes.items():
        rows = codes[: each * (sample.count // each)]
        joined[name] = join(stream, name, rows.reshape(-1, each, *rows.shape[1:]))
    signals = run_signals(stream, joined)
    return signals, window_parity(stream, signals)


def join(stream: StreamProgram, name: str, rows: Array) -> Array:
    """Examples [n, each, *shape] as signals, one behind the other; without time axis, one value a hop."""
    if stream.along_time(name):
        axis = stream.timed[name].axis
        return np.concatenate([rows[:, i] for i in range(rows.shape[1])], axis=axis + 1)
    hops = rows.shape[1] * stream.window // stream.hop
    return np.asarray(rows[:, np.arange(hops) * stream.hop // stream.window])


def sequence_parity(stream: StreamProgram, signals: Signals, whole: Mapping[str, Array]) -> Parity:
    """Every column that the stream gives for a signal, and the whole program's column of that number."""
    gaps = []
    for name, outputs in signals.outputs.items():
        if not stream.along_time(name):
            gaps.append((outputs[:, -1].astype(int) - whole[name].astype(int)).ravel())
            continue
        timed = stream.timed[name]
        found = np.concatenate([outputs[:, i] for i in range(outputs.shape[1])], axis=timed.axis + 1)
        count = found.shape[timed.axis + 1] - timed.delay
        found = columns_of(found, timed.axis, timed.delay, count)
        gaps.append((found.astype(int) - columns_of(whole[name], timed.axis, 0, count).astype(int)).ravel())
    return parity("the whole sequence, IntegerProgram.run", signals.count, np.concatenate(gaps))


def window_parity(stream: StreamProgram, signals: Signals) -> Parity:
    """Every answer of the stream, and the whole program's answer to that window."""
    program, hops = stream.program, next(iter(signals.outputs.values())).shape[1]
    gaps = []
    for i in range(hops):
        found = program.run({n: window_at(stream, n, v, i) for n, v in signals.inputs.items()})
        gaps += [(signals.outputs[n][:, i].astype(int) - q.astype(int)).ravel() for n, q in found.items()]
    return parity("every window whole, IntegerProgram.run", hops * signals.count, np.concatenate(gaps))


def window_at(stream: StreamProgram, name: str, signal: Array, hop: int) -> Array:
    """The window that ends with a hop; what lies before the signal's start is zero."""
    if not stream.along_time(name):
        return np.asarray(signal[:, hop])
    timed, tensor = stream.timed[name], stream.program.tensors[name]
    end = (hop + 1) * stream.columns(name)
    seen = columns_of(signal, timed.axis, max(end - timed.length, 0), min(end, timed.length))
    before = list(seen.shape)
    before[timed.axis + 1] = timed.length - seen.shape[timed.axis + 1]
    padding = np.full(before, tensor.zero_point, seen.dtype)
    return np.concatenate([padding, seen], axis=timed.axis + 1)


def parity(against: str, examples: int, gap: Array) -> Parity:
    """A comparison from its differences."""
    gap = np.abs(gap)
    return Parity(against, examples, gap.size, int((gap > 0).sum()), int(gap.max(initial=0)))


def on_host(stream: StreamProgram, sources: CSources, signals: Signals) -> Parity:
    """The emitted C on this machine, its state saved and restored halfway through every stream."""
    gaps = []
    with HostStream(stream, sources) as host:
        for i in range(signals.count):
            hops = signals.hops(stream, i)
            half = len(next(iter(hops.values()))) // 2
            state = host.fresh()
            first = host.run(state, {n: v[:half] for n, v in hops.items()})
            saved, state = host.save(state), np.zeros_like(state)
            refused = host.restore(state, saved)
            second = host.run(state, {n: v[half:] for n, v in hops.items()}) if not refused else first
            for name, outputs in signals.outputs.items():
                found = np.concatenate([first[name], second[name]])
                gaps.append((found.astype(int) - outputs[i].astype(int)).ravel())
        against = f"C on the host ({host.compiler.version}), state saved and restored halfway"
    return parity(against, signals.count, np.concatenate(gaps))


@dataclass(frozen=True)
class EmulatedStream:
    """The stream on the device's core. instructions: the most of the profiled steps; low: the least. whole: those of
    the whole program on one example, None where that is too long to count."""

    parity: Parity
    instructions: int
    low: int
    by_layer: Mapping[str, int]
    stack_bytes: int
    sizes: Sizes
    provenance: str
    whole: int | None


def on_core(
    device: EdgeDevice,
    stream: StreamProgram,
    sources: CSources,
    signals: Signals,
    compiler: Compiler,
    steps: int | None,
) -> EmulatedStream:
    """Steps of the first stream on the emulated core, each from the state that the definition has there."""
    emulator = emulator_for(device.core, compiler)
    hops = signals.hops(stream, 0)
    total = len(next(iter(hops.values())))
    chosen = np.unique(np.linspace(0, total - 1, min(steps or CORE_STEPS, total)).astype(int))
    states = [to_bytes(stream, s) for s in states_at(stream, hops, chosen)]
    given = {n: v[chosen] for n, v in hops.items()}
    with CoreStream(stream, sources, emulator) as core:
        found, after = core.run(as_array(states), given)
        gaps = [(found[n].astype(int) - v[0][chosen].astype(int)).ravel() for n, v in signals.outputs.items()]
        following = as_array([to_bytes(stream, s) for s in states_at(stream, hops, chosen + 1)])
        gaps.append((after.astype(int) - following.astype(int)).ravel())
        few = np.unique(np.linspace(0, len(chosen) - 1, PROFILED).astype(int))
        profiles = [
            core.profile(as_array([states[i]]), {n: v[i : i + 1] for n, v in given.items()}) for i in few
        ]
    most = max(profiles, key=lambda p: p.instructions)
    against = f"C on an emulated {device.core} ({emulator.provenance}), outputs and states"
    return EmulatedStream(
        parity(against, len(chosen), np.concatenate(gaps)), most.instructions,
        min(p.instructions for p in profiles), most.by_layer, max(p.stack_bytes for p in profiles),
        most.sizes, emulator.provenance, whole_instructions(device, stream, emulator, most.instructions),
    )  # fmt: skip


def states_at(stream: StreamProgram, hops: Mapping[str, Array], wanted: Array) -> list[State]:
    """The states before the wanted hops of one stream."""
    state, found = stream.reset(), []
    last, places = int(max(wanted)), {int(i) for i in wanted}
    for i in range(last + 1):
        if i in places:
            found.append(state)
        if i < last:
            _, state = stream.step(state, {n: v[i : i + 1] for n, v in hops.items()})
    return found


def whole_instructions(
    device: EdgeDevice, stream: StreamProgram, emulator: Emulator, step: int
) -> int | None:
    """Instructions of the whole program on one example, on the same core; None where the count would take too long."""
    program: IntegerProgram = stream.program
    if step * stream.window // stream.hop > EMULATED_INSTRUCTIONS:
        return None
    sources = emit_c(program, device.core)
    zeros = {
        n: np.full((1, *program.tensors[n].shape), program.tensors[n].zero_point, program.tensors[n].dtype)
        for n in program.inputs
    }
    with TemporaryDirectory(prefix="trine-stream-") as folder:
        write_sources(sources, Path(folder))
        with emulator.load(Path(folder), entry_of(program, sources.name)) as machine:
            return machine.profile([as_bytes(zeros[n]) for n in program.inputs]).instructions
