"""Commands that send work to machines, and the ledger of jobs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trine.devices.errors import InputError
from trine.options import Json
from trine.presenting import mitigated_line, print_json, progress_bar, say, show_samplers

if TYPE_CHECKING:
    from trine.quantum.ledger import Job

Wait = Annotated[bool, typer.Option("--wait", help="Follow to the end.")]
Limit = Annotated[float | None, typer.Option("--limit", help="With --wait: seconds at most.", min=0)]


def register(app: typer.Typer) -> None:
    """Add the commands `submit`, `jobs` and `providers`."""
    app.command("submit")(submit)
    app.command("jobs")(jobs)
    app.command("providers")(providers)


def providers(as_json: Json = False) -> None:
    """Who runs circuits and polynomials: simulators in this process, mocks, clouds."""
    from trine.quantum.providers import providers as catalogue

    rows = [
        {
            "name": p.name,
            "title": p.title,
            "runs": p.runs,
            "remote": p.remote,
            "argument": p.argument,
            "extra": p.extra,
        }
        for p in catalogue().values()
    ]
    if as_json:
        print_json({"providers": rows})
        return
    wide = max(len(str(row["name"])) for row in rows)
    for row in rows:
        after = f" ({row['name']}:X, X is {row['argument']})" if row["argument"] else ""
        print(f"{row['name']:{wide}}  {row['title']}{after}")


def submit(
    out: Annotated[Path, typer.Argument(help="A deployment folder of a quantum device.")],
    provider: Annotated[str, typer.Option(help="Who runs it: trine providers lists them.")],
    shots: Annotated[int | None, typer.Option(help="Samples; as compiled by default.", min=1)] = None,
    seed: Annotated[int | None, typer.Option(help="Of simulators.")] = None,
    max_cost: Annotated[
        float | None, typer.Option(help="USD at most; above it nothing is sent.", min=0)
    ] = None,
    repeat: Annotated[int, typer.Option(help="Another number runs the same work once more.", min=0)] = 0,
    mitigate: Annotated[
        str | None,
        typer.Option(help="readout, zne, or both as readout,zne; each takes more circuits, priced."),
    ] = None,
    wait: Wait = False,
    limit: Limit = None,
    as_json: Json = False,
) -> None:
    """Send a deployment's circuit to a provider; the job is in the ledger before anything is sent."""
    from trine.compilers.deployment import open_deployment
    from trine.devices import QuantumDevice, load_device
    from trine.quantum.ledger import Ledger
    from trine.quantum.mitigation import chosen
    from trine.quantum.submit import Request, results
    from trine.quantum.submit import submit as send

    deployment = open_deployment(out)
    device = load_device(str(deployment.artifact("device")))
    if not isinstance(device, QuantumDevice):
        raise InputError(
            f"{out}: compiled for {device.name}, a {device.kind} device; trine submit takes quantum ones"
        )
    ledger = Ledger()
    with progress_bar() as progress:
        job = send(
            deployment,
            device,
            Request(provider, shots, seed, max_cost, repeat, wait, limit, chosen(mitigate)),
            ledger,
            progress,
        )
        found = results(ledger, job)
    show(found, as_json)
    ended(job)


def jobs(
    job: Annotated[str | None, typer.Argument(help="An id, or how it begins; all jobs by default.")] = None,
    wait: Wait = False,
    limit: Limit = None,
    cancel: Annotated[bool, typer.Option("--cancel", help="Stop it.")] = False,
    as_json: Json = False,
) -> None:
    """The ledger: all jobs, or one with its results. --wait takes up what another process began."""
    from trine.quantum import jobs as driver
    from trine.quantum.ledger import FINAL, Ledger
    from trine.quantum.submit import follow, results

    ledger = Ledger()
    if job is None and cancel:
        raise InputError("--cancel needs the job: trine jobs ID --cancel")
    chosen = ledger.jobs() if job is None else [ledger.job(job)]
    if cancel:
        chosen = [driver.cancel(ledger, chosen[0])]
    elif wait:
        with progress_bar() as progress:
            follow(ledger, [j for j in chosen if j.state not in FINAL], limit, progress)
        chosen = [ledger.job(j.id) for j in chosen]
    if job is None:
        table(chosen, as_json)
        return
    show(results(ledger, chosen[0]), as_json)
    if wait:
        ended(chosen[0])


def ended(job: Job) -> None:
    """Exit code 1 for a job that failed, was cancelled or expired."""
    if job.state in ("failed", "cancelled", "expired"):
        raise typer.Exit(1)


def table(found: Sequence[Job], as_json: bool) -> None:
    """All jobs, oldest first."""
    if as_json:
        print_json({"jobs": [j.as_json() for j in found]})
        return
    if not found:
        say("no jobs yet: trine submit OUT --provider local")
    for j in found:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(j.created))
        price = "" if j.price_usd is None else f"  {j.price_usd:,.2f} USD"
        print(f"{j.id}  {j.state:9}  {j.provider:18}  {when}  {Path(j.name).name}{price}")


def show(found: Mapping[str, Any], as_json: bool) -> None:
    """One job."""
    if as_json:
        print_json(found)
        return
    from rich.console import Console

    print(
        f"job {found['id']}: {found['state']} at {found['provider']}"
        + (f" ({found['error']})" if found["error"] else "")
    )
    if "results" in found:
        show_samplers(Console(), found["results"])
        if "mitigated" in found:
            print(mitigated_line(found["mitigated"]))
    elif found["state"] not in ("failed", "cancelled", "expired"):
        print(f"follow it with: trine jobs {found['id']} --wait")
