"""The emitted stream on this machine and on an emulated core, hop by hop with the state in the caller's hands."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from trine.compilers.graph import Array
from trine.devices.errors import InputError
from trine.edge.c.emit import CSources
from trine.edge.emulate import Entry, HostCompiler
from trine.edge.emulate.elf import Sizes
from trine.edge.emulate.emulator import Emulator
from trine.edge.parity import as_bytes
from trine.edge.streaming.program import StreamProgram, columns_of
from trine.edge.streaming.state import state_bytes, stored, unstored


def write_sources(sources: CSources, folder: Path) -> None:
    """Header and source of a stream."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{sources.name}.h").write_text(sources.header, encoding="utf-8")
    (folder / f"{sources.name}.c").write_text(sources.source, encoding="utf-8")


def hop_bytes(stream: StreamProgram, name: str, value: Array) -> Array:
    """An input or output of hops, [n, *piece shape], as the bytes the C takes or gives, int8 [n, bytes]."""
    if not stream.along_time(name):
        return as_bytes(value)
    axis = stream.timed[name].axis
    return as_bytes(np.stack([stored(v, axis) for v in value]))


def hop_values(stream: StreamProgram, name: str, raw: Array) -> Array:
    """The other way round: bytes of hops, int8 [n, bytes], to [n, *piece shape]."""
    piece = stream.piece(name)
    values = np.ascontiguousarray(raw).view(piece.dtype)
    if not stream.along_time(name):
        return values.reshape(-1, *piece.shape)
    axis = stream.timed[name].axis
    return np.stack([unstored(v, piece.shape, axis) for v in values])


