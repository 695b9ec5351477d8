"""`run_campaign`: one row of the ledger for each problem, written first; Dask's workers compute, this process records.

Only this process writes to the ledger. A worker that dies takes nothing with it: Dask gives its tasks to another one,
and everything is seeded, so the results are the same. A campaign that was stopped goes on where it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from trine.compilers.target import Progress, silent
from trine.devices.errors import InputError, MissingExtra
from trine.quantum import jobs
from trine.quantum.campaign.instances import Named
from trine.quantum.campaign.judging import compute, judge, work_for
from trine.quantum.ledger import Job, Ledger
from trine.quantum.providers import Immediate, provider_named
from trine.quantum.work import Outcome

OPEN = ("prepared", "sending", "sent")
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Row:
    """One problem's line. best, mean, optimum: in the problem's unit, of feasible samples; ratio: mean / optimum.

    state: of the job, or "refused" where the provider cannot run it. chance: share of samples at the optimum.
    """

    name: str
    problem: str
    job: str | None
    state: str
    qubits: int | None = None
    best: float | None = None
    mean: float | None = None
    feasible: float | None = None
    optimum: float | None = None
    ratio: float | None = None
    chance: float | None = None
    verdict: str | None = None
    answer: Any = None
    error: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The line of a results file."""
        return asdict(self)


@dataclass(frozen=True)
class Asked:
    """A problem with its job; None and a reason where the provider cannot run it."""

    named: Named
    job: Job | None
    reason: str | None = None


def run_campaign(
    problems: Sequence[Named], provider: str = "local", shots: int = 1000, layers: int = 3, workers: int = 2,
    scheduler: str | None = None, ledger: Ledger | None = None, progress: Progress = silent, seed: int = 0,
) -> list[Row]:  # fmt: skip
    """Run every problem that has no result yet. Returns all rows, lowest cost first; those without one at the end.

    workers: local processes of one thread each; scheduler: address of a Dask cluster in their place, whose workers have
    Trine installed. Jobs of providers elsewhere are sent and followed by this process, and only judged by workers.
    Raises InputError for unknown providers, missing credentials, a scheduler that does not answer; MissingExtra.
    """
    if workers < 1:
        raise InputError(f"{workers} workers: give at least 1")
    record, _ = provider_named(provider)
    connection = jobs.connect(provider)
    book = ledger or Ledger()
    asked = []
    for number, named in enumerate(problems):
        work = work_for(named.stated, record.runs, shots, layers, seed)
        obstacles = connection.obstacles(work)
        job = None if obstacles else book.prepare(work, provider, "none", named.name)
        asked.append(Asked(named, job, "; ".join(obstacles) or None))
        progress("preparing", number + 1, len(problems))
    waiting = {a.job.id: a for a in asked if a.job is not None and a.job.state in OPEN}
    if isinstance(connection, Immediate):
        if waiting:
            with dask_client(workers, scheduler) as client:
                spread(client, book, waiting, progress)
        rows = [finished(book, a) for a in asked]
    else:
        jobs.wait(book, [a.job for a in waiting.values() if a.job is not None], None, progress)
        with dask_client(workers, scheduler) as client:
            rows = judge_all(client, book, asked, progress)
    return sorted(rows, key=lambda r: (r.best is None, r.best or 0.0, r.name))


@contextmanager
def dask_client(workers: int, scheduler: str | None) -> Iterator[Any]:
    """A Dask client: of local processes on the loopback, or of the scheduler at an address."""
    try:
        from distributed import Client
    except ImportError:
        raise MissingExtra("distributed", "campaign", "campaigns") from None
    if scheduler is not None:
        try:
            client = Client(scheduler, timeout=10)
        except (OSError, TimeoutError, ValueError) as error:
            raise InputError(f"{scheduler}: no Dask scheduler answers there ({error})") from None
        with client:
            yield client
        return
    with local_cluster(workers) as cluster, Client(cluster) as client:
        yield client


def local_cluster(workers: int) -> Any:
    """Processes of one thread on this machine; scheduler and pages listen on the loopback alone."""
    from distributed import LocalCluster

    return LocalCluster(
        n_workers=workers, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address="127.0.0.1:0",
        worker_dashboard_address="127.0.0.1:0", env=ONE_THREAD, silence_logs=50,
    )  # fmt: skip


def spread(client: Any, ledger: Ledger, waiting: dict[str, Asked], progress: Progress) -> None:
    """Compute all waiting jobs; each result is in the ledger as soon as it is here."""
    from distributed import KilledWorker, as_completed

    futures = {}
    for name, a in waiting.items():
        assert a.job is not None
        future = client.submit(
            compute, a.named.stated.as_json(), ledger.work(a.job).as_json(), a.job.provider, key=f"trine-{a.job.key}",
            pure=False,
        )  # fmt: skip
        futures[future] = name
    for done, future in enumerate(as_completed(list(futures)), 1):
        job = waiting[futures[future]].job
        assert job is not None
        try:
            found = future.result()
        except KilledWorker:
            found = None  # its workers died again and again: the row waits for the next run
        if found is not None and "abort" in found:
            raise InputError(found["abort"])
        if found is not None and "error" in found:
            ledger.move(job, OPEN, "failed", found["error"])
        elif found is not None:
            outcome = Outcome.from_json(found["outcome"])
            ledger.move(job, OPEN, "done", "computed by a campaign", remote=job.key, outcome=outcome)
        future.release()
        progress("campaign", done, len(futures))


def finished(ledger: Ledger, asked: Asked) -> Row:
    """A row out of the ledger."""
    if asked.job is None:
        return Row(asked.named.name, asked.named.stated.problem.name, None, "refused", error=asked.reason)
    job = ledger.job(asked.job.id)
    kept = ledger.outcome(job).metadata.get("campaign", {}) if job.state == "done" else {}
    error = job.error if job.finished else "its workers died; run the campaign again"
    return Row(asked.named.name, asked.named.stated.problem.name, job.id, job.state, error=error, **kept)


def judge_all(client: Any, ledger: Ledger, asked: Sequence[Asked], progress: Progress) -> list[Row]:
    """Rows of results from machines elsewhere."""
    now = [None if a.job is None else ledger.job(a.job.id) for a in asked]
    futures = [
        client.submit(
            judge,
            a.named.stated.as_json(),
            ledger.work(job).as_json(),
            ledger.outcome(job).as_json(),
            pure=False,
        )
        if job is not None and job.state == "done"
        else None
        for a, job in zip(asked, now, strict=True)
    ]
    rows = []
    for number, (a, job, future) in enumerate(zip(asked, now, futures, strict=True)):
        if job is None or future is None:
            rows.append(finished(ledger, a))
        else:
            rows.append(Row(a.named.name, a.named.stated.problem.name, job.id, job.state, **future.result()))
        progress("judging", number + 1, len(asked))
    return rows
