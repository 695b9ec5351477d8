"""Does the program fit the device, and if not, what would make it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trine.compilers.report import Fit
from trine.devices import Device, EdgeDevice, all_devices
from trine.edge.c.emit import CSources
from trine.edge.program import IntegerProgram

if TYPE_CHECKING:
    from trine.edge.running import Emulated

STACK_ALLOWANCE = 512  # bytes; the kernels measured 220-360 on every emulated core
CODE_ALLOWANCE = 12 * 1024  # bytes of code of all kernels together, measured 5-7 KiB


def io_bytes(program: IntegerProgram) -> int:
    """Input and output buffers of one inference, which the caller provides."""
    return sum(program.tensors[name].size for name in (*program.inputs, *program.outputs))


def constant_bytes(program: IntegerProgram) -> int:
    """Weights, tables and per-channel entries of the C print: 16 bytes a channel."""
    total = 0
    for step in program.steps:
        total += sum(a.nbytes for name, a in step.constants.items() if name not in ("bias", "weight_scale"))
        total += 16 * len(step.requantizer.ratio) if step.requantizer is not None else 0
    return total


def static_fit(device: EdgeDevice, sources: CSources, program: IntegerProgram) -> list[Fit]:
    """RAM and flash by arithmetic, for a machine without the cross compiler."""
    ram = sources.plan.arena_bytes + io_bytes(program) + STACK_ALLOWANCE
    flash = constant_bytes(program) + CODE_ALLOWANCE
    return [
        Fit("ram", ram, device.ram_bytes, "B", "modelled"),
        Fit("flash", flash, device.flash_bytes, "B", "modelled"),
    ]


def fit_of(
    device: EdgeDevice, sources: CSources | None, emulated: Emulated | None, folder: Path, program: IntegerProgram
) -> list[Fit]:
    """RAM = variables + stack + caller's buffers; flash = code + constants, from the linked ELF where there is one."""
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


def remedies_for(
    program: IntegerProgram, sources: CSources | None, device: Device, fit: Sequence[Fit]
) -> list[str]:
    """Three changes, each enough by itself: a smaller input or network, a smaller layer, another device."""
    over = [f for f in fit if not f.ok and f.available]
    advice: list[str] = []
    for f in over:
        factor = (f.available or 1) / f.used
        if f.limit == "ram":
            advice += ram_remedies(program, factor, f)
        else:
            advice += flash_remedies(program, factor, f)
    need = {f.limit: f.used for f in fit}
    larger = [
        d
        for d in all_devices("edge")
        if isinstance(d, EdgeDevice)
        and (d.ram_bytes or 0) >= need.get("ram", 0)
        and (d.flash_bytes or 0) >= need.get("flash", 0)
    ]
    larger.sort(key=lambda d: (d.ram_bytes or 0, d.name))
    names = ", ".join(f"{d.name} ({(d.ram_bytes or 0) // 1024} KiB RAM)" for d in larger[:3])
    advice.append(f"a larger device: {names}" if names else "no device of the catalogue is large enough")
    return advice[:2] + advice[-1:] if len(advice) > 3 else advice


def ram_remedies(program: IntegerProgram, factor: float, fit: Fit) -> list[str]:
    """Shrink what is live at the peak."""
    first = program.tensors[program.inputs[0]]
    largest = max(program.steps, key=lambda s: program.tensors[s.output].size + program.tensors[s.inputs[0]].size)
    shape = program.tensors[largest.output].shape
    live = program.tensors[largest.output].size + program.tensors[largest.inputs[0]].size
    shorter = "x".join(str(max(int(d * factor), 1)) if i == len(first.shape) - 1 else str(d) for i, d in enumerate(first.shape))
    channels = max(int(shape[0] * factor), 1)
    return [
        f"a shorter input: {first.name} of about {shorter} instead of {'x'.join(map(str, first.shape))} "
        "(activations shrink with it)",
        f"fewer channels where most bytes are live: layer {largest.name} and its input hold {live:,} B; "
        f"about {channels} channels instead of {shape[0]} there, or a stride before it",
    ]


def flash_remedies(program: IntegerProgram, factor: float, fit: Fit) -> list[str]:
    """Shrink the weights."""
    weighted = [s for s in program.steps if "weight" in s.constants]
    if not weighted:
        return []
    largest = max(weighted, key=lambda s: s.constants["weight"].size)
    size = largest.constants["weight"].size
    share = size / max(sum(s.constants["weight"].size for s in weighted), 1)
    return [
        f"fewer weights in {largest.name}, which holds {size:,} of them ({share:.0%}): "
        f"{fit.used - (fit.available or 0):,} B have to go",
        f"a narrower network: {factor**0.5:.0%} of the channels everywhere leaves about {factor:.0%} of the weights",
    ]