def hops_of(stream: StreamProgram, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """One signal {name: [..., columns, ...]} as hops {name: [hops, *piece shape]}; without time axis, as it is."""
    found = {}
    for name, value in inputs.items():
        if not stream.along_time(name):
            found[name] = value
            continue
        axis, count = stream.timed[name].axis, stream.columns(name)
        hops = value.shape[axis] // count
        found[name] = np.stack([columns_of(value[None], axis, i * count, count)[0] for i in range(hops)])
    return found


def driver_text(stream: StreamProgram, name: str) -> str:
    """C that runs many hops of one stream."""
    ends = [("const int8_t *", "in", stream.program.inputs), ("int8_t *", "out", stream.program.outputs)]
    parameters = [f"{kind}{end}{i}" for kind, end, names in ends for i in range(len(names))]
    arguments = [
        f"(void *)(uintptr_t)({end}{i} + h * {stream.piece(n).bytes}u)"
        for _, end, names in ends
        for i, n in enumerate(names)
    ]
    return f"""#include <stddef.h>
#include <stdint.h>
#include "{name}.h"
#ifdef _WIN32
#define EXPORT __declspec(dllexport)
#else
#define EXPORT
#endif
EXPORT int trine_hops(size_t n, void *state, {", ".join(parameters)});
EXPORT void trine_fresh(void *state);
EXPORT void trine_keep(const void *state, void *saved);
EXPORT int trine_take(void *state, const void *saved);
EXPORT size_t trine_size(void);
int trine_hops(size_t n, void *state, {", ".join(parameters)}) {{
  for (size_t h = 0; h < n; h++) {{
    int status = trine_{name}_step(state, {", ".join(arguments)});
    if (status) return status;
  }}
  return 0;
}}
void trine_fresh(void *state) {{ trine_{name}_reset(state); }}
void trine_keep(const void *state, void *saved) {{ trine_{name}_save(state, saved); }}
int trine_take(void *state, const void *saved) {{ return trine_{name}_restore(state, saved); }}
size_t trine_size(void) {{ return sizeof(trine_{name}_state); }}
"""


class HostStream:
    """The emitted stream compiled for this machine; states are int8 arrays of the struct's bytes."""

    def __init__(
        self, stream: StreamProgram, sources: CSources, compiler: HostCompiler | None = None
    ) -> None:
        """Build it. Raises BuildError, InputError or MissingExtra (no compiler at all)."""
        self.stream, self.compiler = stream, compiler or HostCompiler()
        self._folder = TemporaryDirectory(prefix="trine-stream-", ignore_cleanup_errors=True)
        place = Path(self._folder.name)
        write_sources(sources, place)
        driver = place / "trine_driver.c"
        driver.write_text(driver_text(stream, sources.name), encoding="utf-8")
        self._library: Any = ctypes.CDLL(
            str(self.compiler.compile([place / f"{sources.name}.c", driver], place))
        )
        pointers = [ctypes.c_void_p] * (1 + len(stream.program.inputs) + len(stream.program.outputs))
        self._library.trine_hops.argtypes = [ctypes.c_size_t, *pointers]
        self._library.trine_size.restype = ctypes.c_size_t
        for call in (self._library.trine_fresh, self._library.trine_keep, self._library.trine_take):
            call.argtypes = [ctypes.c_void_p] * (1 if call is self._library.trine_fresh else 2)
        if self._library.trine_size() != state_bytes(stream):
            raise InputError(f"{self.compiler.name} lays the state out in {self._library.trine_size()} bytes")

    def fresh(self) -> Array:
        """A state after reset."""
        state = np.zeros(state_bytes(self.stream), np.int8)
        self._library.trine_fresh(state.ctypes.data)
        return state

    def save(self, state: Array) -> Array:
        """What `trine_NAME_save` makes of a state."""
        saved = np.zeros_like(state)
        self._library.trine_keep(state.ctypes.data, saved.ctypes.data)
        return saved

    def restore(self, state: Array, saved: Array) -> int:
        """`trine_NAME_restore`: its answer; the state is changed where that is 0."""
        return int(self._library.trine_take(state.ctypes.data, saved.ctypes.data))

    def run(self, state: Array, hops: Mapping[str, Array]) -> dict[str, Array]:
        """Hops {name: [n, *piece shape]} through the stream; the state goes on. Outputs {name: [n, *piece shape]}."""
        program = self.stream.program
        given = [np.ascontiguousarray(hop_bytes(self.stream, n, hops[n])) for n in program.inputs]
        count = len(given[0])
        raw = [np.zeros((count, self.stream.piece(n).bytes), np.int8) for n in program.outputs]
        status = self._library.trine_hops(count, state.ctypes.data, *(a.ctypes.data for a in [*given, *raw]))
        if status:
            raise InputError(f"the stream's step returned {status}")
        return {n: hop_values(self.stream, n, r) for n, r in zip(program.outputs, raw, strict=True)}

    def close(self) -> None:
        """Remove the build folder."""
        self._folder.cleanup()

    def __enter__(self) -> HostStream:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


@dataclass(frozen=True)
class StepProfile:
    """One step on an emulated core. instructions: exact, of `trine_NAME_step` alone. stack_bytes: peak."""

    instructions: int
    by_layer: Mapping[str, int]
    stack_bytes: int
    sizes: Sizes


def probe_text(stream: StreamProgram, name: str, call: bool) -> str:
    """The entry an emulator calls, appended to the source: a state comes in, a step runs, the state goes out.

    call: whether the step runs; without it the same copying is left, to be taken from the count.
    """
    ends = [("const int8_t *", "in", stream.program.inputs), ("int8_t *", "out", stream.program.outputs)]
    inputs = [f"const int8_t *in{i}" for i in range(len(stream.program.inputs))]
    outputs = [f"int8_t *out{i}" for i in range(len(stream.program.outputs))]
    arguments = ", ".join(f"(void *)(uintptr_t){end}{i}" for _, end, names in ends for i in range(len(names)))
    unused = "".join(f"    (void){end}{i};\n" for _, end, names in ends for i in range(len(names)))
    parameters = ", ".join(["const int8_t *before", *inputs, *outputs, "int8_t *after"])
    step = f"trine_{name}_step((void *)after, {arguments})" if call else "0"
    return f"""
TRINE_NOINLINE static void trine_{name}_move(int8_t *to, const int8_t *from, int32_t n)
{{
    for (int32_t i = 0; i < n; i++)
        ((volatile int8_t *)to)[i] = from[i];
}}

int trine_{name}_run({parameters});
int trine_{name}_run({parameters})
{{
{unused}    trine_{name}_move(after, before, (int32_t)sizeof(trine_{name}_state));
    return {step};
}}
"""


class CoreStream:
    """The emitted stream on an emulated core, one step at a time from any state."""

    def __init__(self, stream: StreamProgram, sources: CSources, emulator: Emulator) -> None:
        """Build and load it. Raises BuildError, IsaViolation, InputError or MissingExtra."""
        self.stream, self.sources = stream, sources
        self._folder = TemporaryDirectory(prefix="trine-stream-", ignore_cleanup_errors=True)
        self._machines = []
        for call in (True, False):
            place = Path(self._folder.name) / ("step" if call else "empty")
            write_sources(sources, place)
            path = place / f"{sources.name}.c"
            path.write_text(sources.source + probe_text(stream, sources.name, call), encoding="utf-8")
            self._machines.append(emulator.load(place, self.entry()))

    def entry(self) -> Entry:
        """State and inputs in, outputs and state out."""
        size, program = state_bytes(self.stream), self.stream.program
        inputs = (size, *(self.stream.piece(n).bytes for n in program.inputs))
        return Entry(
            f"trine_{self.sources.name}_run",
            inputs,
            (*(self.stream.piece(n).bytes for n in program.outputs), size),
        )

    def run(self, states: Array, hops: Mapping[str, Array]) -> tuple[dict[str, Array], Array]:
        """n independent steps: states int8 [n, bytes], hops {name: [n, *piece shape]}; outputs, states after."""
        program = self.stream.program
        given = [hop_bytes(self.stream, n, hops[n]) for n in program.inputs]
        *raw, after = self._machines[0].run([states, *given])
        return {n: hop_values(self.stream, n, r) for n, r in zip(program.outputs, raw, strict=True)}, after

    def profile(self, state: Array, hop: Mapping[str, Array]) -> StepProfile:
        """Exact count of one step: state int8 [1, bytes], hop {name: [1, *piece shape]}."""
        given = [state, *(hop_bytes(self.stream, n, hop[n]) for n in self.stream.program.inputs)]
        full, empty = (machine.profile(given) for machine in self._machines)
        return StepProfile(
            full.instructions - empty.instructions,
            {name: count for name, count in full.by_layer.items() if name != "run"},
            full.stack_bytes, self._machines[0].sizes,
        )  # fmt: skip

    def close(self) -> None:
        """End the emulators and remove the build folders."""
        for machine in self._machines:
            machine.close()
        self._folder.cleanup()

    def __enter__(self) -> CoreStream:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def as_array(states: Sequence[bytes]) -> Array:
    """Structs as int8 [n, bytes]."""
    return np.stack([np.frombuffer(s, np.int8) for s in states])
