"""Whole emulated boards in qemu-system-arm: boot, examples by semihosting, counts by a board timer."""

from __future__ import annotations

import os
import shutil
import signal
import struct
import subprocess
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from trine.devices.errors import InputError
from trine.edge.emulate.cores import Board, Core
from trine.edge.emulate.elf import Image, Sizes, load_image, sizes
from trine.edge.emulate.machine import EmulationFault, Entry, Int8, Profile, checked, first_example
from trine.edge.emulate.toolchain import BOARD_FILES, CrossCompiler

QEMU = "qemu-system-arm"

# One instruction lasts 2**8 ns of virtual time: more than two ticks of every board's timer (25 to 62.5 ns),
# so that rounding a difference of two readings gives the exact number of instructions. A 32-bit timer at 32
# MHz then wraps after 2**32 * 31.25 ns / 256 ns = 524 M instructions; a second boot with a clock four times
# slower, which wraps later and so would disagree, guards against that.
_ICOUNT_SHIFT = 8
_GUARD_SHIFT = 6
_GUARD_SLACK = 4  # two differences of readings, each out by at most 1 tick of 62.5 ns at 64 ns an instruction
_EMPTY_CALL_INSTRUCTIONS = 2  # movs r0, #0; bx lr
_EXIT_FAULT, _EXIT_REFUSED = 3, 4  # as in board/board.c


def _config(board: Board, entry: Entry) -> str:
    """The header that gives the board's C its timer, the buffers and two calls of the same shape."""
    lines = ["#include <stdint.h>", "#include <stddef.h>"]
    lines += [f"#define TIMER_{board.timer.upper()} 1", f"#define TIMER_BASE {board.timer_base:#x}u"]
    lines += [f"#define INPUTS {len(entry.inputs)}", f"#define OUTPUTS {len(entry.outputs)}"]
    every = [*entry.inputs, *entry.outputs]
    kinds = ["const int8_t *"] * len(entry.inputs) + ["int8_t *"] * len(entry.outputs)
    lines.append(f"int {entry.symbol}({', '.join(kinds)});")
    lines.append(f"int trine_harness_empty({', '.join(kinds)});")
    lines.append('__asm(".thumb\\n.syntax unified\\n.text\\n.global trine_harness_empty\\n"')
    lines.append('      ".type trine_harness_empty, %function\\n.thumb_func\\n"')
    lines.append('      "trine_harness_empty: movs r0, #0\\nbx lr\\n");')
    # `align` bytes before the data: a multiple of that alignment and of no greater power of two.
    lines += [
        f"static __attribute__((aligned({2 * entry.align}))) int8_t buffer{i}[{size + entry.align}];"
        for i, size in enumerate(every)
    ]
    rows = ", ".join(f"{{buffer{i} + {entry.align}, {size}}}" for i, size in enumerate(every))
    count = len(every)
    lines.append(f"static const struct {{ int8_t *at; size_t bytes; }} buffers[{count}] = {{{rows}}};")
    arguments = ", ".join(f"buffer{i} + {entry.align}" for i in range(count))
    for name, callee in (("call_program", entry.symbol), ("call_nothing", "trine_harness_empty")):
        lines.append(
            f"static __attribute__((noinline)) int32_t {name}(void) {{ return {callee}({arguments}); }}"
        )
    return "\n".join(lines) + "\n"


def build_board_image(
    compiler: CrossCompiler, core: Core, source: Path, entry: Entry, workdir: Path, flags: Sequence[str] = ()
) -> Path:
    """Link the program with the start-up code of the core's board. Raises BuildError when it does not fit."""
    board = _board(core)
    workdir.mkdir(parents=True, exist_ok=True)
    (workdir / "harness_config.h").write_text(_config(board, entry))
    return compiler.compile(
        [source],
        core,
        workdir,
        flags,
        entry="Reset_Handler",
        memory=board.memory,
        harness=[BOARD_FILES / "board.c"],
    )


