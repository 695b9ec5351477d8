"""Cortex-M0 to M33 and RV32IMC in unicorn: called like a function, counted exactly, no board."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from trine.devices.errors import InputError, MissingExtra
from trine.edge.emulate.cores import PLAIN, Core
from trine.edge.emulate.elf import Image, Sizes, load_image, sizes
from trine.edge.emulate.frames import Header, receive, send
from trine.edge.emulate.machine import EmulationFault, Entry, Int8, Profile, checked, first_example

# After the worker's own time limit, how long until it is killed: it stops itself and names the place if it
# can.
_GRACE_S = 10.0


class UnicornMachine:
    """A program on a core that unicorn models, in a process of its own."""

    def __init__(
        self,
        elf: Path,
        core: Core,
        entry: Entry,
        *,
        time_limit_s: float = 600.0,
        folder: TemporaryDirectory[str] | None = None,
    ) -> None:
        """Load the image `elf` (linked for ``cores.PLAIN``). `time_limit_s` bounds each run or profile; the
        temporary `folder`, if given, goes when the machine is closed.

        Raises MissingExtra without unicorn or pyelftools, InputError when unicorn has no such core.
        """
        if core.unicorn_cpu is None:
            raise InputError(f"unicorn has no {core.id}; use the emulator qemu")
        if find_spec("unicorn") is None:
            raise MissingExtra("unicorn", "verify", f"emulating {core.id}")
        self.elf, self.core, self.entry, self.time_limit_s = elf, core, entry, time_limit_s
        self._folder = folder
        self._sizes = sizes(elf)
        self.image: Image = load_image(elf)
        # -P keeps the current folder off the worker's import path.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "trine.edge.emulate.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        run = self.image.function(entry.symbol)
        self._ask(
            {
                "do": "load",
                "family": core.family,
                "cpu": core.unicorn_cpu,
                "regions": [
                    [PLAIN.flash_base, PLAIN.flash_bytes, False],
                    [PLAIN.ram_base, PLAIN.ram_bytes, True],
                ],
                "stack_bytes": PLAIN.stack_bytes,
                "segments": [address for address, _ in self.image.segments],
                "inputs": entry.inputs,
                "outputs": entry.outputs,
                "align": entry.align,
                "entry": run.address,
                "run_range": [run.address, run.address + run.size],
                "layers": [[symbol.name, symbol.address] for symbol in self.image.layers(entry.symbol)],
            },
            [data for _, data in self.image.segments],
        )

    @property
    def sizes(self) -> Sizes:
        """Flash and RAM of the program."""
        return self._sizes

    @property
    def process_id(self) -> int:
        """The emulator process; its own process group on POSIX."""
        return self._process.pid

    def run(self, inputs: Sequence[Int8]) -> list[Int8]:
        """Outputs, int8 [n, bytes] each, for inputs int8 [n, bytes]. Raises EmulationFault."""
        count, arrays = checked(self.entry, inputs)
        _, blobs = self._ask({"do": "run", "examples": count}, [array.tobytes() for array in arrays])
        return self._outputs(blobs)

    def profile(self, inputs: Sequence[Int8]) -> Profile:
        """Exact counts and peak stack for the first example of `inputs`. Raises EmulationFault."""
        arrays = first_example(self.entry, inputs)
        header, blobs = self._ask({"do": "profile"}, [array.tobytes() for array in arrays])
        counts: dict[str, int] = header["counts"]
        order = [symbol.name for symbol in self.image.layers(self.entry.symbol)]
        return Profile(
            instructions=sum(counts.values()),
            by_layer={name: counts[name] for name in [*order, "run"]},
            stack_bytes=header["stack_bytes"],
            outputs=tuple(self._outputs(blobs)),
        )

    def _outputs(self, blobs: list[bytes]) -> list[Int8]:
        shaped = zip(blobs, self.entry.outputs, strict=True)
        return [np.frombuffer(blob, np.int8).reshape(-1, size).copy() for blob, size in shaped]

    def _ask(self, header: Header, blobs: Sequence[bytes]) -> tuple[Header, list[bytes]]:
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None or self._process.poll() is not None:
            raise EmulationFault(f"the emulator of {self.core.id} has ended; load the program again")
        killer = threading.Timer(self.time_limit_s + _GRACE_S, self.close)
        killer.daemon = True
        killer.start()
        try:
            send(stdin, {**header, "seconds": self.time_limit_s}, blobs)
            answer = receive(stdout)
        except (OSError, EOFError, ValueError):
            answer = None
        finally:
            killer.cancel()
        if answer is None:
            self.close()
            raise EmulationFault(
                f"the emulator of {self.core.id} ended without an answer (time limit {self.time_limit_s:g} s)"
            )
        if "fault" in answer[0]:
            raise EmulationFault(self._explain(answer[0]["fault"], answer[0]["pc"]))
        return answer

    def _explain(self, reason: str, pc: int) -> str:
        who = f"{self.entry.symbol} on {self.core.id}"
        where = f"at PC {pc:#x} ({self.image.symbol_at(pc)})"
        if reason == "time limit":
            return f"{who} did not return within {self.time_limit_s:g} s; it was {where}"
        return f"{who} failed: {reason}, {where}"

    def close(self) -> None:
        """End the emulator process, and whatever it may have started."""
        process = self._process
        if process.poll() is None:
            if os.name == "posix":
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
        process.wait()
        if self._folder is not None:
            self._folder.cleanup()

    def __enter__(self) -> UnicornMachine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __del__(self) -> None:
        # A machine left open must not leave a process behind; __init__ may have failed before there was one.
        process = getattr(self, "_process", None)
        if process is not None:
            self.close()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()
