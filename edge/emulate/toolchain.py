"""C compilers: the host's own, and two cross compilers for the emulated cores: zig (pip), GCC (apt)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from trine.devices.errors import AnswerIsNo, InputError, MissingExtra
from trine.edge.emulate.cores import PLAIN, CompilerName, Core, Memory

BOARD_FILES = Path(__file__).parent / "board"
TIME_LIMIT_S = 300

# A local that shadows a weight array, or initialises itself, compiles and gives garbage: hence the errors.
# GCC contracts a*b+c to a fused multiply-add by default; off keeps float code equal on every core.
STRICT = (
    "-std=c99",
    "-ffp-contract=off",
    "-Wall",
    "-Wextra",
    "-Wshadow",
    "-Werror=shadow",
    "-Winit-self",
    "-Werror=init-self",
    "-Werror=uninitialized",
    "-Werror=implicit-function-declaration",
    "-Werror=incompatible-pointer-types",
)
FREESTANDING = ("-ffreestanding", "-fno-unwind-tables", "-fno-asynchronous-unwind-tables")
# Tail calls would give the board's two measured calls stack frames of different depth.
HARNESS_FLAGS = ("-fno-builtin", "-fno-optimize-sibling-calls")
# Sections of their own let the linker drop those of the routines that nobody calls.
LIBRARY_FLAGS = ("-fno-builtin", "-ffunction-sections")


class BuildError(AnswerIsNo):
    """The C does not compile or the image does not fit the memory it is linked for."""


def execute(command: Sequence[str], workdir: Path, env: Mapping[str, str]) -> str:
    """Run a build command; its output is added to ``build.log`` in `workdir`. Raises BuildError."""
    scratch = dict.fromkeys(
        ("TMPDIR", "TMP", "TEMP"), str(workdir)
    )  # a killed compiler's files vanish with it
    try:
        done = subprocess.run(
            command,
            cwd=workdir,
            env={**os.environ, **scratch, **env},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIME_LIMIT_S,
        )
    except subprocess.TimeoutExpired:
        raise BuildError(f"{Path(command[0]).name} did not finish within {TIME_LIMIT_S} s") from None
    except OSError as error:
        raise InputError(f"cannot run {command[0]}: {error.strerror or error}") from None
    text = done.stdout + done.stderr
    with (workdir / "build.log").open("a", encoding="utf-8") as log:
        log.write(text)
    if done.returncode:
        raise BuildError(_diagnosis(text))
    return text


def _diagnosis(text: str) -> str:
    """The lines of a compiler's output that say what is wrong, at most six."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if any("overflowed" in line or "will not fit" in line for line in lines):
        telling = [line for line in lines if "overflowed" in line or "will not fit" in line]
        return "the image does not fit the memory it is linked for: " + telling[0]
    telling = [line for line in lines if "error" in line.lower() or "undefined" in line.lower()]
    return "the emitted C does not build: " + "\n  ".join((telling or lines or ["no message"])[:6])


def _write_layout(core: Core, workdir: Path, memory: Memory) -> None:
    flash = f"FLASH (rx) : ORIGIN = {memory.flash_base:#x}, LENGTH = {memory.flash_bytes:#x}"
    ram = f"RAM (rwx) : ORIGIN = {memory.ram_base:#x}, LENGTH = {memory.ram_bytes:#x}"
    text = f"MEMORY\n{{\n  {flash}\n  {ram}\n}}\n__stack_bytes = {memory.stack_bytes:#x};\n"
    (workdir / "memory.ld").write_text(text + (BOARD_FILES / "sections.ld").read_text(encoding="utf-8"))
    checks = [f"#ifndef {macro}\n#error {core.id} needs {macro}\n#endif" for macro in core.require]
    checks += [f"#ifdef {macro}\n#error {core.id} must not have {macro}\n#endif" for macro in core.forbid]
    (workdir / "core_macros.h").write_text("\n".join(checks) + "\n")


def _stage(source: Path, workdir: Path, prefix: str) -> str:
    """Copy `source` into `workdir`: names without a folder keep this machine's paths out of the image."""
    name = prefix + source.name
    if source.resolve() != (workdir / name).resolve():
        shutil.copyfile(source, workdir / name)
    return name


def stage_program(sources: Sequence[Path], workdir: Path) -> list[str]:
    """Copy the program's sources, with the headers beside them, into `workdir`."""
    headers = sorted({header for source in sources for header in source.parent.glob("*.h")})
    for header in headers:
        _stage(header, workdir, "")
    return [_stage(source, workdir, "") for source in sources]


@dataclass(frozen=True)
class _Driver:
    """How a compiler is called: command, flags for a core, and what stands in for a C library."""

    command: tuple[str, ...]
    optimise: tuple[str, ...]
    target: tuple[str, ...]
    link: tuple[str, ...]
    library: tuple[Path, ...]
    env: Mapping[str, str]


