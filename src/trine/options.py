"""Options of the command line. A field of `Choices` is an option: adding one takes one place."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_type_hints

import typer

from trine.devices.errors import InputError

if TYPE_CHECKING:
    from trine.compilers.graph import Shape
    from trine.devices import Device

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Source = Annotated[
    Path, typer.Argument(help="The model: .onnx, .pt2 or .nir; for a quantum device a problem, .json.")
]
DeviceName = Annotated[str, typer.Option(help="A device of the catalogue, or a .toml file.")]
Deployed = Annotated[Path, typer.Argument(help="A deployment folder.")]
Shapes = Annotated[list[str] | None, typer.Option(help="NAME=1,SIZE,... for axes the file leaves open.")]


class Kind(StrEnum):
    """Kinds of devices."""

    edge = "edge"
    neuromorphic = "neuromorphic"
    quantum = "quantum"


class Rounding(StrEnum):
    """How int32 sums become int8."""

    exact = "exact"
    tflite = "tflite"


class Precision(StrEnum):
    """What a network computes in."""

    int8 = "int8"
    int8x16 = "int8x16"
    int4 = "int4"
    int2 = "int2"
    mixed = "mixed"
    float32 = "float32"


class ActivationType(StrEnum):
    """How the QDQ ONNX stores activations."""

    int8 = "int8"
    uint8 = "uint8"


class Compiler(StrEnum):
    """Cross compiler for the emulated core."""

    zig = "zig"
    gcc = "gcc"


class Scheme(StrEnum):
    """How activations become spikes."""

    exact = "exact"
    rate = "rate"
    sigma_delta = "sigma_delta"
    ttfs = "ttfs"


class Backend(StrEnum):
    """Simulators of spiking nets."""

    native = "native"
    snntorch = "snntorch"
    lava = "lava"
    sanafe = "sanafe"


class Encoder(StrEnum):
    """How a recording becomes events."""

    delta = "delta"
    level_crossing = "level_crossing"


class AnglesBy(StrEnum):
    """How QAOA's angles are found."""

    fixed = "fixed"
    transfer = "transfer"
    ramp = "ramp"
    tuned = "tuned"
    optimise = "optimise"
    warm_start = "warm-start"
    recursive = "recursive"


class Mixer(StrEnum):
    """What moves QAOA from string to string."""

    x = "x"
    xy = "xy"
    flip = "flip"


class PictureFormat(StrEnum):
    """What pictures are written as."""

    png = "png"
    svg = "svg"
    both = "both"


@dataclass(frozen=True)
class Option:
    """What an option says of itself. verbs: commands that take it; of: the pillars that understand it, all where none
    is named; least: smallest number; flag: it takes no value."""

    verbs: str
    text: str
    of: tuple[Kind, ...] = ()
    least: float | None = None
    flag: bool = False

    def declared(self, name: str) -> Any:
        """typer's form."""
        named = " and ".join(kind.value for kind in self.of).capitalize()
        text = f"{named}: {self.text}" if named else self.text
        return typer.Option(*([spelled(name)] if self.flag else []), help=text, min=self.least)


EVERY = "compile simulate verify"
RUNS = "compile simulate"
EDGE, NEURO, QUANTUM = (Kind.edge,), (Kind.neuromorphic,), (Kind.quantum,)
TRAINED = (*EDGE, *NEURO)


