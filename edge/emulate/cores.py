"""The processor cores that emitted C can be compiled for and run on, without a board.

Flags, memory maps and emulator models are those tried and measured for Trine (Debian 12, zig 0.17.1 = clang
22.1.8, GCC 12.2, unicorn 2.1.4, QEMU 7.2); the timer addresses are from Arm AN385/AN386/AN500/AN505/AN547 and
the nRF51 reference manual, as modelled by QEMU.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from trine.devices.errors import InputError, nearest

Timer = Literal["cmsdk", "nrf51", "sse"]
CompilerName = Literal["zig", "gcc"]
EmulatorName = Literal["unicorn", "qemu"]


@dataclass(frozen=True)
class Memory:
    """One place for code and one for data: base addresses and sizes in bytes."""

    flash_base: int
    flash_bytes: int
    ram_base: int
    ram_bytes: int
    stack_bytes: int


@dataclass(frozen=True)
class Board:
    """A QEMU machine with the core, and the free-running counter its instruction count is read from."""

    machine: str
    memory: Memory
    timer: Timer
    timer_base: int
    timer_hz: int


@dataclass(frozen=True)
class Core:
    """A processor core and what the tools call it.

    ``require``/``forbid`` are the compiler's feature macros that must and must not be defined: zig's core
    names carry neither FPU nor DSP nor Helium, and without the check one silently measures soft float.
    ``outside`` names the instruction groups (:mod:`.scan`) that the core does not execute, whatever an
    emulator accepts.
    """

    id: str
    family: Literal["arm", "riscv"]
    zig_target: str
    zig_cpu: str
    zig_flags: tuple[str, ...]
    gcc_flags: tuple[str, ...] | None
    unicorn_cpu: str | None
    board: Board | None
    require: tuple[str, ...]
    forbid: tuple[str, ...]
    outside: frozenset[str]
    scannable: bool = True

    @property
    def emulators(self) -> tuple[EmulatorName, ...]:
        """The emulators that model this core."""
        unicorn: tuple[EmulatorName, ...] = ("unicorn",) if self.unicorn_cpu else ()
        qemu: tuple[EmulatorName, ...] = ("qemu",) if self.board else ()
        return unicorn + qemu

    @property
    def compilers(self) -> tuple[CompilerName, ...]:
        """The cross compilers set up for this core."""
        return ("zig",) if self.gcc_flags is None else ("zig", "gcc")


# Where unicorn's images live. Address 0 stays unmapped, so that a null pointer faults instead of reading
# code.
PLAIN = Memory(
    flash_base=0x08000000, flash_bytes=32 << 20, ram_base=0x20000000, ram_bytes=32 << 20, stack_bytes=64 << 10
)

_KIB = 1 << 10
_MPS2 = Memory(0x00000000, 4096 * _KIB, 0x20000000, 4096 * _KIB, 32 * _KIB)
_MPS2_TIMER = 0x40000000  # CMSDK APB timer 0, 25 MHz on AN385/AN386/AN500


def _mps2(machine: str) -> Board:
    return Board(machine, _MPS2, "cmsdk", _MPS2_TIMER, 25_000_000)


_SOFT = ("__ARM_FP", "__ARM_FEATURE_DSP", "__ARM_FEATURE_MVE")
_NO_HELIUM = ("__ARM_FEATURE_MVE",)
_DSP_FPU = ("__ARM_FEATURE_DSP", "__ARM_FP")

_ALL = (
    Core(
        id="cortex-m0",
        family="arm",
        zig_target="thumb-freestanding-eabi",
        zig_cpu="cortex_m0",
        zig_flags=(),
        gcc_flags=("-mcpu=cortex-m0", "-mthumb", "-mfloat-abi=soft"),
        unicorn_cpu="UC_CPU_ARM_CORTEX_M0",
        board=Board(
            "microbit",
            Memory(0x00000000, 256 * _KIB, 0x20000000, 16 * _KIB, 1 * _KIB),
            "nrf51",
            0x40008000,
            16_000_000,
        ),
        require=("__ARM_ARCH_6M__",),
        forbid=_SOFT,
        outside=frozenset({"thumb2", "dsp", "fp", "fp64", "fpv5", "vector", "armv8m"}),
    ),
    Core(
        id="cortex-m3",
        family="arm",
        zig_target="thumb-freestanding-eabi",
        zig_cpu="cortex_m3",
        zig_flags=(),
        gcc_flags=("-mcpu=cortex-m3", "-mthumb", "-mfloat-abi=soft"),
        unicorn_cpu="UC_CPU_ARM_CORTEX_M3",
        board=_mps2("mps2-an385"),
        require=("__ARM_ARCH_7M__",),
        forbid=_SOFT,
        outside=frozenset({"dsp", "fp", "fp64", "fpv5", "vector", "armv8m"}),
    ),
    Core(
        id="cortex-m4f",
        family="arm",
        zig_target="thumb-freestanding-eabihf",
        zig_cpu="cortex_m4+vfp4d16sp",
        zig_flags=(),
        gcc_flags=("-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"),
        unicorn_cpu="UC_CPU_ARM_CORTEX_M4",
        board=_mps2("mps2-an386"),
        require=("__ARM_ARCH_7EM__", *_DSP_FPU),
        forbid=_NO_HELIUM,
        outside=frozenset({"fp64", "fpv5", "vector", "armv8m"}),
    ),
    Core(
        id="cortex-m7",
        family="arm",
        zig_target="thumb-freestanding-eabihf",
        zig_cpu="cortex_m7+fp_armv8d16",
        zig_flags=(),
        gcc_flags=("-mcpu=cortex-m7", "-mthumb", "-mfpu=fpv5-d16", "-mfloat-abi=hard"),
        unicorn_cpu="UC_CPU_ARM_CORTEX_M7",
        board=_mps2("mps2-an500"),
        require=("__ARM_ARCH_7EM__", *_DSP_FPU),
        forbid=_NO_HELIUM,
        outside=frozenset({"vector", "armv8m"}),
    ),
    Core(
        id="cortex-m33",
        family="arm",
        zig_target="thumb-freestanding-eabihf",
        zig_cpu="cortex_m33+dsp+fp_armv8d16sp",
        zig_flags=(),
        gcc_flags=("-mcpu=cortex-m33", "-mthumb", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard"),
        unicorn_cpu="UC_CPU_ARM_CORTEX_M33",
        board=Board(
            "mps2-an505",
            Memory(0x10000000, 4096 * _KIB, 0x38000000, 4096 * _KIB, 32 * _KIB),
            "cmsdk",
            0x50000000,  # CMSDK timer 0, secure alias
            20_000_000,
        ),
        require=("__ARM_ARCH_8M_MAIN__", *_DSP_FPU),
        forbid=_NO_HELIUM,
        outside=frozenset({"fp64", "vector"}),
    ),
    Core(
        id="cortex-m55",
        family="arm",
        zig_target="thumb-freestanding-eabihf",
        zig_cpu="cortex_m55+mve_fp",
        zig_flags=(),
        gcc_flags=("-mcpu=cortex-m55", "-mthumb", "-mfloat-abi=hard"),
        unicorn_cpu=None,  # unicorn 2.1.4 is built from QEMU 5.0.1, older than Helium
        board=Board(
            "mps3-an547",
            Memory(0x00000000, 512 * _KIB, 0x20000000, 512 * _KIB, 32 * _KIB),
            "sse",
            0x58100000,  # SSE-300 system counter, secure control frame
            32_000_000,
        ),
        require=("__ARM_FEATURE_DSP", "__ARM_FP", "__ARM_FEATURE_MVE"),
        forbid=(),
        outside=frozenset(),
        scannable=False,  # capstone 5 does not decode Helium, and this core has every group there is
    ),
    Core(
        id="rv32imc",
        family="riscv",
        zig_target="riscv32-freestanding-none",
        zig_cpu="generic_rv32+m+c",
        zig_flags=("-mcmodel=medany",),
        gcc_flags=None,
        unicorn_cpu="UC_CPU_RISCV32_SIFIVE_E31",  # RV32IMAC: no F or D; the scan refuses A
        board=None,
        require=("__riscv_mul", "__riscv_compressed"),
        forbid=("__riscv_flen", "__riscv_atomic"),
        outside=frozenset({"fp", "fp64", "atomic"}),
    ),
)

CORES: dict[str, Core] = {core.id: core for core in _ALL}

# M0 and M0+ share the instruction set (Armv6-M); M4F is the M4 with its FPU.
_ALIASES = {"cortex-m0plus": "cortex-m0", "cortex-m0+": "cortex-m0", "cortex-m4": "cortex-m4f"}


def core_for(device_core: str) -> Core:
    """The record for a core as a device names it (``Cortex-M4F``, ``cortex_m0plus``, ``RV32IMC``).

    Raises InputError, naming the nearest known cores, when there is none.
    """
    key = re.sub(r"[\s_]+", "-", device_core.strip().lower())
    key = _ALIASES.get(key, key)
    if key not in CORES:
        raise InputError(f"no emulated core called {device_core!r}; {nearest(key, [*CORES, *_ALIASES])}")
    return CORES[key]
