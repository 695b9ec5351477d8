"""The command line. Exit codes: 0 done, 1 the work was done and the answer is no, 2 bad input."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from trine import campaign_cli, jobs_cli, molecule_cli, quantum_cli, spiking_cli
from trine.devices.errors import TrineError
from trine.options import (
    Choices,
    Deployed,
    DeviceName,
    Json,
    Kind,
    Shapes,
    Source,
    parse_shapes,
    takes_choices,
)
from trine.presenting import present, print_json, progress_bar, say

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Carries trained medical models onto hardware that is not a GPU, and proves that they arrived whole.",
)
app.add_typer(spiking_cli.app)
quantum_cli.register(app)
jobs_cli.register(app)
molecule_cli.register(app)
campaign_cli.register(app)


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
def check(source: Source, device: DeviceName, shape: Shapes = None, as_json: Json = False) -> None:
    """Will it lower, will it fit: every obstacle at once, without data."""
    from trine.routes import check as examine
    from trine.routes import served

    ok, text, report = examine(source, served(device), parse_shapes(shape))
    if as_json:
        print_json(report)
    else:
        print(text)
    if not ok:
        raise typer.Exit(1)


@app.command("compile")
@takes_choices("compile")
def compile_(
    source: Source,
    device: DeviceName,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to make.")],
    choices: Choices,
    data: Annotated[Path | None, typer.Option(help="Calibration examples, .npz.")] = None,
    shape: Shapes = None,
    timings: Annotated[bool, typer.Option("--timings", help="Print how long it took, on stderr.")] = False,
    as_json: Json = False,
) -> None:
    """Compile a trained model for a device, prove it and cost it."""
    import time

    from trine.routes import compile_source, served

    began = time.perf_counter()
    with progress_bar() as progress:
        record = compile_source(source, served(device), out, data, parse_shapes(shape), choices, progress)
    if timings:
        say(f"compiled in {time.perf_counter() - began:.1f} s")
    present(record, as_json, out)


@app.command()
@takes_choices("simulate")
def simulate(
    out: Deployed,
    choices: Choices,
    data: Annotated[Path | None, typer.Option(help="Examples to run, .npz.")] = None,
    as_json: Json = False,
) -> None:
    """Run a deployment on its emulated core, chip or machine: answers, exact counts, latency, energy, accuracy."""
    from trine.routes import opened
    from trine.routes import simulate as run

    deployment, device = opened(out)
    with progress_bar() as progress:
        result = run(deployment, device, data, choices, progress)
    present(result, as_json, out)


@app.command()
@takes_choices("verify")
def verify(out: Deployed, choices: Choices, as_json: Json = False) -> None:
    """Prove a deployment again: hashes, prints, parity on stored vectors, fit."""
    from trine.presenting import verification_text
    from trine.routes import opened
    from trine.routes import verify as prove

    result = prove(*opened(out), choices)
    if as_json:
        print_json(result)
    else:
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
