"""The emitted C on this machine: a shared library called over many examples at once."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from trine.devices.errors import InputError
from trine.edge.emulate.machine import EmulationFault, Entry, Int8, checked
from trine.edge.emulate.toolchain import (
    STRICT,
    execute,
    first_line,
    stage_program,
    zig_command,
    zig_environment,
)


@dataclass(frozen=True)
class HostCompiler:
    """The compiler of this machine ($CC, cc, gcc or clang; else zig), for shared libraries."""

    optimise: str = "-O2"

    @property
    def command(self) -> tuple[str, ...]:
        """The head of the command line. Raises InputError for a wrong $CC, MissingExtra without any."""
        chosen = os.environ.get("CC", "").split()
        if chosen:
            path = shutil.which(chosen[0])
            if path is None:
                raise InputError(f"the environment variable CC names {chosen[0]!r}, which is not on PATH")
            return (os.path.abspath(path), *chosen[1:])
        found = next((path for name in ("cc", "gcc", "clang") if (path := shutil.which(name))), None)
        return (found,) if found else zig_command()

    @property
    def name(self) -> str:
        """The compiler's base name."""
        command = self.command
        return "zig" if command[0] == sys.executable else Path(command[0]).name

    @property
    def version(self) -> str:
        """First line of ``--version``."""
        return first_line(self.command, self._environment())

    def _environment(self) -> dict[str, str]:
        return zig_environment() if self.name == "zig" else {}

    def compile(self, sources: Sequence[Path], workdir: Path, extra_flags: Sequence[str] = ()) -> Path:
        """Build a shared library in `workdir`. Raises BuildError, InputError or MissingExtra."""
        workdir.mkdir(parents=True, exist_ok=True)
        staged = stage_program(sources, workdir)
        library = workdir / ("program.dll" if os.name == "nt" else "program.so")
        flags = (self.optimise, *STRICT, "-shared", "-fPIC", *extra_flags)
        execute((*self.command, *flags, *staged, "-o", library.name), workdir, self._environment())
        return library


def _batch_source(entry: Entry) -> str:
    """C that runs the program over n examples, so that no Python loop is in the way."""
    ins = [f"in{i}" for i in range(len(entry.inputs))]
    outs = [f"out{i}" for i in range(len(entry.outputs))]
    kinds = [f"const int8_t *{name}" for name in ins] + [f"int8_t *{name}" for name in outs]
    steps = zip([*ins, *outs], [*entry.inputs, *entry.outputs], strict=True)
    arguments = ", ".join(f"{name} + i * {size}u" for name, size in steps)
    return f"""#include <stddef.h>
#include <stdint.h>
int {entry.symbol}({", ".join(kinds)});
#ifdef _WIN32
__declspec(dllexport)
#endif
int trine_batch(size_t n, {", ".join(kinds)});
int trine_batch(size_t n, {", ".join(kinds)}) {{
  for (size_t i = 0; i < n; i++) {{
    int status = {entry.symbol}({arguments});
    if (status) return status;
  }}
  return 0;
}}
"""


class HostMachine:
    """The program compiled for this machine, in this process: exact, quick, and without any count."""

    def __init__(self, c_dir: Path, entry: Entry, compiler: HostCompiler | None = None) -> None:
        """Build the C in `c_dir`. Raises BuildError, InputError or MissingExtra (no compiler at all)."""
        self.entry, self.compiler = entry, compiler or HostCompiler()
        self._folder = TemporaryDirectory(prefix="trine-host-", ignore_cleanup_errors=True)
        place = Path(self._folder.name)
        batch = place / "trine_batch.c"
        batch.write_text(_batch_source(entry))
        library = self.compiler.compile([entry.source(c_dir), batch], place)
        try:
            self._call = ctypes.CDLL(str(library)).trine_batch
        except OSError as error:
            raise InputError(
                f"{self.compiler.name} built a library that does not load here: {error}"
            ) from None
        self._call.argtypes = [ctypes.c_size_t] + [ctypes.c_void_p] * (len(entry.inputs) + len(entry.outputs))
        self._call.restype = ctypes.c_int

    def run(self, inputs: Sequence[Int8]) -> list[Int8]:
        """Outputs, int8 [n, bytes] each, for inputs int8 [n, bytes]. The program must be one that ends."""
        count, arrays = checked(self.entry, inputs)
        outputs = [np.zeros((count, size), np.int8) for size in self.entry.outputs]
        status = self._call(count, *(array.ctypes.data for array in [*arrays, *outputs]))
        if status:
            raise EmulationFault(f"{self.entry.symbol} on this machine returned {status} instead of 0")
        return outputs

    def close(self) -> None:
        """Remove the build folder; the library stays loaded until the process ends."""
        self._folder.cleanup()

    def __enter__(self) -> HostMachine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
