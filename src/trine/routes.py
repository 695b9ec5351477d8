"""Which pillar serves a device, and what the command line's options mean there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trine.devices import Device, EdgeDevice, NeuroChip, QuantumDevice
from trine.devices.errors import InputError
from trine.options import Choices, spelled

if TYPE_CHECKING:
    from trine.compilers.battery_life import Duty
    from trine.compilers.deployment import Deployment
    from trine.compilers.target import Progress, Target
    from trine.edge.budget.limits import Limits
    from trine.edge.patches.choose import Wanted
    from trine.edge.qat import FineTuning


def served(name: str) -> Device:
    """A device of the catalogue or a file. Raises InputError."""
    from trine.devices import load_device

    return load_device(name)


def check(source: Path, device: Device, shapes: Mapping[str, Any]) -> tuple[bool, str, Mapping[str, Any]]:
    """Will it lower, will it fit: (answer, text, object for --json). Raises InputError with all obstacles."""
    if isinstance(device, QuantumDevice):
        from trine import quantum_routes

        return quantum_routes.check(source, device)
    if isinstance(device, EdgeDevice):
        if source.suffix == ".nir":
            raise InputError(f"{source.name} holds a spiking net, {device.name} is an edge device")
        from trine.edge.checking import check_edge

        report = check_edge(source, device, shapes)
        return report.ok, report.text(), report.as_json()
    if source.suffix == ".nir":
        from trine import spiking_routes

        return spiking_routes.check_nir(source, spiking(device))
    from trine.neuromorphic.checking import check_chip

    found = check_chip(source, spiking(device), shapes)
    return found.ok, found.text(), found.as_json()


def route(device: Device, choices: Choices, streamed: bool = False) -> tuple[Target, Any]:
    """The target of a device, and its options; streamed: for a deployment that is a stream already."""
    from trine.compilers.battery_life import Duty
    from trine.devices import battery

    choices.refuse_strangers(device)
    if isinstance(device, QuantumDevice):
        from trine import quantum_routes

        return quantum_routes.target_of(device), quantum_routes.options_of(choices, device)
    battery(choices.battery)
    duty = Duty(1.0 if choices.rate is None else choices.rate, choices.battery)
    if isinstance(device, EdgeDevice):
        return edge_route(choices, duty, streamed or bool(choices.stream))
    from trine import spiking_routes
    from trine.neuromorphic.target import TARGET as SPIKING

    return SPIKING, spiking_routes.options_of(choices, duty)


def edge_route(choices: Choices, duty: Duty, streamed: bool) -> tuple[Target, Any]:
    """The edge target, whole runs or a stream, and its options. Raises InputError for --hop without --stream."""
    from trine.edge.passes import PARITY_EXAMPLES, EdgeOptions
    from trine.edge.target import EdgeTarget

    given = choices.given("precision", "requantize", "activation_type", "compiler", "implant")
    given |= {"fine_tune": fine_tuning_of(choices)}
    limits = limits_of(choices)
    given |= {"limits": limits, **({"precision": "mixed"} if limits.any and not choices.precision else {})}
    given |= {
        "duty": duty,
        "parity_examples": max(choices.examples or 0, PARITY_EXAMPLES),
        "emulated_examples": choices.examples,
    }
    if streamed:
        from trine.edge.streaming.costing import StreamOptions
        from trine.edge.streaming.target import StreamTarget

        if whole := choices.given("patches", "banks"):
            raise InputError(
                f"{', '.join(map(spelled, whole))}: for whole runs; leave out either that or --stream"
            )
        options = StreamOptions(**given, hop=choices.hop, rate_hz=choices.rate)
        return StreamTarget(options.precision), options
    if choices.hop is not None:
        raise InputError("--hop: how many new samples a step takes; only with --stream")
    plain = EdgeOptions(**given, patches=patches_of(choices.patches), banks=bool(choices.banks))
    return EdgeTarget(plain.precision), plain


def fine_tuning_of(choices: Choices) -> FineTuning | None:
    """--fine-tune for an edge device. Raises InputError for its options without it or out of range."""
    training = choices.given("epochs", "learning_rate", "seed")
    if choices.fine_tune is None:
        if training:
            raise InputError(f"{', '.join(map(spelled, training))}: only with --fine-tune TRAIN.npz")
        return None
    from trine.edge.qat import FineTuning, Tuning

    renamed = {"rate" if name == "learning_rate" else name: value for name, value in training.items()}
    found = FineTuning(choices.fine_tune, Tuning(**renamed))
    found.check()
    return found


def patches_of(text: str | None) -> Wanted:
    """--patches as a number, "auto" or "off". Raises InputError."""
    if text is None or text == "auto":
        return "auto"
    if text == "off":
        return "off"
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise InputError(f"--patches {text}: give a number of patches, auto or off")
    return int(text)


def limits_of(choices: Choices) -> Limits:
    """The budget of the command line. Raises InputError for a size or an energy that is none."""
    from trine.edge.budget.limits import Limits, parse_drop, parse_energy, parse_size

    def parsed(name: str, parse: Callable[[Any, str], Any]) -> Any:
        value = getattr(choices, name)
        return None if value is None else parse(value, spelled(name))

    return Limits(
        parsed("max_ram", parse_size),
        parsed("max_flash", parse_size),
        parsed("max_energy_per_inference", parse_energy),
        parsed("max_accuracy_drop", parse_drop),
    )


def compile_source(
    source: Path, device: Device, out: Path, data: Path | None, shapes: Mapping[str, Any], choices: Choices,
    progress: Progress,
) -> Mapping[str, Any]:  # fmt: skip
    """Compile a model for a device into a folder; the deployment's record."""
    from trine.compilers.deploy import deploy
    from trine.compilers.target import Job

    target, options = route(device, choices)
    if source.suffix == ".nir":
        from trine import spiking_routes

        target, options = spiking_routes.nir(device, data, choices, options)
        data = None
    elif choices.given("dt", "slower_cycles"):
        raise InputError("--dt, --slower-cycles: only for .nir files")
    return deploy(Job(source, device, out, data, shapes, options, progress), target).record


