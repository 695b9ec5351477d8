"""No job is lost, none is sent twice: whatever is killed, lost, delayed or refused."""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from pathlib import Path

import ledger_client
import numpy as np
import pytest

from trine.devices.errors import InputError
from trine.quantum import jobs
from trine.quantum.circuit import Angle, Circuit, Gate, gate
from trine.quantum.ledger import Ledger
from trine.quantum.polynomial import Polynomial
from trine.quantum.providers.local import LocalConnection
from trine.quantum.samples import Angles, Samples
from trine.quantum.work import Outcome, Qaoa, Work

KILLS = 200
BATCH = 25


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A rehearsal machine and a ledger of its own for each test."""
    monkeypatch.setenv("TRINE_REHEARSAL", str(tmp_path / "machine.sqlite"))
    monkeypatch.setenv("TRINE_LEDGER", str(tmp_path / "ledger.sqlite"))
    return tmp_path


def accepted(folder: Path) -> Counter[str]:
    """How often the machine accepted each key."""
    database = sqlite3.connect(folder / "machine.sqlite")
    return Counter(key for (key,) in database.execute("SELECT key FROM accepted"))


def test_two_hundred_kills(machine: Path) -> None:
    killed = batches = 0
    while killed < KILLS:
        path = machine / f"ledger{batches}.sqlite"
        provider = f"rehearsal:lost=0.3,queue=0.05,run=0.05,listing=0.03,delay={0.002 + batches * 1e-9}"
        killed += ledger_client.killed_clients(path, BATCH, provider, KILLS - killed, seed=batches)
        ledger = Ledger(path)
        rows = [ledger.prepare(ledger_client.work(k), provider, "none", f"job {k}") for k in range(BATCH)]
        done = jobs.wait(ledger, rows)
        assert [j.state for j in done] == ["done"] * BATCH
        assert len(ledger.jobs()) == BATCH
        for number, job in enumerate(done):
            expected = LocalConnection().run(ledger_client.work(number)).samples[0]
            assert ledger.outcome(job).samples[0].strings() == expected.strings()
        batches += 1
    sent = accepted(machine)
    assert len(sent) == BATCH * batches
    assert set(sent.values()) == {1}


def test_the_machine_does_take_a_key_twice(machine: Path) -> None:
    """So the count above means something."""
    connection = jobs.connect("rehearsal:lost=0")
    for _ in range(2):
        connection.send(ledger_client.work(0), "k")
    assert accepted(machine) == {"k": 2}


def test_two_clients_at_once(machine: Path) -> None:
    provider = "rehearsal:lost=0.2,delay=0.005"
    path = machine / "ledger.sqlite"
    threads = [threading.Thread(target=ledger_client.client, args=(path, 10, provider)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [j.state for j in Ledger(path).jobs()] == ["done"] * 10
    assert set(accepted(machine).values()) == {1}


def test_asking_twice_is_one_job(machine: Path) -> None:
    ledger = Ledger()
    first = ledger.prepare(ledger_client.work(1), "rehearsal", "none", "a", 0.5)
    assert ledger.prepare(ledger_client.work(1), "rehearsal", "none", "b", 0.7) == first
    assert ledger.prepare(ledger_client.work(1), "rehearsal", "none", "a", repeat=1).id != first.id
    assert ledger.prepare(ledger_client.work(1), "local", "none", "a").id != first.id


@pytest.mark.parametrize(
    ("weather", "state"),
    [("fail=1,lost=0", "failed"), ("expire=1,lost=0", "expired"), ("keep=0,queue=0,run=0,lost=0", "expired")],
)
def test_jobs_that_end_badly(machine: Path, weather: str, state: str) -> None:
    ledger = Ledger()
    job = ledger.prepare(ledger_client.work(2), f"rehearsal:{weather}", "none", "a")
    (job,) = jobs.wait(ledger, [job])
    assert job.state == state
    assert job.error is not None
    with pytest.raises(InputError, match="no results"):
        ledger.outcome(job)
    with pytest.raises(InputError, match=f"is {state} already"):
        jobs.cancel(ledger, job)
    assert [s for _, s, _ in ledger.history(job)] == ["prepared", "sending", "sent", state]


def test_cancel(machine: Path) -> None:
    ledger = Ledger()
    never = ledger.prepare(ledger_client.work(3), "rehearsal", "none", "a")
    assert jobs.cancel(ledger, never).state == "cancelled"
    assert accepted_none(machine)
    job = ledger.prepare(ledger_client.work(4), "rehearsal:lost=0,queue=60", "none", "a")
    job = jobs.send(ledger, job, jobs.connect(job.provider))
    assert jobs.cancel(ledger, job).state == "cancelled"
    assert jobs.connect(job.provider).state(str(job.remote)) == "cancelled"


def accepted_none(folder: Path) -> bool:
    """Whether nothing ever reached the machine."""
    return not (folder / "machine.sqlite").exists() or not accepted(folder)


def test_a_connection_that_stays_lost_leaves_the_job(machine: Path) -> None:
    ledger = Ledger()
    job = ledger.prepare(ledger_client.work(5), "rehearsal:lost=1", "none", "a")
    (job,) = jobs.wait(ledger, [job], limit_s=0)
    assert job.state == "sending"
    with sqlite3.connect(ledger.path) as database:  # the weather improves
        database.execute("UPDATE jobs SET provider = 'rehearsal:lost=0'")
    (job,) = jobs.wait(ledger, [ledger.job(job.id)])
    assert job.state == "done"
    assert max(accepted(machine).values()) == 1


def test_work_and_outcome_keep_every_bit() -> None:
    gates = (gate("h", 0), gate("rzz", 0, 2, angles=[0.1 + 0.2]), gate("u", 1, angles=[1e-17, 3.0, -2.0]))
    polynomial = Polynomial(3, {(0, 2): 1 / 3, (1,): -0.1})
    whole = Work(
        7,
        (Circuit(3, gates, 0.3, (2, 0)),),
        polynomial,
        Qaoa(polynomial, Angles((0.1,), (0.7,))),
        3,
        {"a": 1},
    )
    again = Work.from_json(whole.as_json())
    assert again == whole
    assert again.sha256() == whole.sha256()
    bits = np.random.default_rng(0).integers(0, 2, (50, 11), dtype=np.uint8)
    outcome = Outcome((Samples.of(bits),), {"m": "x"}, {"qpu_s": 0.25})
    read = Outcome.from_json(outcome.as_json())
    assert np.array_equal(read.samples[0].bits, outcome.samples[0].bits)
    assert np.array_equal(read.samples[0].counts, outcome.samples[0].counts)
    assert (read.metadata, read.usage) == (outcome.metadata, outcome.usage)


def test_bad_work() -> None:
    free = Circuit(1, (Gate("rx", (0,), (Angle(parameter="a"),)),))
    with pytest.raises(InputError, match=r"0 shots.*free angles: a"):
        Work(0, (free,))
    with pytest.raises(InputError, match="nothing to run"):
        Work(1)


def test_bad_ledgers(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database, but long enough to be read as one" * 40)
    with pytest.raises(InputError, match="cannot be used as ledger"):
        Ledger(tmp_path / "text")
    newer = tmp_path / "newer"
    sqlite3.connect(newer).execute("PRAGMA user_version=9")
    with pytest.raises(InputError, match="update Trine"):
        Ledger(newer)
    with pytest.raises(InputError, match="no job begins with 'zz'"):
        Ledger(tmp_path / "new").job("zz")


def test_a_changed_row_is_noticed(machine: Path) -> None:
    ledger = Ledger()
    job = ledger.prepare(ledger_client.work(6), "local", "none", "a")
    other = ledger.prepare(ledger_client.work(7), "local", "none", "a")
    ledger.database.execute(
        "UPDATE jobs SET work = (SELECT work FROM jobs WHERE id = ?) WHERE id = ?", (other.id, job.id)
    )
    with pytest.raises(InputError, match="changed since it was written"):
        ledger.work(job)


@pytest.mark.parametrize(
    ("text", "message"), [("lots=1", "did you mean lost"), ("lost=2", "0 to 1"), ("lost", "NAME=NUMBER")]
)
def test_bad_weather(machine: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        jobs.connect(f"rehearsal:{text}")