class QemuMachine:
    """A program in the image of a whole board; each run boots it once for all its examples."""

    def __init__(
        self,
        elf: Path,
        core: Core,
        entry: Entry,
        *,
        time_limit_s: float = 600.0,
        folder: TemporaryDirectory[str] | None = None,
    ) -> None:
        """`elf` is built by :func:`build_board_image`; `folder` goes when the machine is closed.

        Raises InputError without qemu-system-arm.
        """
        self.board = _board(core)
        self.qemu = _qemu()
        self.elf, self.core, self.entry, self.time_limit_s = elf.resolve(), core, entry, time_limit_s
        self._folder = folder
        self._sizes = sizes(elf)
        self.image: Image = load_image(elf)

    @property
    def sizes(self) -> Sizes:
        """Flash and RAM of the program, the board's own code and buffers excluded."""
        return self._sizes

    def run(self, inputs: Sequence[Int8]) -> list[Int8]:
        """Outputs, int8 [n, bytes] each, for inputs int8 [n, bytes]. Raises EmulationFault."""
        count, arrays = checked(self.entry, inputs)
        outputs, _ = self.boot(count, arrays, None)
        return outputs

    def profile(self, inputs: Sequence[Int8]) -> Profile:
        """Exact instruction count and peak stack for the first example; no counts by layer here.

        The count is the difference between timing the program and timing an empty function through the same
        call, so nothing of the board's code is in it.
        """
        arrays = first_example(self.entry, inputs)
        outputs, record = self.boot(1, arrays, _ICOUNT_SHIFT)
        _, guard = self.boot(1, arrays, _GUARD_SHIFT)
        count = self._instructions(record, _ICOUNT_SHIFT)
        if abs(count - self._instructions(guard, _GUARD_SHIFT)) > _GUARD_SLACK:
            raise EmulationFault(
                f"{self.entry.symbol} on {self.core.id}: too long for the timer of {self.board.machine}; "
                "count with unicorn"
            )
        stacks = record[2:]
        return Profile(count, {}, max(stacks[:2]) - max(stacks[2:]), tuple(outputs))

    def _instructions(self, record: tuple[int, ...], shift: int) -> int:
        ticks_each = self.board.timer_hz * (1 << shift) / 1e9
        return round(record[0] / ticks_each) - round(record[1] / ticks_each) + _EMPTY_CALL_INSTRUCTIONS

    def boot(self, count: int, arrays: list[Int8], shift: int | None) -> tuple[list[Int8], tuple[int, ...]]:
        """Outputs and, with an instruction clock of 2**`shift` ns, the board's measurements."""
        rows = np.concatenate(arrays, axis=1)
        with TemporaryDirectory(prefix="trine-qemu-") as folder:
            place = Path(folder)
            (place / "in").write_bytes(struct.pack("<2I", count, int(shift is not None)) + rows.tobytes())
            status = self._execute(place, shift)
            self._raise_fault(place, status)
            width = sum(self.entry.outputs)
            out = np.frombuffer((place / "out").read_bytes(), np.int8)
            if status or out.size != count * width:
                raise EmulationFault(f"{self.entry.symbol} on {self.board.machine}: exit status {status}")
            splits = np.cumsum(self.entry.outputs)[:-1].tolist()
            outputs = [part.copy() for part in np.split(out.reshape(count, width), splits, axis=1)]
            record = struct.unpack("<6I", (place / "profile").read_bytes()) if shift is not None else ()
        return outputs, record

    def _execute(self, place: Path, shift: int | None) -> int:
        command = [
            self.qemu,
            "-M",
            self.board.machine,
            "-display",
            "none",
            "-serial",
            "none",
            "-monitor",
            "none",
        ]
        command += ["-semihosting-config", "enable=on,target=native", "-kernel", str(self.elf)]
        if shift is not None:
            command += ["-icount", f"shift={shift},sleep=off"]
        with (place / "log").open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=place,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
        try:
            return process.wait(self.time_limit_s)
        except subprocess.TimeoutExpired:
            finished = (
                (place / "out").stat().st_size // sum(self.entry.outputs) if (place / "out").exists() else 0
            )
            raise EmulationFault(
                f"{self.entry.symbol} on {self.core.id} ({self.board.machine}) did not return within "
                f"{self.time_limit_s:g} s; {finished} examples were done"
            ) from None
        finally:
            if process.poll() is None:
                if os.name == "posix":
                    os.killpg(process.pid, signal.SIGKILL)
                else:
                    process.kill()
                process.wait()

    def _raise_fault(self, place: Path, status: int) -> None:
        where = f"{self.entry.symbol} on {self.core.id} ({self.board.machine})"
        if status == _EXIT_FAULT and (place / "fault").exists():
            pc, cause = struct.unpack("<2I", (place / "fault").read_bytes())
            at = self.image.symbol_at(pc)
            raise EmulationFault(f"{where} faulted at PC {pc:#x} ({at}), fault status {cause:#010x}")
        if status == _EXIT_REFUSED and (place / "status").exists():
            (answer,) = struct.unpack("<i", (place / "status").read_bytes())
            raise EmulationFault(f"{where} failed: the entry function returned {answer} instead of 0")
        if not (place / "out").exists():
            log = (place / "log").read_text(errors="replace").strip().splitlines()
            raise EmulationFault(f"{where} did not start: {log[-1] if log else f'exit status {status}'}")

    def close(self) -> None:
        """Remove the build folder if it is a temporary one; nothing else stays open between runs."""
        if self._folder is not None:
            self._folder.cleanup()

    def __enter__(self) -> QemuMachine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _board(core: Core) -> Board:
    if core.board is None:
        raise InputError(f"no QEMU board is set up for {core.id}; use the emulator unicorn")
    return core.board


def _qemu() -> str:
    found = shutil.which(QEMU)
    if found is None:
        raise InputError(
            f"the emulator qemu needs {QEMU} on PATH: apt-get install qemu-system-arm, or use unicorn"
        )
    return found


@lru_cache(maxsize=1)
def qemu_version() -> str:
    """QEMU's name and version, for the record beside a count."""
    done = subprocess.run([_qemu(), "--version"], capture_output=True, text=True)
    return (done.stdout.splitlines() or ["QEMU of unknown version"])[0]
