"""What a stream takes and costs on a device: RAM and flash, a step, a sample, a second of signal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from trine.compilers.estimate import Estimate, exactly, find
from trine.compilers.report import Fit
from trine.devices import EdgeDevice
from trine.edge.budget.ways import Way, Ways
from trine.edge.c.emit import CSources
from trine.edge.cost import Cost, Size, estimate_cost
from trine.edge.fit import CODE_ALLOWANCE, STACK_ALLOWANCE, constant_bytes
from trine.edge.passes import EdgeOptions
from trine.edge.program import IntegerProgram
from trine.edge.streaming.program import StreamProgram
from trine.edge.streaming.proving import EmulatedStream
from trine.edge.streaming.state import state_bytes

NO_RATE = "needs the signal's rate: give --rate HZ, samples a second"


@dataclass(frozen=True)
class StreamOptions(EdgeOptions):
    """What a user may choose for a stream. hop: new samples a step, by default the least. rate_hz: samples a second of
    the signal, where it is known."""

    hop: int | None = None
    rate_hz: float | None = None

    @property
    def ways(self) -> Ways:
        """As a stream only: it is another interface, which the user asks for."""
        return self.as_stream

    def as_stream(self, program: IntegerProgram, device: EdgeDevice) -> Sequence[Way]:
        """The one way."""
        from trine.edge.streaming.measuring import Streamed

        return (Streamed(self.hop),)


def io_bytes(made: StreamProgram) -> int:
    """Buffers of one hop, which the caller provides."""
    return sum(made.piece(n).bytes for n in (*made.program.inputs, *made.program.outputs))


def certain_misfit(device: EdgeDevice, made: StreamProgram, sources: CSources) -> list[Fit]:
    """The fit by arithmetic where state or weights alone exceed the device: nothing has to run. Else []."""
    fit = static_fit(device, made, sources)
    least = {"ram": state_bytes(made) + sources.plan.arena_bytes, "flash": 0}
    hopeless = [f for f in fit if f.available is not None and least[f.limit] > f.available]
    return fit if hopeless else []


def static_fit(device: EdgeDevice, made: StreamProgram, sources: CSources) -> list[Fit]:
    """RAM and flash by arithmetic."""
    ram = state_bytes(made) + sources.plan.arena_bytes + io_bytes(made) + STACK_ALLOWANCE
    flash = constant_bytes(made.program) + CODE_ALLOWANCE
    return [
        Fit("ram", ram, device.ram_bytes, "B", "modelled"),
        Fit("flash", flash, device.flash_bytes, "B", "modelled"),
    ]


def fit_of(
    device: EdgeDevice, made: StreamProgram, sources: CSources, emulated: EmulatedStream | None
) -> list[Fit]:
    """RAM = state + work memory + stack + one hop's buffers; flash = code + constants; from the linked ELF if any."""
    if emulated is None:
        return static_fit(device, made, sources)
    ram = state_bytes(made) + emulated.sizes.ram_bytes + emulated.stack_bytes + io_bytes(made)
    return [
        Fit("ram", ram, device.ram_bytes, "B", "measured"),
        Fit("flash", emulated.sizes.flash_bytes, device.flash_bytes, "B", "measured"),
    ]


def cost_of(
    device: EdgeDevice,
    made: StreamProgram,
    emulated: EmulatedStream | None,
    fit: Sequence[Fit],
    options: StreamOptions,
) -> Cost:
    """Cost of a step; instructions a sample, and those of the whole program; real-time factor at the given rate."""
    used = {f.limit: f.used for f in fit if f.how == "measured"}
    size = Size(used.get("ram"), used.get("flash"), emulated.stack_bytes if emulated else None)
    duty = options.duty
    if options.rate_hz is not None:
        duty = replace(duty, inferences_per_s=options.rate_hz / made.hop)
    cost = estimate_cost(
        device, emulated.instructions if emulated else None, size, duty, implant=options.implant
    )
    estimates = [
        exactly("state_bytes", state_bytes(made), "B", "measured", "sizeof the state struct"),
        *cost.estimates,
    ]
    whole = "linked ELF, state struct, stack and one hop's buffers"
    estimates = [replace(e, source=whole) if e.name == "ram_bytes" else e for e in estimates]
    missing = dict(cost.missing)
    estimates += per_sample(device, made, emulated)
    if options.rate_hz is None:
        estimates = [e for e in estimates if e.name not in ("average_power_w", "battery_life_s")]
        missing |= dict.fromkeys(("average_power_w", "battery_life_s", "real_time_factor"), NO_RATE)
    else:
        factor = real_time(cost, made, options.rate_hz)
        if factor is None:
            missing["real_time_factor"] = "needs latency_s"
        else:
            estimates.append(factor)
    return replace(cost, estimates=tuple(estimates), missing=missing)


def per_sample(device: EdgeDevice, made: StreamProgram, emulated: EmulatedStream | None) -> list[Estimate]:
    """Instructions for each new sample, and of one run of the whole program."""
    if emulated is None:
        return []
    hop, core = made.hop, device.core
    source = f"instructions of a step / {hop} samples a step, emulated {core}"
    found = [
        Estimate(
            "instructions_per_sample", emulated.instructions / hop, "instructions", emulated.low / hop,
            emulated.instructions / hop, "emulated", source,
        )
    ]  # fmt: skip
    if emulated.whole is not None:
        what = "window" if made.kind == "window" else "sequence"
        source = f"exact count of the C of the whole {what}, {made.window} samples, on an emulated {core}"
        found.append(exactly("whole_instructions", emulated.whole, "instructions", "emulated", source))
    return found


def real_time(cost: Cost, made: StreamProgram, rate_hz: float) -> Estimate | None:
    """Seconds of computing for a second of signal; below 1 the core keeps up."""
    latency = find(cost.estimates, "latency_s")
    if latency is None:
        return None
    steps = rate_hz / made.hop
    source = f"latency_s of a step x {rate_hz:g} samples a second / {made.hop} samples a step"
    return Estimate(
        "real_time_factor",
        latency.value * steps,
        "s/s",
        latency.low * steps,
        latency.high * steps,
        "modelled",
        source,
    )
