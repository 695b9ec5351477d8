"""Which pillar serves a device, and what the command line's options mean there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trine.devices import Device, EdgeDevice, NeuroChip
from trine.devices.errors import InputError

if TYPE_CHECKING:
    from trine.compilers.deployment import Deployment
    from trine.compilers.target import Progress, Target

PILLAR_OF = {  # options that mean something to one pillar only
    "requantize": "edge", "activation_type": "edge", "compiler": "edge", "implant": "edge",
    "scheme": "neuromorphic", "steps": "neuromorphic", "chips": "neuromorphic", "input_bits": "neuromorphic",
}  # fmt: skip


@dataclass(frozen=True)
class Choices:
    """Options as given; None where the user said nothing."""

    requantize: str | None = None
    activation_type: str | None = None
    compiler: str | None = None
    implant: bool | None = None
    scheme: str | None = None
    steps: int | None = None
    chips: int | None = None
    input_bits: int | None = None
    examples: int | None = None
    battery: str = "cr2032"
    rate: float = 1.0

    def given(self, *names: str) -> dict[str, Any]:
        """Those of the named options that the user gave."""
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    def refuse_strangers(self, device: Device) -> None:
        """Raise InputError for options that another pillar understands."""
        wrong = [
            f.name
            for f in fields(self)
            if f.name in PILLAR_OF and PILLAR_OF[f.name] != device.kind and getattr(self, f.name) is not None
        ]
        if wrong:
            named = ", ".join(f"--{name.replace('_', '-')}" for name in wrong)
            raise InputError(
                f"{named}: means nothing for {device.name}, a {device.kind} device; leave it out"
            )


def served(name: str) -> Device:
    """A device of the catalogue or a file, of a kind that this version compiles for. Raises InputError."""
    from trine.devices import load_device

    device = load_device(name)
    if not isinstance(device, EdgeDevice | NeuroChip):
        raise InputError(
            f"{device.name} is a {device.kind} device; this version compiles for edge devices and neuromorphic chips "
            "(trine devices --kind edge, trine devices --kind neuromorphic)"
        )
    return device


def check(source: Path, device: Device, shapes: Mapping[str, Any]) -> tuple[bool, str, Mapping[str, Any]]:
    """Will it lower, will it fit: (answer, text, object for --json). Raises InputError with all obstacles."""
    if isinstance(device, EdgeDevice):
        from trine.edge.checking import check_edge

        report = check_edge(source, device, shapes)
        return report.ok, report.text(), report.as_json()
    from trine.compilers.source import load_source
    from trine.neuromorphic.target import TARGET as SPIKING

    graph = load_source(source, shapes)
    obstacles = SPIKING.obstacles(graph, device)
    if obstacles:
        raise InputError(f"{source.name} cannot be compiled for {device.name}:\n  " + "\n  ".join(obstacles))
    macs, parameters = graph.macs(), graph.parameters()
    later = "how many cores it takes depends on its spikes: trine compile with --data says"
    found = {
        "model": source.name,
        "device": device.name,
        "macs": macs,
        "parameters": parameters,
        "ok": True,
        "fit": [],
    }
    text = (
        f"{source.name} for {device.name}: every node has a spiking form\n"
        f"  {macs:,} multiply-accumulates, {parameters:,} parameters\n  {later}"
    )
    return True, text, {**found, "note": later}


def route(device: Device, choices: Choices) -> tuple[Target, Any]:
    """The target of a device, and its options."""
    from trine.compilers.battery_life import Duty
    from trine.devices import battery

    choices.refuse_strangers(device)
    battery(choices.battery)
    duty = Duty(choices.rate, choices.battery)
    if isinstance(device, EdgeDevice):
        from trine.edge.target import PARITY_EXAMPLES, TARGET, EdgeOptions

        compared = max(choices.examples or 0, PARITY_EXAMPLES)
        given = choices.given("requantize", "activation_type", "compiler", "implant")
        options = EdgeOptions(
            duty=duty, parity_examples=compared, emulated_examples=choices.examples, **given
        )
        return TARGET, options
    from trine.neuromorphic.conversion.convert import ConversionOptions
    from trine.neuromorphic.target import TARGET as SPIKING
    from trine.neuromorphic.target import NeuromorphicOptions

    conversion = ConversionOptions(**choices.given("scheme", "steps", "input_bits"))
    return SPIKING, NeuromorphicOptions(conversion, duty=duty, **choices.given("chips"))


def simulate(
    deployment: Deployment, device: Device, data: Path, choices: Choices, progress: Progress
) -> Mapping[str, Any]:
    """Run a deployment on examples by its pillar."""
    _, options = route(device, choices)
    if isinstance(device, EdgeDevice):
        from trine.edge import simulate as edge

        return edge.simulate(deployment, device, data, options, progress)
    from trine.neuromorphic import simulate as spiking

    if not isinstance(device, NeuroChip):
        raise InputError(f"{device.name} is a {device.kind} device")
    return spiking.simulate(deployment, device, data, options, progress, limit=choices.examples)


def verify(deployment: Deployment, device: Device, choices: Choices) -> Mapping[str, Any]:
    """Prove a deployment again by its pillar."""
    _, options = route(device, choices)
    if isinstance(device, EdgeDevice):
        from trine.edge import simulate as edge

        return edge.verify(deployment, device, options)
    from trine.neuromorphic import simulate as spiking

    if not isinstance(device, NeuroChip):
        raise InputError(f"{device.name} is a {device.kind} device")
    return spiking.verify(deployment, device, options)
