"""Drive jobs of the ledger: send once, follow, fetch, cancel. Any process can go on where another one stopped."""

from __future__ import annotations

import time
from collections.abc import Sequence

from trine.compilers.target import Progress, silent
from trine.devices.errors import InputError
from trine.quantum.ledger import Job, Ledger
from trine.quantum.providers import Connection, ConnectionLost, JobFailed, provider_named

ATTEMPTS = 5  # lost connections in one call before the job is left for later
PAUSE_S = (0.05, 5.0)  # between two looks: first, at most


def connect(name: str) -> Connection:
    """Open a provider by name. Raises InputError for unknown names and missing credentials."""
    provider, argument = provider_named(name)
    return provider.open(argument)


def send(ledger: Ledger, job: Job, connection: Connection) -> Job:
    """Bring a job to `sent`, exactly once.

    A row found in `sending` is looked up by its key; only when the provider still has none of it `settle_s` after the
    last try does it go out again. Returns the job as it is then: `sending` where the connection stays lost.
    """
    taken = ledger.begin_sending(job)
    if taken is None:
        return ledger.job(job.id)
    fresh, since = taken
    for attempt in range(ATTEMPTS):
        try:
            remote = None if fresh else settled(connection, job.key, since)
            if remote is None:
                if not fresh:
                    ledger.sending_again(job)
                    since = time.time()
                fresh = False  # from here on nobody knows
                remote = connection.send(ledger.work(job), job.key)
            return ledger.move(job, ("sending",), "sent", "accepted", remote=remote)
        except ConnectionLost:
            time.sleep(min(PAUSE_S[0] * 2**attempt, PAUSE_S[1]))
        except JobFailed as error:
            return ledger.move(job, ("sending",), "failed", str(error))
        except InputError as error:
            ledger.release(job, f"not sent: {error}")
            raise
    return ledger.put_down(job)


def settled(connection: Connection, key: str, since: float) -> str | None:
    """The provider's id of a key, None once a request of `since` cannot turn up any more."""
    while True:
        remote = connection.find(key)
        left = since + connection.settle_s - time.time()
        if remote is not None or left <= 0:
            return remote
        time.sleep(min(left, 1.0))


def advance(ledger: Ledger, job: Job, connection: Connection) -> Job:
    """One step: send what is not sent, fetch what is done. Raises InputError as the provider does."""
    job = ledger.job(job.id)
    if job.state in ("prepared", "sending"):
        job = send(ledger, job, connection)
    if job.state != "sent" or job.remote is None:
        return job
    try:
        state = connection.state(job.remote)
        if state == "done":
            outcome = connection.fetch(job.remote, ledger.work(job))
            return ledger.move(job, ("sent",), "done", "results fetched", outcome=outcome)
        if state in ("failed", "cancelled", "expired"):
            return ledger.move(job, ("sent",), state, f"the provider says: {state}")
    except ConnectionLost:
        return job
    except JobFailed as error:
        return ledger.move(job, ("sent",), "failed", str(error))
    return job


def wait(
    ledger: Ledger, jobs: Sequence[Job], limit_s: float | None = None, progress: Progress = silent
) -> list[Job]:
    """Follow jobs until all are finished or the time is up. Returns them as they are then, in the same order."""
    connections = {name: connect(name) for name in {j.provider for j in jobs if not j.finished}}
    began, pause, now = time.monotonic(), PAUSE_S[0], list(jobs)
    while True:
        now = [j if j.finished else advance(ledger, j, connections[j.provider]) for j in now]
        done = sum(j.finished for j in now)
        progress("jobs", done, len(now))
        if done == len(now) or (limit_s is not None and time.monotonic() - began >= limit_s):
            return now
        time.sleep(pause)
        pause = min(pause * 1.5, PAUSE_S[1])


def cancel(ledger: Ledger, job: Job) -> Job:
    """Stop a job; one that was never sent is only marked. Raises InputError where it is finished already."""
    job = ledger.job(job.id)
    if job.finished:
        raise InputError(f"job {job.id} is {job.state} already")
    if job.state == "prepared":
        return ledger.move(job, ("prepared",), "cancelled", "cancelled before it was sent")
    connection = connect(job.provider)
    if job.state == "sending":
        job = send(ledger, job, connection)
    if job.remote is None:
        raise InputError(f"job {job.id}: the provider does not answer; try again later")
    try:
        connection.cancel(job.remote)
    except ConnectionLost:
        raise InputError(f"job {job.id}: the connection was lost while cancelling; try again") from None
    return ledger.move(job, ("sent",), "cancelled", "cancelled by the user")
