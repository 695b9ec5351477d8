"""`rehearsal`: a machine on disk that behaves badly on purpose: queues, delays, fails, expires, loses connections.

Its server is one SQLite file (TRINE_REHEARSAL, or beside the ledger), so that a client may be killed at any moment
while the "machine" keeps what it has accepted. It takes the same key twice without a word: a client that sends twice
is found out. The argument after the colon sets what goes wrong, as in
`rehearsal:lost=0.2,fail=0.1,queue=0.05`; fates are drawn from the key, so a run repeats.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import time
import zlib
from dataclasses import dataclass, fields
from pathlib import Path

from trine.devices.errors import InputError, nearest
from trine.quantum.ledger import ledger_path
from trine.quantum.providers import ConnectionLost, JobFailed, Provider, RemoteState
from trine.quantum.providers.local import LocalConnection
from trine.quantum.work import Outcome, Work

TABLE = """
CREATE TABLE IF NOT EXISTS accepted (
  remote INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, work BLOB NOT NULL, received REAL NOT NULL,
  cancelled INTEGER NOT NULL DEFAULT 0
)
"""


@dataclass(frozen=True)
class Weather:
    """What goes wrong. lost, fail, expire: shares of requests and jobs, 0 to 1. queue, run, listing, keep, delay: s.

    lost: half of the lost requests never arrive, half lose their answer. listing: how long a new job stays out of the
    list. keep: how long results are held. delay: how long a request takes.
    """

    lost: float = 0.2
    fail: float = 0.0
    expire: float = 0.0
    queue: float = 0.02
    run: float = 0.02
    listing: float = 0.02
    keep: float = 86400.0
    delay: float = 0.0
    price: float = 0.0


def weather(text: str) -> Weather:
    """From `lost=0.2,fail=0.1`. Raises InputError naming every mistake."""
    known, given, problems = [f.name for f in fields(Weather)], {}, []
    for part in filter(None, text.split(",")):
        name, _, value = part.partition("=")
        try:
            given[name] = float(value)
        except ValueError:
            problems.append(f"{part!r}: give NAME=NUMBER")
            continue
        if name not in known:
            problems.append(f"{name} is unknown, {nearest(name, known)}")
        elif given[name] < 0 or (name in ("lost", "fail", "expire") and given[name] > 1):
            problems.append(
                f"{name} is {value}: give {'0 to 1' if name in known[:3] else 'a time from 0 on'}"
            )
    if problems:
        raise InputError("rehearsal: " + "; ".join(problems))
    return Weather(**given)


def chance(*parts: object) -> float:
    """A number in [0, 1) from a hash."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8]) / 2.0**64


class RehearsalConnection:
    """One client of the machine on disk."""

    def __init__(self, argument: str, path: Path | None = None) -> None:
        self.weather = weather(argument)
        self.settle_s = self.weather.listing + self.weather.delay + 0.1
        given = os.environ.get("TRINE_REHEARSAL")
        self.path = path or (Path(given) if given else ledger_path().with_name("rehearsal.sqlite"))
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.server = sqlite3.connect(self.path, timeout=30, isolation_level=None)
            self.server.execute("PRAGMA journal_mode=WAL")
            self.server.execute(TABLE)
        except (OSError, sqlite3.DatabaseError) as error:
            raise InputError(f"{self.path}: the rehearsal's machine cannot be kept there ({error})") from None

    def lose(self, what: str, key: str) -> float:
        """Wait the delay; below `lost` the request is lost, below lost/2 before it arrived. By chance of the clock."""
        time.sleep(self.weather.delay)
        return chance(what, key, time.time_ns())

    def obstacles(self, work: Work) -> list[str]:
        """As the local engine's."""
        return LocalConnection().obstacles(work)

    def send(self, work: Work, key: str) -> str:
        """Accept, and perhaps lose the answer."""
        luck = self.lose("send", key)
        if luck < self.weather.lost / 2:
            raise ConnectionLost("the request never arrived")
        body = zlib.compress(work.text().encode())
        self.server.execute(
            "INSERT INTO accepted (key, work, received) VALUES (?,?,?)", (key, body, time.time())
        )
        if luck < self.weather.lost:
            raise ConnectionLost("the answer was lost")
        return str(self.server.execute("SELECT last_insert_rowid()").fetchone()[0])

    def find(self, key: str) -> str | None:
        """From the list, which is behind by `listing`."""
        if self.lose("find", key) < self.weather.lost:
            raise ConnectionLost("no answer")
        row = self.server.execute(
            "SELECT remote FROM accepted WHERE key = ? AND received <= ? ORDER BY remote LIMIT 1",
            (key, time.time() - self.weather.listing),
        ).fetchone()
        return None if row is None else str(row[0])

    def row(self, remote: str) -> tuple[str, bytes, float, int]:
        """(key, work, received, cancelled). Raises JobFailed for an unknown id."""
        row = self.server.execute(
            "SELECT key, work, received, cancelled FROM accepted WHERE remote = ?", (int(remote),)
        ).fetchone()
        if row is None:
            raise JobFailed(f"the machine knows no job {remote}")
        return row[0], row[1], row[2], row[3]

    def state(self, remote: str) -> RemoteState:
        """By the time since it was received, and its fate."""
        key, _, received, cancelled = self.row(remote)
        if self.lose("state", key) < self.weather.lost:
            raise ConnectionLost("no answer")
        age = time.time() - received
        if cancelled:
            return "cancelled"
        if age < self.weather.queue:
            return "queued"
        if age < self.weather.queue + self.weather.run:
            return "running"
        if chance("fail", key) < self.weather.fail:
            return "failed"
        gone = age > self.weather.queue + self.weather.run + self.weather.keep
        return "expired" if gone or chance("expire", key) < self.weather.expire else "done"

    def fetch(self, remote: str, work: Work) -> Outcome:
        """What the local engine makes of the work that was accepted."""
        key, body, _, _ = self.row(remote)
        if self.lose("fetch", key) < self.weather.lost:
            raise ConnectionLost("no answer")
        return LocalConnection().run(Work.from_json(json.loads(zlib.decompress(body))))

    def cancel(self, remote: str) -> None:
        """Mark it."""
        self.server.execute("UPDATE accepted SET cancelled = 1 WHERE remote = ?", (int(remote),))


PROVIDER = Provider(
    "rehearsal", "a machine on disk that queues, fails, expires and loses connections on purpose", "circuit",
    RehearsalConnection, argument="what goes wrong, as lost=0.2,fail=0.1,queue=0.05",
)  # fmt: skip