def opened(out: Path) -> tuple[Deployment, Device]:
    """A deployment whose files are as they were written, and the device it was compiled for."""
    from trine.compilers.deployment import check_hashes, open_deployment

    deployment = open_deployment(out)
    check_hashes(deployment)
    return deployment, served(str(deployment.artifact("device")))


def simulate(
    deployment: Deployment, device: Device, data: Path | None, choices: Choices, progress: Progress
) -> Mapping[str, Any]:
    """Run a deployment by its pillar."""
    _, options = route(device, choices, deployment.has("stream"))
    if isinstance(device, QuantumDevice):
        from trine import quantum_routes

        return quantum_routes.simulate(deployment, device, data, choices, progress)
    if isinstance(device, EdgeDevice) and deployment.has("stream"):
        from trine.edge.streaming import simulate as streams

        return streams.simulate(deployment, device, given(data), options, progress)
    if isinstance(device, EdgeDevice):
        from trine.edge import simulate as edge

        return edge.simulate(deployment, device, given(data), options, progress)
    from trine import spiking_routes

    return spiking_routes.simulate(deployment, spiking(device), data, choices, options, progress)


def verify(deployment: Deployment, device: Device, choices: Choices) -> Mapping[str, Any]:
    """Prove a deployment again by its pillar."""
    _, options = route(device, choices, deployment.has("stream"))
    if isinstance(device, QuantumDevice):
        from trine import quantum_routes

        return quantum_routes.verify(deployment, device)
    if isinstance(device, EdgeDevice) and deployment.has("stream"):
        from trine.edge.streaming import simulate as streams

        return streams.verify(deployment, device, options)
    if isinstance(device, EdgeDevice):
        from trine.edge import simulate as edge

        return edge.verify(deployment, device, options)
    from trine import spiking_routes

    return spiking_routes.verify(deployment, spiking(device), options)


def spiking(device: Device) -> NeuroChip:
    """A neuromorphic chip. Raises InputError for another device."""
    if not isinstance(device, NeuroChip):
        raise InputError(f"{device.name} is a {device.kind} device")
    return device


def given(data: Path | None) -> Path:
    """The examples. Raises InputError where there are none."""
    if data is None:
        raise InputError("nothing to run: give --data X.npz")
    return data
