"""Does the program fit the device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trine.compilers.report import Fit
from trine.devices import Device, EdgeDevice
from trine.edge import lowbit
from trine.edge.c.emit import CSources
from trine.edge.program import IntegerProgram

if TYPE_CHECKING:
    from trine.edge.running import Emulated

STACK_ALLOWANCE = 512  # bytes; the kernels measured 220-360 on every emulated core
CODE_ALLOWANCE = 12 * 1024  # bytes of code of all kernels together, measured 5-7 KiB

# Processors that run onnxruntime on Linux rather than bare-metal C.
RUNS_ONNX = frozenset({"cortex-a53", "cortex-a55", "cortex-a7", "cortex-a72", "cortex-a35"})


def runs_onnx(device: Device) -> bool:
    """Whether the device's processor runs onnxruntime rather than bare-metal C."""
    return isinstance(device, EdgeDevice) and device.core in RUNS_ONNX


def io_bytes(program: IntegerProgram) -> int:
    """Input and output buffers of one inference, which the caller provides."""
    return sum(program.tensors[name].bytes for name in (*program.inputs, *program.outputs))


def constant_bytes(program: IntegerProgram) -> int:
    """Weights, tables and per-channel entries of the C print, 16 bytes a channel; equal ones are stored once."""
    stored: dict[bytes, int] = {}
    for step in program.steps:
        for name, value in step.constants.items():
            if name not in ("bias", "weight_scale"):
                stored[value.dtype.str.encode() + value.tobytes()] = lowbit.constant_bytes(step, name)
        if step.requantizer is not None:
            bias = step.constants["bias"].tobytes() if "bias" in step.constants else b""
            entries = np.asarray(step.requantizer.ratio)
            stored[b"channels" + entries.tobytes() + bias] = 16 * len(entries)
    return sum(stored.values())


def static_fit(device: EdgeDevice, sources: CSources, program: IntegerProgram) -> list[Fit]:
    """RAM and flash by arithmetic, for a machine without the cross compiler."""
    ram = sources.plan.arena_bytes + io_bytes(program) + STACK_ALLOWANCE
    flash = constant_bytes(program) + CODE_ALLOWANCE
    return [
        Fit("ram", ram, device.ram_bytes, "B", "modelled"),
        Fit("flash", flash, device.flash_bytes, "B", "modelled"),
    ]


def fit_of(
    device: EdgeDevice,
    sources: CSources | None,
    emulated: Emulated | None,
    folder: Path,
    program: IntegerProgram,
) -> list[Fit]:
    """RAM = variables + stack + caller's buffers; flash = code + constants; from the linked ELF if any."""
    if sources is None:
        size = (folder / "model.onnx").stat().st_size
        return [Fit("ram", size, device.ram_bytes, "B", "modelled")]
    if emulated is None:
        return static_fit(device, sources, program)
    ram = emulated.sizes.ram_bytes + emulated.stack_bytes + io_bytes(program)
    return [
        Fit("ram", ram, device.ram_bytes, "B", "measured"),
        Fit("flash", emulated.sizes.flash_bytes, device.flash_bytes, "B", "measured"),
    ]


def certain_misfit(device: Device, sources: CSources | None, program: IntegerProgram) -> list[Fit]:
    """The fit by arithmetic where arena or weights alone exceed the device: nothing has to run. Else []."""
    if sources is None or not isinstance(device, EdgeDevice):
        return []
    fit = static_fit(device, sources, program)
    stored = {
        s.constants["weight"].tobytes(): lowbit.constant_bytes(s, "weight")
        for s in program.steps
        if "weight" in s.constants
    }
    least = {"ram": sources.plan.arena_bytes + io_bytes(program), "flash": sum(stored.values())}
    hopeless = [f for f in fit if f.available is not None and least[f.limit] > f.available]
    return fit if hopeless else []