@dataclass(frozen=True)
class CrossCompiler(ABC):
    """What builds an ELF image for an emulated core, at one optimisation level."""

    optimise: str = "-O2"
    name: ClassVar[CompilerName]

    @abstractmethod
    def driver(self, core: Core) -> _Driver:
        """How to call the compiler for `core`. Raises MissingExtra or InputError when it is absent."""

    @property
    @abstractmethod
    def version(self) -> str:
        """First line of ``--version``."""

    def compile(
        self,
        sources: Sequence[Path],
        core: Core,
        workdir: Path,
        extra_flags: Sequence[str] = (),
        *,
        entry: str,
        memory: Memory = PLAIN,
        harness: Sequence[Path] = (),
    ) -> Path:
        """Build ``image.elf`` in `workdir` from the program's `sources`, starting at the symbol `entry`.

        `harness` is the board's own code: its sections are kept apart from the program's and it does not see
        `extra_flags`. Deterministic: the same sources give the same bytes wherever `workdir` is. What the
        compiler says goes to ``build.log``. Raises MissingExtra or InputError when the compiler is absent or
        does not know the core, BuildError when the C does not compile or does not fit `memory`.
        """
        driver = self.driver(core)
        workdir.mkdir(parents=True, exist_ok=True)
        _write_layout(core, workdir, memory)
        common = (*driver.optimise, "-g", f"-ffile-prefix-map={workdir.resolve()}=.", *STRICT, *FREESTANDING)
        head = (*driver.command, *driver.target, *common, "-include", "core_macros.h")
        units = [(name, extra_flags, "program") for name in stage_program(sources, workdir)]
        units += [(_stage(path, workdir, "harness_"), HARNESS_FLAGS, "harness") for path in harness]
        units += [(_stage(path, workdir, "library_"), LIBRARY_FLAGS, "library") for path in driver.library]
        objects = []
        for number, (source, flags, role) in enumerate(units):
            objects.append(f"{role}_{number}.o")
            execute((*head, *flags, "-c", source, "-o", objects[-1]), workdir, driver.env)
        link = (
            "-nostdlib",
            f"-Wl,-e,{entry}",
            "-Wl,--gc-sections",
            "-T",
            "memory.ld",
            *objects,
            *driver.link,
        )
        elf = workdir / "image.elf"
        execute(
            (*driver.command, *driver.target, driver.optimise[0], "-g", *link, "-o", elf.name),
            workdir,
            driver.env,
        )
        return elf


class Zig(CrossCompiler):
    """``python -m ziglang cc``: clang and lld from a pip wheel, for every core. Extra ``verify``."""

    name = "zig"

    def driver(self, core: Core) -> _Driver:
        """clang's flags for `core`; its compiler-rt has the 64-bit arithmetic that small cores lack."""
        target = ("-target", core.zig_target, f"-mcpu={core.zig_cpu}", *core.zig_flags)
        # zig takes -O1, -O2 and -O3 for one and the same release mode and hands clang -O2: say it to clang.
        speed = self.optimise in ("-O1", "-O3")
        optimise = ("-O2", "-Xclang", self.optimise) if speed else (self.optimise,)
        return _Driver(zig_command(), optimise, target, ("-rtlib=compiler-rt",), (), zig_environment())

    @property
    def version(self) -> str:
        """clang's version, which decides the code, and the package's."""
        return f"ziglang {version('ziglang')}, {first_line(zig_command(), zig_environment())}"


class ArmGcc(CrossCompiler):
    """``arm-none-eabi-gcc`` from PATH (Debian: gcc-arm-none-eabi); needs its libgcc, not newlib."""

    name = "gcc"

    def driver(self, core: Core) -> _Driver:
        """GCC's flags for `core`."""
        if core.gcc_flags is None:
            raise InputError(f"arm-none-eabi-gcc does not build for {core.id}; use the zig compiler")
        return _Driver(
            (_arm_gcc(),), (self.optimise,), core.gcc_flags, ("-lgcc",), (BOARD_FILES / "memory.c",), {}
        )

    @property
    def version(self) -> str:
        """First line of ``--version``."""
        return first_line((_arm_gcc(),), {})


def zig_command() -> tuple[str, ...]:
    """The command line of zig's C compiler. Raises MissingExtra without the package ziglang."""
    if find_spec("ziglang") is None:
        raise MissingExtra("ziglang", "verify", "cross-compiling C for a core")
    return (sys.executable, "-m", "ziglang", "cc")


@lru_cache(maxsize=1)
def zig_environment() -> dict[str, str]:
    """zig's caches (compiler-rt of each target, about 50 MB) in the user's cache folder unless set."""
    from platformdirs import user_cache_path

    cache = user_cache_path("trine") / "zig"
    names = {"ZIG_GLOBAL_CACHE_DIR": cache / "global", "ZIG_LOCAL_CACHE_DIR": cache / "local"}
    return {name: os.environ.get(name) or str(path) for name, path in names.items()}


def _arm_gcc() -> str:
    found = shutil.which("arm-none-eabi-gcc")
    if found is None:
        raise InputError(
            "the gcc compiler needs arm-none-eabi-gcc on PATH: apt-get install gcc-arm-none-eabi, or use zig"
        )
    return found


def first_line(command: tuple[str, ...], env: Mapping[str, str]) -> str:
    return _version_text(command, tuple(sorted(env.items())))


@lru_cache(maxsize=8)
def _version_text(command: tuple[str, ...], env: tuple[tuple[str, str], ...]) -> str:
    done = subprocess.run(
        (*command, "--version"), env={**os.environ, **dict(env)}, capture_output=True, text=True
    )
    return (done.stdout.strip().splitlines() or ["version unknown"])[0]
