"""The command line. Exit codes: 0 done, 1 the work was done and the answer is no, 2 bad input."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trine.devices.errors import InputError, TrineError

if TYPE_CHECKING:
    from trine.compilers.graph import Shape

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Carries trained medical models onto hardware that is not a GPU, and proves that they arrived whole.",
)


lava = typer.Typer(no_args_is_help=True, help="lava-nc's side environment.")
app.add_typer(lava, name="lava")


class Kind(StrEnum):
    """Kinds of devices."""

    edge = "edge"
    neuromorphic = "neuromorphic"
    quantum = "quantum"


class Rounding(StrEnum):
    """How int32 sums become int8."""

    exact = "exact"
    tflite = "tflite"


class ActivationType(StrEnum):
    """How the QDQ ONNX stores activations."""

    int8 = "int8"
    uint8 = "uint8"


class Scheme(StrEnum):
    """How activations become spikes."""

    exact = "exact"
    rate = "rate"
    sigma_delta = "sigma_delta"


class Compiler(StrEnum):
    """Cross compiler for the emulated core."""

    zig = "zig"
    gcc = "gcc"


Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Battery = Annotated[str, typer.Option(help="Battery of the catalogue, for battery life.")]
Rate = Annotated[float, typer.Option(help="Inferences a second, for battery life (1: one beat a second).")]
Implant = Annotated[
    bool | None,
    typer.Option("--implant", help="Edge: check power against thermal screening limits of implants."),
]
ExamplesOption = Annotated[
    int | None,
    typer.Option(
        help="How many examples run on the emulated core or chip; a sensible number by default.", min=1
    ),
]
CompilerOption = Annotated[
    Compiler | None, typer.Option(help="Edge: cross compiler for the emulated core (zig).")
]
RoundingOption = Annotated[
    Rounding | None, typer.Option(help="Edge: rounding of onnxruntime (exact) or of TensorFlow Lite.")
]
ActivationOption = Annotated[
    ActivationType | None, typer.Option(help="Edge: activations of the QDQ ONNX (int8).")
]
SchemeOption = Annotated[
    Scheme | None, typer.Option(help="Neuromorphic: how activations become spikes (exact).")
]
StepsOption = Annotated[
    int | None, typer.Option(help="Neuromorphic: T, steps and levels of an activation (8).")
]
ChipsOption = Annotated[int | None, typer.Option(help="Neuromorphic: chips at most (1).", min=1)]
InputBits = Annotated[int | None, typer.Option(help="Neuromorphic: magnitude bits of an input (6).")]
ShapeOption = Annotated[list[str] | None, typer.Option(help="NAME=1,SIZE,... for axes the file leaves open.")]


@contextmanager
def progress_bar(quiet: bool = False) -> Iterator[Callable[[str, int, int], None]]:
    """A listener that draws stages on stderr; silent where stderr is no terminal."""
    if quiet or not sys.stderr.isatty():
        yield lambda stage, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done, total=total)

        yield report


def say(text: str) -> None:
    """Talk goes to stderr, so that stdout stays clean."""
    print(text, file=sys.stderr)


def print_json(value: Any) -> None:
    """One JSON object on stdout."""
    print(json.dumps(value, indent=1, sort_keys=True))


def parse_shapes(shapes: list[str]) -> dict[str, Shape]:
    """`name=1,128` options as {name: (1, 128)}; InputError for another form."""
    found: dict[str, Shape] = {}
    for text in shapes:
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


@app.command()
def devices(
    name: Annotated[str | None, typer.Argument(help="One device, with all its figures and sources.")] = None,
    kind: Annotated[Kind | None, typer.Option(help="Only devices of this kind.")] = None,
    as_json: Json = False,
) -> None:
    """The catalogue of devices, or one device with its sources."""
    from trine.devices import all_devices, load_device, show

    if name is not None:
        device = load_device(name)
        if as_json:
            print_json(show.as_json(device))
            return
    elif as_json:
        wanted = None if kind is None else kind.value
        print_json({"devices": [show.as_json(device) for device in all_devices(wanted)]})
        return
    from rich.console import Console

    console = Console()
    if name is not None:
        show.render_device(console, device)
    else:
        show.render_catalogue(console, None if kind is None else kind.value)


@app.command()
def check(
    source: Annotated[Path, typer.Argument(help="The model: .onnx or .pt2.")],
    device: Annotated[str, typer.Option(help="A device of the catalogue, or a .toml file.")],
    shape: ShapeOption = None,
    as_json: Json = False,
) -> None:
    """Will it lower, will it fit: every obstacle at once, without data."""
    from trine.routes import check as examine
    from trine.routes import served

    ok, text, report = examine(source, served(device), parse_shapes(shape or []))
    if as_json:
        print_json(report)
    else:
        print(text)
    if not ok:
        raise typer.Exit(1)


@app.command("compile")
def compile_(
    source: Annotated[Path, typer.Argument(help="The model: .onnx or .pt2.")],
    device: Annotated[str, typer.Option(help="A device of the catalogue, or a .toml file.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to make.")],
    data: Annotated[Path | None, typer.Option(help="Calibration examples, .npz.")] = None,
    shape: ShapeOption = None,
    requantize: RoundingOption = None,
    activation_type: ActivationOption = None,
    compiler: CompilerOption = None,
    implant: Implant = None,
    scheme: SchemeOption = None,
    steps: StepsOption = None,
    chips: ChipsOption = None,
    input_bits: InputBits = None,
    battery: Battery = "cr2032",
    rate: Rate = 1.0,
    examples: ExamplesOption = None,
    timings: Annotated[bool, typer.Option("--timings", help="Print how long it took, on stderr.")] = False,
    as_json: Json = False,
) -> None:
    """Compile a trained model for a device, prove it and cost it."""
    import time

    from trine.compilers.deploy import deploy
    from trine.compilers.target import Job
    from trine.routes import Choices, route, served

    began = time.perf_counter()
    record = served(device)
    choices = Choices(
        requantize,
        activation_type,
        compiler,
        implant,
        scheme,
        steps,
        chips,
        input_bits,
        examples,
        battery,
        rate,
    )
    target, options = route(record, choices)
    with progress_bar() as progress:
        deployment = deploy(
            Job(source, record, out, data, parse_shapes(shape or []), options, progress), target
        )
    if timings:
        say(f"compiled in {time.perf_counter() - began:.1f} s")
    present(deployment.record, as_json, out)


@app.command()
def simulate(
    out: Annotated[Path, typer.Argument(help="A deployment folder.")],
    data: Annotated[Path, typer.Option(help="Examples to run, .npz.")],
    examples: ExamplesOption = None,
    battery: Battery = "cr2032",
    rate: Rate = 1.0,
    implant: Implant = None,
    compiler: CompilerOption = None,
    as_json: Json = False,
) -> None:
    """Run a deployment on its emulated core or chip: answers, exact counts, latency, energy, accuracy."""
    from trine.compilers.deployment import check_hashes, open_deployment
    from trine.routes import Choices, served
    from trine.routes import simulate as run

    deployment = open_deployment(out)
    check_hashes(deployment)
    device = served(str(deployment.artifact("device")))
    choices = Choices(compiler=compiler, implant=implant, examples=examples, battery=battery, rate=rate)
    with progress_bar() as progress:
        result = run(deployment, device, data, choices, progress)
    present(result, as_json, out)


@app.command()
def verify(
    out: Annotated[Path, typer.Argument(help="A deployment folder.")],
    compiler: CompilerOption = None,
    as_json: Json = False,
) -> None:
    """Prove a deployment again: hashes, prints, parity on stored vectors, fit."""
    from trine.compilers.deployment import check_hashes, open_deployment
    from trine.routes import Choices, served
    from trine.routes import verify as prove

    deployment = open_deployment(out)
    check_hashes(deployment)
    device = served(str(deployment.artifact("device")))
    result = prove(deployment, device, Choices(compiler=compiler))
    if as_json:
        print_json(result)
        return
    from trine.presenting import verification_text

    print(verification_text(out, result))


@app.command()
def data(
    name: Annotated[str, typer.Argument(help="A known data set, for example mitbih.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for calib.npz and test.npz.")],
    as_json: Json = False,
) -> None:
    """Write a known data set as calib.npz and test.npz."""
    from trine.compilers import datasets

    with progress_bar() as progress:
        summary = datasets.write(name, out, progress)
    if as_json:
        print_json(summary.as_json())
        return
    print(f"{summary.name}: {summary.source}")
    for file in summary.files:
        counts = ", ".join(f"{name} {count:,}" for name, count in file.classes.items())
        print(f"  {out / file.path}: {file.examples:,} examples ({counts})")
    for note in summary.notes:
        say(f"note: {note}")


@app.command()
def demo(
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the deployments.")] = Path("demo"),
    as_json: Json = False,
) -> None:
    """The main job: the ECG example compiled for four devices, run, and shown in one table."""
    from trine.demo import run_demo

    with progress_bar() as progress:
        table = run_demo(out, progress)
    if as_json:
        print_json(table.as_json())
    else:
        table.show()


@app.command()
def doctor(as_json: Json = False) -> None:
    """What is installed: every optional part, its version, what it is for, how to get it."""
    from trine.doctor import examine, show

    parts = examine()
    if as_json:
        print_json({"parts": [part.as_json() for part in parts]})
    else:
        show(parts)


@lava.command("setup")
def lava_setup(
    python: Annotated[
        Path | None, typer.Option(help="An interpreter to build it on; Python 3.10 is best.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make lava-nc's side environment, the outside oracle of the spiking engine."""
    from trine.neuromorphic.backends import lava_environment

    made = lava_environment.setup(python, say)
    if as_json:
        print_json(made)
    else:
        print(f"lava-nc is ready: {lava_environment.folder()}")


@lava.command("doctor")
def lava_doctor(as_json: Json = False) -> None:
    """Whether lava-nc's side environment is there and answers."""
    from trine.neuromorphic.backends import lava_environment

    found = lava_environment.doctor()
    if as_json:
        print_json(found)
    else:
        print("\n".join(f"{key}: {value}" for key, value in found.items()))
    if not found["ok"]:
        raise typer.Exit(1)


def present(record: Any, as_json: bool, out: Path) -> None:
    """A deployment's record, as JSON or for reading."""
    if as_json:
        print_json(record)
        return
    from trine.presenting import show_deployment

    show_deployment(record, out)


def main() -> None:
    """Entry point: turns Trine's own errors into one message and an exit code."""
    signal.signal(
        signal.SIGTERM, lambda number, frame: sys.exit(143)
    )  # unwinds, so that nothing is left half-written
    try:
        app()
    except TrineError as error:
        say(f"trine: {error}")
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(0)
    except SystemExit as stop:
        if stop.code == 130:
            say("trine: interrupted; nothing was left half-written")
        raise
