"""The process in which unicorn emulates a core: ``python -m trine.edge.emulate.worker``, spoken to in frames.

A process of its own for two reasons: unicorn's engine is under the GPL version 2 (whatever its package
metadata says), so Trine never links it; and emulated code that hangs or upsets the engine can be killed.
"""

from __future__ import annotations

import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from trine.edge.emulate.frames import Header, receive, send

# Regions of our own, far from the image's. The page below the stack stays unmapped: an overflow faults.
STACK_BASE = 0x30000000
BUFFER_BASE = 0x60000000
MAGIC = 0x70000000  # the return address at which a run ends
_PAGE = 0x1000
# Two patterns, so that a stack byte that happens to be written with one is seen by the other.
_PAINTS = (0xA5, 0x5C)

Counter = defaultdict[tuple[int, int], int]


class Fault(Exception):
    """The emulated program did not come back: a reason and the program counter."""

    def __init__(self, reason: str, pc: int) -> None:
        super().__init__(reason)
        self.reason, self.pc = reason, pc


class Engine:
    """One emulated core with the program loaded, called like a function."""

    def __init__(self, spec: Header, blobs: list[bytes]) -> None:
        import unicorn
        from unicorn import arm_const, riscv_const

        self.unicorn = unicorn
        self.spec = spec
        self.thumb = 1 if spec["family"] == "arm" else 0
        if self.thumb:
            # UC_MODE_MCLASS would silently make every model a Cortex-M33 (unicorn 2.1.4): Thumb only.
            self.uc = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB)
            model = getattr(arm_const, spec["cpu"])
            prefix, names = arm_const, [f"UC_ARM_REG_R{i}" for i in range(4)]
            special = ("UC_ARM_REG_SP", "UC_ARM_REG_LR", "UC_ARM_REG_PC")
        else:
            self.uc = unicorn.Uc(unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV32)
            model = getattr(riscv_const, spec["cpu"])
            prefix, names = riscv_const, [f"UC_RISCV_REG_A{i}" for i in range(8)]
            special = ("UC_RISCV_REG_SP", "UC_RISCV_REG_RA", "UC_RISCV_REG_PC")
        self.uc.ctl_set_cpu_model(model)
        if self.uc.ctl_get_cpu_model() != model:
            raise Fault(f"unicorn did not take the model {spec['cpu']}", 0)
        self.arguments = [getattr(prefix, name) for name in names]
        self.sp, self.link, self.pc = (getattr(prefix, name) for name in special)
        self._map(blobs)
        self.invalid = ""
        self.uc.hook_add(unicorn.UC_HOOK_MEM_INVALID, self._note_invalid)

    def _map(self, blobs: list[bytes]) -> None:
        uc, all_of = self.uc, self.unicorn
        for base, size, writable in self.spec["regions"]:
            access = all_of.UC_PROT_READ | (all_of.UC_PROT_WRITE if writable else all_of.UC_PROT_EXEC)
            uc.mem_map(base, size, access)
        self.stack_bytes = self.spec["stack_bytes"]
        uc.mem_map(STACK_BASE, self.stack_bytes, all_of.UC_PROT_READ | all_of.UC_PROT_WRITE)
        uc.mem_map(MAGIC, _PAGE, all_of.UC_PROT_READ | all_of.UC_PROT_EXEC)
        for address, blob in zip(self.spec["segments"], blobs, strict=True):
            uc.mem_write(address, blob)
        # Each buffer on a multiple of the promised alignment and of no more, with an unmapped page after it.
        align = self.spec["align"]
        self.buffers = []
        at = BUFFER_BASE
        for size in [*self.spec["inputs"], *self.spec["outputs"]]:
            length = -(-(size + 2 * align) // _PAGE) * _PAGE
            uc.mem_map(at, length, all_of.UC_PROT_READ | all_of.UC_PROT_WRITE)
            latest = at + length - size
            self.buffers.append((latest - align) // (2 * align) * (2 * align) + align)
            at += length + _PAGE

    def _note_invalid(self, uc: Any, access: int, address: int, size: int, value: int, data: Any) -> bool:
        verb = {
            self.unicorn.UC_MEM_WRITE_UNMAPPED: "write to unmapped",
            self.unicorn.UC_MEM_READ_UNMAPPED: "read of unmapped",
            self.unicorn.UC_MEM_FETCH_UNMAPPED: "jump to unmapped",
            self.unicorn.UC_MEM_WRITE_PROT: "write to read-only",
        }.get(access, "forbidden access to")
        near = STACK_BASE - _PAGE <= address < STACK_BASE
        self.invalid = f"{verb} address {address:#x}" + (" (stack overflow)" if near else "")
        return False

    def call(self, inputs: list[bytes], expired: Callable[[], bool]) -> list[bytes]:
        """Run the program once on one example's inputs. Raises Fault."""
        uc = self.uc
        count = len(inputs)
        for address, data in zip(self.buffers, inputs, strict=False):
            uc.mem_write(address, data)
        top = STACK_BASE + self.stack_bytes
        spilled = self.buffers[len(self.arguments) :]
        top -= (4 * len(spilled) + 15) & ~15
        if spilled:
            uc.mem_write(top, b"".join(a.to_bytes(4, "little") for a in spilled))
        uc.reg_write_batch(
            [
                *zip(self.arguments, self.buffers, strict=False),
                (self.sp, top),
                (self.link, MAGIC | self.thumb),
            ]
        )
        self.invalid = ""
        try:
            uc.emu_start(self.spec["entry"] | self.thumb, MAGIC)
        except self.unicorn.UcError as error:
            raise Fault(self.invalid or str(error), uc.reg_read(self.pc)) from None
        if expired():
            raise Fault("time limit", uc.reg_read(self.pc))
        if uc.reg_read(self.pc) != MAGIC:
            raise Fault("stopped", uc.reg_read(self.pc))
        status = uc.reg_read(self.arguments[0])
        if status:
            raise Fault(f"the entry function returned {status} instead of 0", self.spec["entry"])
        found = zip(self.buffers[count:], self.spec["outputs"], strict=True)
        return [bytes(uc.mem_read(address, size)) for address, size in found]

    @contextmanager
    def limit(self, seconds: float) -> Iterator[Callable[[], bool]]:
        """Stop the emulation after `seconds` of host time; the value tells whether that happened."""
        done, late = threading.Event(), threading.Event()

        def watch() -> None:
            if done.wait(seconds):
                return
            late.set()
            # Again and again: a stop that falls between two calls of emu_start is lost.
            while not done.wait(0.05):
                self.uc.emu_stop()

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield late.is_set
        finally:
            done.set()
            thread.join()

    def run(self, examples: int, inputs: list[bytes], seconds: float) -> list[bytes]:
        """Outputs of `examples` runs, each output's bytes one example after the other."""
        sizes = self.spec["inputs"]
        parts: list[list[bytes]] = [[] for _ in self.spec["outputs"]]
        with self.limit(seconds) as expired:
            for i in range(examples):
                one = [blob[i * size : (i + 1) * size] for blob, size in zip(inputs, sizes, strict=True)]
                for part, data in zip(parts, self.call(one, expired), strict=True):
                    part.append(data)
        return [b"".join(part) for part in parts]

    def profile(self, inputs: list[bytes], seconds: float) -> tuple[Header, list[bytes]]:
        """Exact instruction counts by layer, and the deepest stack, of one run."""
        entries = {address: name for name, address in self.spec["layers"]}
        low, high = self.spec["run_range"]
        counters: dict[str, Counter] = {name: defaultdict(int) for name in ["run", *entries.values()]}
        bucket = run = counters["run"]
        by_entry = {address: counters[name] for address, name in entries.items()}

        # Blocks, not instructions: UC_HOOK_CODE misses 0.03-0.5 % (skipped instructions of IT blocks).
        def on_block(uc: Any, address: int, size: int, data: Any) -> None:
            nonlocal bucket
            bucket = run if low <= address < high else by_entry.get(address, bucket)
            bucket[address, size] += 1

        with self.limit(seconds) as expired:
            self._paint(_PAINTS[0])
            outputs = self.call(inputs, expired)
            stack = self._painted_over(_PAINTS[0])
            self._paint(_PAINTS[1])
            self.uc.ctl_flush_tb()  # blocks translated before carry no hook
            hook = self.uc.hook_add(self.unicorn.UC_HOOK_BLOCK, on_block)
            try:
                again = self.call(inputs, expired)
            finally:
                self.uc.hook_del(hook)
                self.uc.ctl_flush_tb()
        if again != outputs:
            raise Fault("two runs on the same input differ: the program keeps state", self.spec["entry"])
        counts = {name: self._instructions(counter) for name, counter in counters.items()}
        return {"counts": counts, "stack_bytes": max(stack, self._painted_over(_PAINTS[1]))}, outputs

    def _paint(self, value: int) -> None:
        self.uc.mem_write(STACK_BASE, bytes([value]) * self.stack_bytes)

    def _painted_over(self, value: int) -> int:
        stack = bytes(self.uc.mem_read(STACK_BASE, self.stack_bytes))
        return len(stack.lstrip(bytes([value])))

    def _instructions(self, counter: Counter) -> int:
        return sum(runs * self._length(address, size) for (address, size), runs in counter.items())

    def _length(self, address: int, size: int) -> int:
        """Instructions in a block, by the encodings' length rule (Thumb: top five bits; RVC: lowest two)."""
        code = bytes(self.uc.mem_read(address, size))
        at = count = 0
        while at < size:
            half = code[at] | code[at + 1] << 8
            wide = half >> 11 >= 0b11101 if self.thumb else half & 3 == 3
            at += 4 if wide else 2
            count += 1
        return count


def serve() -> None:
    """Answer frames on the standard streams until the other side closes."""
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    engine: Engine | None = None
    while (message := receive(source)) is not None:
        header, blobs = message
        try:
            if header["do"] == "load":
                engine = Engine(header, blobs)
                send(sink, {})
            elif engine is None:
                raise Fault("no program loaded", 0)
            elif header["do"] == "run":
                send(sink, {}, engine.run(header["examples"], blobs, header["seconds"]))
            else:
                send(sink, *engine.profile(blobs, header["seconds"]))
        except Fault as fault:
            send(sink, {"fault": fault.reason, "pc": fault.pc})


if __name__ == "__main__":
    serve()
