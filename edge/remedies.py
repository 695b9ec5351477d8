"""What would make a program fit that does not: changes of network or device, each enough by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from trine.compilers.report import Fit
from trine.devices import Device, EdgeDevice, all_devices
from trine.edge.c.emit import CSources, emit_c
from trine.edge.fit import STACK_ALLOWANCE, constant_bytes, io_bytes, runs_onnx, static_fit
from trine.edge.program import IntegerProgram, Step
from trine.edge.shrink import CHANNEL_BYTES, Shrinker, Sizes, has_weights, is_depthwise, largest_share

BOTH = ("ram", "flash")
SAVING_COUNTED = 0.97  # of a smaller network's saving: channels are padded to whole words and pairs
STRIDES = (2, 4, 8, 16, 32)
LAYER_BYTES = 512  # of code and structures that one more layer needs
ONNX_BYTES = 32 << 20  # RAM of onnxruntime itself and what it keeps beside the weights, generously


def remedies_for(
    program: IntegerProgram, sources: CSources | None, device: Device, fit: Sequence[Fit]
) -> list[str]:
    """Three changes, each enough by itself: a narrower network, a shorter input, another device.

    Where the catalogue has no larger device or the network cannot shrink one way, there are further ways;
    fewer than three are given only where fewer exist.
    """
    needed = Needed(
        Shrinker(program, device.core if isinstance(device, EdgeDevice) else ""),
        sources is not None,
        tuple(fit),
    )
    larger = larger_device(needed)
    advice = list(
        dict.fromkeys(
            text for shrink in (narrower, shorter, low_rank, strided, halved) if (text := shrink(needed))
        )
    )
    return [*advice[: 3 - bool(larger)], *([larger] if larger else [])]


@dataclass(frozen=True)
class Needed:
    """What a remedy has to reach: every limit of `fit`, counted from what is used now."""

    shrinker: Shrinker
    on_microcontroller: bool
    fit: tuple[Fit, ...]

    def enough(self, smaller: Sizes, limits: Sequence[str] = ("ram", "flash")) -> bool:
        """Whether a smaller network would fit; savings count for 97 %, since layers are padded."""
        now = self.shrinker.whole
        saved = {
            "ram": now.arena + now.io - smaller.arena - smaller.io,
            "flash": now.constants - smaller.constants,
        }
        if not self.on_microcontroller:  # onnxruntime loads the weights into RAM
            saved["ram"] = saved["flash"]
        return all(
            f.available is None or f.used - SAVING_COUNTED * saved[f.limit] <= f.available
            for f in self.fit
            if f.limit in limits
        )

    def largest(self, limits: Sequence[str], shrunk: Callable[[float], Sizes]) -> float | None:
        """The largest share at which the network that `shrunk` describes fits."""
        return largest_share(lambda share: self.enough(shrunk(share), limits))

    def channels(self, limits: Sequence[str], stride: int = 1) -> float | None:
        """The largest share of the hidden channels that fits and leaves every layer one."""
        share = self.largest(limits, lambda share: self.shrinker.sizes(share, 1.0, stride))
        return share if share and int(share * self.shrinker.least_channels) >= 1 else None

    @cached_property
    def channels_for_flash(self) -> float | None:
        """Share of the hidden channels at which the weights fit."""
        return 1.0 if self.enough(self.shrinker.whole, ("flash",)) else self.channels(("flash",))


def channels_text(share: float) -> str:
    """The share of channels that stays."""
    return f"{share:.0%} of the channels in every hidden layer"


def narrower(needed: Needed) -> str:
    """Fewer channels in every hidden layer."""
    share = needed.channels(BOTH)
    return f"a narrower network: {channels_text(share)}" if share else ""


def shorter(needed: Needed) -> str:
    """A shorter input, and fewer channels where the weights need it; "" where RAM is not the matter."""
    alone = shorter_at(needed, 1.0)
    ram_fits = needed.enough(needed.shrinker.whole, ("ram",))
    return alone or (
        "" if ram_fits or not needed.channels_for_flash else shorter_at(needed, needed.channels_for_flash)
    )


def halved(needed: Needed) -> str:
    """Half the channels, and an input as short as is then necessary."""
    return shorter_at(needed, 0.5) if needed.shrinker.least_channels >= 2 else ""


def shorter_at(needed: Needed, channels: float) -> str:
    """The longest input that fits with a share of the hidden channels; "" where none does."""
    share = needed.largest(BOTH, lambda length: needed.shrinker.sizes(channels, length))
    first = needed.shrinker.program.tensors[needed.shrinker.program.inputs[0]]
    now = first.shape[-1] if first.shape else 1
    if not share or int(now * share) < 1:
        return ""
    also = "" if channels == 1 else f", and {channels_text(channels)}"
    return f"a shorter input: last axis of {first.name} {int(now * share)} instead of {now}{also}"


def strided(needed: Needed) -> str:
    """A longer stride where the input enters, and fewer channels where that alone is not enough."""
    text = "a stride of the first layer {} times as long"
    for stride in STRIDES:
        if needed.enough(needed.shrinker.sizes(1.0, 1.0, stride)):
            return text.format(stride)
    for least in (0.25, 0.0):
        for stride in STRIDES:
            if (share := needed.channels(BOTH, stride)) and share >= least:
                return f"{text.format(stride)}, and {channels_text(share)}"
    return ""


def low_rank(needed: Needed) -> str:
    """The heaviest layers each as two with few channels between; "" where RAM is the matter."""
    if not needed.on_microcontroller or not needed.enough(needed.shrinker.whole, ("ram",)):
        return ""
    program = needed.shrinker.program
    weighted = sorted(
        (s for s in program.steps if has_weights(s) and not is_depthwise(s)), key=lambda s: -weights(s)
    )
    over = sum(f.used - f.available for f in needed.fit if f.limit == "flash" and f.available is not None)
    for count in range(1, len(weighted) + 1):
        layers = weighted[:count]
        heavy = sum(weights(s) for s in layers)
        keep = 1 - (over / SAVING_COUNTED + LAYER_BYTES * count) / heavy
        ranks = [int(keep * rank_kept(s)) for s in layers]
        if keep > 0 and min(ranks) >= 1:
            listed = ", ".join(
                f"{s.name} with {rank} channels" for s, rank in zip(layers, ranks, strict=True)
            )
            return f"the heaviest layers each split in two (low rank), between the two: {listed}"
    return ""


def weights(step: Step) -> int:
    """Weights of a layer."""
    return int(step.constants["weight"].size)


def rank_kept(step: Step) -> float:
    """Channels between two layers that together have as many bytes as the one they replace."""
    outputs = int(step.constants["weight"].shape[0])
    inputs = weights(step) // int(outputs)
    return weights(step) / (inputs + outputs + CHANNEL_BYTES)


def larger_device(needed: Needed) -> str:
    """Up to three devices of the catalogue, smallest first, on which the program fits by arithmetic."""
    program = needed.shrinker.program
    found: list[str] = []
    devices = [d for d in all_devices("edge") if isinstance(d, EdgeDevice) and d.ram_bytes]
    for device in sorted(devices, key=lambda d: (d.ram_bytes or 0, d.name)):
        if len(found) < 3 and fits(program, device):
            found.append(f"{device.name} ({(device.ram_bytes or 0) // 1024:,} KiB RAM)")
    return f"a larger device: {', '.join(found)}" if found else ""


def fits(program: IntegerProgram, device: EdgeDevice) -> bool:
    """Whether a program fits a device by arithmetic, its limits being published."""
    if runs_onnx(device):
        return device.ram_bytes is not None and ONNX_BYTES + constant_bytes(program) <= device.ram_bytes
    least = io_bytes(program) + STACK_ALLOWANCE
    if (
        device.flash_bytes is None
        or constant_bytes(program) > device.flash_bytes
        or least > (device.ram_bytes or 0)
    ):
        return False
    return all(f.ok for f in static_fit(device, emit_c(program, device.core), program))
