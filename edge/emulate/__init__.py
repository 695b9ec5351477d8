"""Runs emitted C on this machine and on emulated cores: same bits, exact counts, flash, RAM and stack.

    emulator = emulator_for("cortex-m4f")                  # or compiler="gcc", emulator="qemu"
    with emulator.load(Path("out/c"), Entry("trine_ecg_run", inputs=(256,), outputs=(5,))) as machine:
        outputs, = machine.run([examples])                   # int8 [n, 256] -> int8 [n, 5]
        profile = machine.profile([examples])                # .instructions, .by_layer, .stack_bytes
        machine.sizes                                        # .flash_bytes, .ram_bytes, .arena_bytes

``unicorn_machine`` and ``scan`` need the extra ``verify``; ``qemu`` and the gcc compiler need apt packages.
"""

from trine.edge.emulate.cores import CORES, Core, core_for
from trine.edge.emulate.elf import Sizes
from trine.edge.emulate.emulator import Emulator, emulator_for, missing
from trine.edge.emulate.host import HostCompiler, HostMachine
from trine.edge.emulate.machine import EmulationFault, Entry, Machine, Profile
from trine.edge.emulate.scan import IsaViolation
from trine.edge.emulate.toolchain import BuildError

__all__ = [
    "CORES",
    "BuildError",
    "Core",
    "EmulationFault",
    "Emulator",
    "Entry",
    "HostCompiler",
    "HostMachine",
    "IsaViolation",
    "Machine",
    "Profile",
    "Sizes",
    "core_for",
    "emulator_for",
    "missing",
]
