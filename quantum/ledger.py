"""The job ledger: one SQLite row written before anything is sent, so that no job is lost and none is sent twice.

States: prepared -> sending -> sent -> done | failed | cancelled | expired. A row's key is the hash of what is sent, to
whom, and of the repetition asked for; the provider gets it as a tag. A process that dies while `sending` leaves the
row; whoever comes next asks the provider for the key first and sends only what never arrived.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4
from weakref import WeakValueDictionary

from trine.devices.errors import InputError
from trine.quantum.work import Outcome, Work

State = Literal["prepared", "sending", "sent", "done", "failed", "cancelled", "expired"]
FINAL = ("done", "failed", "cancelled", "expired")
VERSION = 1
TABLES = """
CREATE TABLE IF NOT EXISTS jobs (
  id TEXT PRIMARY KEY, key TEXT UNIQUE NOT NULL, provider TEXT NOT NULL, device TEXT NOT NULL, name TEXT NOT NULL,
  state TEXT NOT NULL, created REAL NOT NULL, updated REAL NOT NULL, work BLOB NOT NULL, work_sha256 TEXT NOT NULL,
  remote TEXT, outcome BLOB, error TEXT, price_usd REAL, owner TEXT, sending_since REAL
);
CREATE TABLE IF NOT EXISTS history (job TEXT NOT NULL, time REAL NOT NULL, state TEXT NOT NULL, note TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS by_state ON jobs (state);
"""
COLUMNS = "id, key, provider, device, name, state, created, updated, work_sha256, remote, error, price_usd"


@dataclass(frozen=True)
class Job:
    """A row, without work and outcome. created, updated: Unix time in s. price_usd: the estimate at submission."""

    id: str
    key: str
    provider: str
    device: str
    name: str
    state: State
    created: float
    updated: float
    work_sha256: str
    remote: str | None
    error: str | None
    price_usd: float | None

    @property
    def finished(self) -> bool:
        """Whether it will change no more."""
        return self.state in FINAL

    def as_json(self) -> dict[str, Any]:
        """The object that `trine jobs --json` prints."""
        return dict(self.__dict__)


def ledger_path() -> Path:
    """TRINE_LEDGER, or ledger.sqlite in the user's data folder."""
    if given := os.environ.get("TRINE_LEDGER"):
        return Path(given)
    from platformdirs import user_data_path

    return user_data_path("trine") / "ledger.sqlite"


def process_name() -> str:
    """This process as host:pid:start, so that a dead owner is told from a new process of the same number."""
    import socket

    return f"{socket.gethostname()}:{os.getpid()}:{started(os.getpid())}"


def started(pid: int) -> str:
    """When a process began, in ticks, "" where that cannot be told (no /proc) or it is gone."""
    try:
        return (
            Path(f"/proc/{pid}/stat")
            .read_text(encoding="ascii", errors="replace")
            .rpartition(")")[2]
            .split()[19]
        )
    except (OSError, IndexError):
        return ""


def alive(owner: str | None) -> bool:
    """Whether the client that holds a row may still be at work; those of other hosts are thought alive."""
    import socket

    if not owner:
        return False
    client, _, process = owner.partition("@")
    host, pid, start = process.split(":")
    if host != socket.gethostname():
        return True
    if process == process_name():
        return client in CLIENTS
    if start:
        return started(int(pid)) == start
    try:
        os.kill(int(pid), 0)
    except OSError:
        return False
    return True


CLIENTS: WeakValueDictionary[str, Ledger] = WeakValueDictionary()  # of this process, each with a name


class Ledger:
    """The jobs of one file. Every write is one transaction; readers never wait for writers (WAL)."""

    def __init__(self, path: Path | None = None) -> None:
        """Open or make the file. Raises InputError where that cannot be or it is of a newer Trine."""
        self.path = Path(path) if path is not None else ledger_path()
        client = uuid4().hex[:8]
        CLIENTS[client] = self
        self.owner = f"{client}@{process_name()}"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.database = sqlite3.connect(self.path, timeout=30, isolation_level=None)
            self.database.execute("PRAGMA journal_mode=WAL")
            self.database.execute("PRAGMA synchronous=FULL")
            version = self.database.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, VERSION):
                raise InputError(
                    f"{self.path}: ledger of version {version}, this Trine reads {VERSION}: update Trine"
                )
            if version == 0:
                self.database.executescript(f"BEGIN IMMEDIATE;{TABLES}PRAGMA user_version={VERSION};COMMIT;")
        except (OSError, sqlite3.DatabaseError) as error:
            raise InputError(f"{self.path}: cannot be used as ledger ({error}); set TRINE_LEDGER") from None

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, rolled back on any exception."""
        self.database.execute("BEGIN IMMEDIATE")
        try:
            yield self.database
        except BaseException:
            self.database.execute("ROLLBACK")
            raise
        self.database.execute("COMMIT")

    def prepare(
        self,
        work: Work,
        provider: str,
        device: str,
        name: str,
        price_usd: float | None = None,
        repeat: int = 0,
    ) -> Job:
        """The row of this work, new or there already: asking twice for the same gives the same job.

        repeat: another number asks for the same work once more.
        """
        digest = work.sha256()
        key = hashlib.sha256(f"{digest} {provider} {device} {repeat}".encode()).hexdigest()[:32]
        body, now = zlib.compress(work.text().encode()), time.time()
        with self.writing() as database:
            row = database.execute("SELECT id FROM jobs WHERE key = ?", (key,)).fetchone()
            if row is None:
                database.execute(
                    f"INSERT INTO jobs ({COLUMNS}, work) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
                    (
                        key[:12],
                        key,
                        provider,
                        device,
                        name,
                        "prepared",
                        now,
                        now,
                        digest,
                        None,
                        None,
                        price_usd,
                        body,
                    ),
                )
                self.note(key[:12], "prepared", "written before anything was sent")
        return self.job(key[:12])

    def note(self, job: str, state: str, text: str) -> None:
        """One line of history, inside a transaction of the caller."""
        self.database.execute("INSERT INTO history VALUES (?,?,?,?)", (job, time.time(), state, text))

    def job(self, name: str) -> Job:
        """By id or its unambiguous beginning. Raises InputError."""
        query = f"SELECT {COLUMNS} FROM jobs WHERE substr(id, 1, ?) = ? ORDER BY id LIMIT 2"
        rows = self.database.execute(query, (len(name), name)).fetchall() if name else []
        if len(rows) != 1:
            what = "several jobs begin" if rows else "no job begins"
            raise InputError(f"{what} with {name!r}: trine jobs lists them all")
        return Job(*rows[0])

    def jobs(self, *states: str) -> list[Job]:
        """All, or those in one of the states, oldest first."""
        where = f"WHERE state IN ({','.join('?' * len(states))})" if states else ""
        rows = self.database.execute(
            f"SELECT {COLUMNS} FROM jobs {where} ORDER BY created, id", states
        ).fetchall()
        return [Job(*row) for row in rows]

    def work(self, job: Job) -> Work:
        """What was, or is to be, sent. Raises InputError where the row no longer has its hash."""
        row = self.database.execute("SELECT work FROM jobs WHERE id = ?", (job.id,)).fetchone()
        work = Work.from_json(json.loads(zlib.decompress(row[0])))
        if work.sha256() != job.work_sha256:
            raise InputError(f"job {job.id}: its work was changed since it was written; submit it again")
        return work

    def outcome(self, job: Job) -> Outcome:
        """Results in full. Raises InputError where there are none."""
        row = self.database.execute("SELECT outcome FROM jobs WHERE id = ?", (job.id,)).fetchone()
        if row is None or row[0] is None:
            raise InputError(f"job {job.id} is {job.state}: it has no results; trine jobs {job.id} --wait")
        return Outcome.from_json(json.loads(zlib.decompress(row[0])))

    def history(self, job: Job) -> list[tuple[float, str, str]]:
        """(time, state, note), oldest first."""
        rows = self.database.execute(
            "SELECT time, state, note FROM history WHERE job = ? ORDER BY rowid", (job.id,)
        )
        return [(row[0], row[1], row[2]) for row in rows]

    def begin_sending(self, job: Job) -> tuple[bool, float] | None:
        """Take the row in hand. Returns (nobody ever tried, since when it has been tried), None where another living
        process is at it or it is sent."""
        now = time.time()
        with self.writing() as database:
            row = database.execute(
                "SELECT state, owner, sending_since FROM jobs WHERE id = ?", (job.id,)
            ).fetchone()
            state, owner, since = row
            if state not in ("prepared", "sending") or (
                state == "sending" and owner != self.owner and alive(owner)
            ):
                return None
            fresh = state == "prepared"
            began = now if fresh or since is None else float(since)
            database.execute(
                "UPDATE jobs SET state='sending', owner=?, sending_since=?, updated=? WHERE id=?",
                (self.owner, began, now, job.id),
            )
            self.note(job.id, "sending", "taken up" if fresh else "taken up again")
        return fresh, began

    def sending_again(self, job: Job) -> None:
        """The key was not found, so it goes out once more: the waiting time starts anew."""
        with self.writing() as database:
            database.execute("UPDATE jobs SET sending_since=? WHERE id=?", (time.time(), job.id))
            self.note(job.id, "sending", "sent again: the provider has no job of this key")

    def put_down(self, job: Job) -> Job:
        """The connection stays lost: whoever comes next may go on."""
        with self.writing() as database:
            database.execute("UPDATE jobs SET owner=NULL WHERE id=? AND owner=?", (job.id, self.owner))
        return self.job(job.id)

    def release(self, job: Job, note: str) -> None:
        """Nothing was sent: the row goes back to prepared."""
        self.move(job, ("sending",), "prepared", note)

    def move(
        self, job: Job, before: tuple[str, ...], state: State, note: str,
        remote: str | None = None, outcome: Outcome | None = None,
    ) -> Job:  # fmt: skip
        """Change a row that is in one of the states `before`; another process may have been first, then nothing."""
        body = (
            None
            if outcome is None
            else zlib.compress(json.dumps(outcome.as_json(), allow_nan=False).encode())
        )
        error = note if state in ("failed", "cancelled", "expired") else None
        with self.writing() as database:
            marks = ",".join("?" * len(before))
            changed = database.execute(
                "UPDATE jobs SET state=?, updated=?, remote=COALESCE(?, remote), outcome=COALESCE(?, outcome), "
                f"error=?, owner=NULL WHERE id=? AND state IN ({marks})",
                (state, time.time(), remote, body, error, job.id, *before),
            ).rowcount
            if changed:
                self.note(job.id, state, note)
        return self.job(job.id)

    def close(self) -> None:
        """Close the file."""
        self.database.close()
