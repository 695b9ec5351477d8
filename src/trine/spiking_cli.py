"""Commands of the neuromorphic pillar alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trine.options import Json
from trine.presenting import print_json, say

app = typer.Typer()
lava = typer.Typer(no_args_is_help=True, help="lava-nc's side environment.")
app.add_typer(lava, name="lava")


@app.command()
def nir(
    source: Annotated[
        Path, typer.Argument(help="A deployment folder, or a .nir file to read and write again.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="The .nir file to write.")],
    allow_lossy: Annotated[
        bool, typer.Option("--allow-lossy", help="Write it even where NIR cannot hold all of the net.")
    ] = False,
    dt: Annotated[float, typer.Option(help="Seconds a step of a .nir file.")] = 1e-4,
    as_json: Json = False,
) -> None:
    """Write a deployment's spiking net as a NIR file; refused where something would be lost, unless allowed."""
    from trine.spiking_routes import export_nir

    found = export_nir(source, out, allow_lossy, dt)
    if as_json:
        print_json(found)
        return
    print(f"{out}: {found['neurons']:,} neurons")
    for lost in found["lost"]:
        print(f"  not in it: {lost}")
    if found["exact"]:
        print(f"  the exact net lies beside it: {found['exact']}")


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