@dataclass(frozen=True)
class Choices:
    """Options as given; None where the user said nothing."""

    precision: Annotated[
        Precision | None,
        Option(
            "compile",
            "what the network computes in (int8): int8x16 has activations of 16 bits, int4 and int2 are widths of "
            "weights, mixed chooses by layer (usual where something is limited).",
            EDGE,
        ),
    ] = None
    max_ram: Annotated[str | None, Option("compile", "most RAM it may take, as 64K.", EDGE)] = None
    max_flash: Annotated[str | None, Option("compile", "most flash it may take, as 128K.", EDGE)] = None
    max_energy_per_inference: Annotated[
        str | None, Option("compile", "most energy of one inference, as 200uJ.", EDGE)
    ] = None
    max_accuracy_drop: Annotated[
        float | None,
        Option("compile", "points of accuracy it may lose on labelled --data.", EDGE),
    ] = None
    requantize: Annotated[
        Rounding | None, Option("compile", "rounding of onnxruntime (exact) or of TensorFlow Lite.", EDGE)
    ] = None
    activation_type: Annotated[
        ActivationType | None, Option("compile", "activations of the QDQ ONNX (int8).", EDGE)
    ] = None
    compiler: Annotated[
        Compiler | None, Option(EVERY, "cross compiler for the emulated core (zig).", EDGE)
    ] = None
    implant: Annotated[
        bool | None,
        Option(RUNS, "check power against thermal screening limits of implants.", EDGE, flag=True),
    ] = None
    scheme: Annotated[Scheme | None, Option("compile", "how activations become spikes (exact).", NEURO)] = (
        None
    )
    steps: Annotated[
        str | None,
        Option("compile", "T, steps and levels of an activation (8); 8,8,4 gives each layer its own.", NEURO),
    ] = None
    lag: Annotated[
        int | None,
        Option("compile", "steps by which a layer of scheme rate fires behind its input (1).", NEURO),
    ] = None
    input_bits: Annotated[int | None, Option("compile", "magnitude bits of an input (6).", NEURO)] = None
    weight_bits: Annotated[
        int | None, Option("compile", "bits of a weight, its sign included (8).", NEURO)
    ] = None
    per_channel: Annotated[
        bool | None, Option("compile", "a threshold for each channel.", NEURO, flag=True)
    ] = None
    no_refit: Annotated[bool | None, Option("compile", "leave the weights as trained.", NEURO, flag=True)] = (
        None
    )
    calibration_examples: Annotated[
        int | None, Option("compile", "examples that thresholds come from, at most (4096).", NEURO)
    ] = None
    dt: Annotated[float | None, Option("compile", "seconds a step of a .nir file (1e-4).", NEURO)] = None
    slower_cycles: Annotated[
        bool | None,
        Option("compile", "let connections of a .nir file's cycles take a step.", NEURO, flag=True),
    ] = None
    fine_tune: Annotated[
        Path | None,
        Option(
            "compile",
            "train on, with the target's rounding or spikes in the loop, on these examples, .npz.",
            TRAINED,
        ),
    ] = None
    epochs: Annotated[int | None, Option("compile", "passes of --fine-tune over its examples.", TRAINED)] = (
        None
    )
    learning_rate: Annotated[float | None, Option("compile", "step of --fine-tune.", TRAINED)] = None
    checkpoint: Annotated[
        Path | None,
        Option("compile", "folder where --fine-tune keeps its state, and goes on from.", NEURO),
    ] = None
    seed: Annotated[
        int | None,
        Option(
            "compile simulate",
            "seed of fine-tuning and placement, or of samples (0).",
            least=0,
        ),
    ] = None
    chips: Annotated[int | None, Option(EVERY, "chips at most (1, or as compiled).", NEURO, least=1)] = None
    backend: Annotated[Backend | None, Option("simulate", "simulator of the spikes (native).", NEURO)] = None
    time_limit: Annotated[
        float | None, Option("simulate", "seconds that lava or sanafe may take (600).", NEURO, least=1)
    ] = None
    plots: Annotated[Path | None, Option("simulate", "folder for pictures of the run.", NEURO + QUANTUM)] = (
        None
    )
    plot_format: Annotated[
        PictureFormat | None, Option("simulate", "what --plots writes (png).", NEURO + QUANTUM)
    ] = None
    record: Annotated[
        Path | None, Option("simulate", "a WFDB record instead of --data, classified beat by beat.", NEURO)
    ] = None
    seconds: Annotated[float | None, Option("simulate", "how much of --record (300).", NEURO)] = None
    encoder: Annotated[Encoder | None, Option("simulate", "how --record becomes events (delta).", NEURO)] = (
        None
    )
    layers: Annotated[int | None, Option("compile", "p, layers of QAOA (1).", QUANTUM, least=1)] = None
    angles: Annotated[
        AnglesBy | None,
        Option(
            "compile",
            "how angles are found: table of fixed ones, transfer from it, ramp, tuned (best of some ramps), optimise, "
            "warm start at the greedy answer, recursive QAOA (by size: optimise, tuned or ramp).",
            QUANTUM,
        ),
    ] = None
    cvar: Annotated[
        float | None,
        Option("compile", "lower the mean of this share of lowest samples, as 0.2 (all).", QUANTUM),
    ] = None
    core: Annotated[
        int | None,
        Option("compile", "qubits that --angles recursive leaves (8, or half of a few).", QUANTUM, least=1),
    ] = None
    resume: Annotated[
        bool | None,
        Option(
            "compile", "go on with the optimisation of angles that an interrupt left.", QUANTUM, flag=True
        ),
    ] = None
    mixer: Annotated[
        Mixer | None,
        Option(
            "compile",
            "x over all strings (usual), xy inside one-hot groups, flip inside independent sets.",
            QUANTUM,
        ),
    ] = None
    mitigate: Annotated[
        str | None,
        Option("simulate", "readout, zne or readout,zne: correct the noisy mean cost.", QUANTUM),
    ] = None
    shots: Annotated[int | None, Option(RUNS, "samples (1000, or as compiled).", QUANTUM, least=1)] = None
    examples: Annotated[
        int | None,
        Option(
            RUNS, "How many examples run on the emulated core or chip; a sensible number by default.", least=1
        ),
    ] = None
    battery: Annotated[str, Option(RUNS, "Battery of the catalogue, for battery life.")] = "cr2032"
    patches: Annotated[
        str | None,
        Option(
            "compile", "run the first layers in this many patches; auto (usual) where it has to; off.", EDGE
        ),
    ] = None
    banks: Annotated[
        bool | None,
        Option("compile", "plan the arena over the device's two banks of RAM.", EDGE, flag=True),
    ] = None
    stream: Annotated[
        bool | None,
        Option("compile", "a step function for each new hop of samples, with its state.", EDGE, flag=True),
    ] = None
    hop: Annotated[
        int | None,
        Option("compile", "new samples a step of --stream (the least there can be).", EDGE, least=1),
    ] = None
    rate: Annotated[
        float | None,
        Option(RUNS, "Inferences a second, for battery life (1: one beat a second); of a stream, samples."),
    ] = None

    def given(self, *names: str) -> dict[str, Any]:
        """Those of the named options that the user gave."""
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    @property
    def endings(self) -> tuple[str, ...]:
        """Kinds of files that --plots writes."""
        kind = self.plot_format or "png"
        return ("png", "svg") if kind == "both" else (str(kind),)

    def refuse_strangers(self, device: Device) -> None:
        """Raise InputError for options that another pillar understands."""
        wrong = [
            spelled(name)
            for name, option in options().items()
            if option.of and device.kind not in option.of and getattr(self, name) is not None
        ]
        if wrong:
            raise InputError(
                f"{', '.join(wrong)}: means nothing for {device.name}, whose kind is {device.kind}; leave it out"
            )


