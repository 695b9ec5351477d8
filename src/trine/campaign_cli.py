"""The command `campaign`: many problems through one provider."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trine.devices.errors import InputError
from trine.options import Json
from trine.presenting import print_json, progress_bar, say

if TYPE_CHECKING:
    from trine.quantum.campaign import Row

SHOWN = 20


def register(app: typer.Typer) -> None:
    """Add the command `campaign`."""
    app.command("campaign")(campaign)


def campaign(
    source: Annotated[
        Path, typer.Argument(help="A folder of problem files, or a .jsonl of stated problems.")
    ],
    provider: Annotated[str, typer.Option(help="Who runs them: trine providers lists them.")] = "local",
    workers: Annotated[int, typer.Option(help="Processes on this machine.", min=1)] = 2,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler, instead of processes.")
    ] = None,
    shots: Annotated[int, typer.Option(help="Samples of each problem, and of each baseline.", min=1)] = 1000,
    layers: Annotated[int, typer.Option(help="Layers of the linear ramp.", min=1)] = 3,
    seed: Annotated[int, typer.Option(help="Of simulators and baselines.")] = 0,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Write a row a line, .jsonl.")] = None,
    as_json: Json = False,
) -> None:
    """Run many problems and rank them; what the ledger has already is not run again."""
    from trine.quantum.campaign import read_instances, run_campaign

    found = read_instances(source)
    with progress_bar() as progress:
        rows = run_campaign(found, provider, shots, layers, workers, scheduler, None, progress, seed)
    if out is not None:
        write(rows, out)
    if as_json:
        print_json({"rows": [r.as_json() for r in rows]})
    else:
        show(rows)
    if any(r.state != "done" for r in rows):
        raise typer.Exit(1)


def write(rows: Sequence[Row], out: Path) -> None:
    """A row a line, lowest cost first. Raises InputError."""
    text = "".join(json.dumps(r.as_json(), sort_keys=True) + "\n" for r in rows)
    part = out.with_name(out.name + ".part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(out)
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error})") from None
    say(f"{len(rows)} rows: {out}")


def show(rows: Sequence[Row]) -> None:
    """The best, how many beat random, and all that went wrong."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column, side in (("", "right"), ("name", "left"), ("cost", "right"), ("optimum", "right"), ("ratio", "right"),
                         ("verdict", "left")):  # fmt: skip
        table.add_column(column, justify="left" if side == "left" else "right")
    done = [r for r in rows if r.state == "done"]
    for place, r in enumerate(done[:SHOWN], 1):
        best, optimum, ratio = ("-" if v is None else f"{v:.6g}" for v in (r.best, r.optimum, r.ratio))
        table.add_row(str(place), escape(r.name), best, optimum, ratio, escape(r.verdict or ""))
    console = Console()
    console.print(table)
    if len(done) > SHOWN:
        console.print(f"and {len(done) - SHOWN:,} more; -o FILE.jsonl writes all")
    for r in rows:
        if r.state != "done":
            console.print(f"{escape(r.name)}: {r.state} ({escape(r.error or '')})")
