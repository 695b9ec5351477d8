"""A client of the ledger that tests kill: submits jobs to the rehearsal machine and follows them."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

from trine.quantum import jobs
from trine.quantum.circuit import Circuit, gate
from trine.quantum.ledger import Ledger
from trine.quantum.work import Work


def work(number: int) -> Work:
    """A small circuit that differs from job to job."""
    gates = (gate("ry", 0, angles=[0.1 + 0.01 * number]), gate("cx", 0, 1))
    return Work(20, (Circuit(2, gates),), seed=number)


def client(path: Path, count: int, provider: str) -> None:
    """Submit `count` jobs and follow all of them to their end."""
    ledger = Ledger(path)
    rows = [ledger.prepare(work(k), provider, "none", f"job {k}") for k in range(count)]
    jobs.wait(ledger, rows)


def killed_clients(path: Path, count: int, provider: str, kills: int, seed: int) -> int:
    """Run the client again and again, each time SIGKILLed after a random time. Returns how many were killed."""
    chance, killed = random.Random(seed), 0
    while killed < kills:
        child = os.fork()
        if child == 0:
            try:
                client(path, count, provider)
            finally:
                os._exit(0)
        time.sleep(chance.uniform(0.002, 0.06))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            return killed  # all jobs are done: the caller begins a new batch
        killed += 1
    return killed