def spelled(name: str) -> str:
    """An option as the user writes it."""
    return "--" + name.replace("_", "-")


@functools.cache
def options() -> dict[str, Option]:
    """Every option of `Choices` by name."""
    hints = get_type_hints(Choices, include_extras=True)
    return {f.name: get_args(hints[f.name])[1] for f in fields(Choices)}


def takes_choices(verb: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command every option of a verb, gathered in its parameter `choices`."""
    hints = get_type_hints(Choices)
    wanted = [f for f in fields(Choices) if verb in options()[f.name].verbs.split()]
    keyword = inspect.Parameter.KEYWORD_ONLY
    added = [
        inspect.Parameter(
            f.name,
            keyword,
            default=f.default,
            annotation=Annotated[hints[f.name], options()[f.name].declared(f.name)],
        )
        for f in wanted
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def called(**given: Any) -> None:
            command(choices=Choices(**{f.name: given.pop(f.name) for f in wanted}), **given)

        signature = inspect.signature(command, eval_str=True)
        own = [p for p in signature.parameters.values() if p.name != "choices"]
        vars(called)["__signature__"] = signature.replace(parameters=[*own, *added])  # what typer reads
        return called

    return decorate


def parse_shapes(shapes: list[str] | None) -> dict[str, Shape]:
    """`name=1,128` options as {name: (1, 128)}; InputError for another form."""
    found: dict[str, Shape] = {}
    for text in shapes or []:
        name, _, sizes = text.partition("=")
        try:
            found[name] = tuple(int(size) for size in sizes.split(","))
        except ValueError:
            raise InputError(
                f"--shape {text}: give NAME=SIZE,SIZE,... with the batch first, as in beat=1,1,128"
            ) from None
        if not name or min(found[name]) < 1:
            raise InputError(f"--shape {text}: needs a name and sizes of at least 1")
    return found


def parse_steps(text: str) -> int | tuple[int, ...]:
    """`8` or `8,8,4`; InputError for another form."""
    try:
        steps = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            f"--steps {text}: give T, as in 8, or one T for each layer that fires, as in 8,8,4"
        ) from None
    return steps[0] if len(steps) == 1 else steps
