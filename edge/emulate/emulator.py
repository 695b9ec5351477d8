"""One call from a folder of emitted C to a program running on an emulated core."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from trine.devices.errors import InputError, nearest
from trine.edge.emulate.cores import CompilerName, Core, EmulatorName, core_for
from trine.edge.emulate.elf import load_image
from trine.edge.emulate.machine import Entry, Machine
from trine.edge.emulate.qemu import QEMU, QemuMachine, build_board_image, qemu_version
from trine.edge.emulate.scan import scan
from trine.edge.emulate.toolchain import ArmGcc, CrossCompiler, Zig
from trine.edge.emulate.unicorn_machine import UnicornMachine

_COMPILERS: dict[str, type[Zig] | type[ArmGcc]] = {"zig": Zig, "gcc": ArmGcc}


@dataclass(frozen=True)
class Emulator:
    """A core with the compiler and the emulator chosen for it."""

    core: Core
    compiler: CrossCompiler
    emulator: EmulatorName
    time_limit_s: float = 600.0

    @property
    def provenance(self) -> str:
        """Compiler, optimisation and emulator with their versions: what to write beside a count."""
        engine = qemu_version() if self.emulator == "qemu" else f"unicorn {_version('unicorn')}"
        return f"{self.compiler.name} {self.compiler.optimise} ({self.compiler.version}), {engine}"

    def load(
        self, c_dir: Path, entry: Entry, flags: Sequence[str] = (), workdir: Path | None = None
    ) -> Machine:
        """Build the C in `c_dir`, check its instructions against the core, and load it.

        `workdir` keeps the build (``image.elf``, ``build.log``); without it a temporary folder goes when the
        machine is closed. Raises BuildError, IsaViolation (AnswerIsNo both), InputError or MissingExtra.
        """
        source = entry.source(c_dir)
        folder = (
            TemporaryDirectory(prefix="trine-core-", ignore_cleanup_errors=True) if workdir is None else None
        )
        place = Path(folder.name) if folder else workdir
        if place is None:
            raise InputError("no folder to build in")
        if self.emulator == "qemu":
            elf = build_board_image(self.compiler, self.core, source, entry, place, flags)
            scan(load_image(elf), self.core)
            return QemuMachine(elf, self.core, entry, time_limit_s=self.time_limit_s, folder=folder)
        elf = self.compiler.compile([source], self.core, place, flags, entry=entry.symbol)
        scan(load_image(elf), self.core)
        return UnicornMachine(elf, self.core, entry, time_limit_s=self.time_limit_s, folder=folder)


def emulator_for(
    core_id: str,
    compiler: CompilerName = "zig",
    emulator: EmulatorName | None = None,
    *,
    optimise: str = "-O2",
    time_limit_s: float = 600.0,
) -> Emulator:
    """The emulator of a core: unicorn where it models the core, else QEMU, unless `emulator` says which.

    Raises InputError for an unknown core, compiler or emulator and for a pair that does not exist; absent
    tools are named when a program is loaded (see :func:`missing`).
    """
    core = core_for(core_id)
    if compiler not in _COMPILERS:
        raise InputError(f"no compiler called {compiler!r}; {nearest(compiler, _COMPILERS)}")
    if compiler not in core.compilers:
        raise InputError(
            f"the compiler {compiler} does not build for {core.id}; use {', '.join(core.compilers)}"
        )
    chosen = emulator or core.emulators[0]
    if chosen not in core.emulators:
        raise InputError(f"the emulator {chosen} does not run {core.id}; use {', '.join(core.emulators)}")
    return Emulator(core, _COMPILERS[compiler](optimise=optimise), chosen, time_limit_s)


def missing(core_id: str, compiler: CompilerName = "zig", emulator: EmulatorName | None = None) -> list[str]:
    """The pip and apt packages still to install before ``emulator_for`` with these arguments can load."""
    chosen = emulator_for(core_id, compiler, emulator)
    pip = ["pyelftools", "capstone", *(["ziglang"] if compiler == "zig" else [])]
    pip += ["unicorn"] if chosen.emulator == "unicorn" else []
    modules = {"pyelftools": "elftools"}
    absent = [name for name in pip if find_spec(modules.get(name, name)) is None]
    if compiler == "gcc" and shutil.which("arm-none-eabi-gcc") is None:
        absent.append("gcc-arm-none-eabi")
    if chosen.emulator == "qemu" and shutil.which(QEMU) is None:
        absent.append("qemu-system-arm")
    return absent


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
