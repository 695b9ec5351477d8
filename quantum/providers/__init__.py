"""Who runs work: one file each, exporting PROVIDER. The ledger (`trine.quantum.ledger`) drives all of them alike.

A name may carry an argument after a colon: `ibm-fake:torino`. Packages outside Trine add providers through the
entry-point group `trine.providers`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module, metadata
from pkgutil import iter_modules
from typing import Literal, Protocol

from trine.devices.errors import InputError, nearest
from trine.quantum.work import Outcome, Work

RemoteState = Literal["queued", "running", "done", "failed", "cancelled", "expired"]


class ConnectionLost(Exception):
    """Nobody knows whether the request arrived; the ledger looks the key up before it sends again."""


class JobFailed(Exception):
    """The provider says that the job failed, was cancelled or has expired; the text says why."""


class Connection(Protocol):
    """One provider, opened. Methods raise ConnectionLost, JobFailed, InputError (credentials, work that cannot run)."""

    settle_s: float  # how long after a request began its job may still turn up in `find`

    def obstacles(self, work: Work) -> list[str]:
        """Why this work cannot run here; empty where it can. Needs no network."""

    def send(self, work: Work, key: str) -> str:
        """Send once, tagged with the idempotency key; returns the provider's id."""

    def find(self, key: str) -> str | None:
        """The provider's id of a job sent under that key, None where there is none."""

    def state(self, remote: str) -> RemoteState:
        """Where the job is."""

    def fetch(self, remote: str, work: Work) -> Outcome:
        """The results in full."""

    def cancel(self, remote: str) -> None:
        """Ask to stop it."""


@dataclass(frozen=True)
class Provider:
    """A record of the catalogue. open(argument) -> Connection; credentials are looked up only then.

    runs: "circuit" or "polynomial" (annealers). remote: needs a network and perhaps money. argument: what may follow
    the colon. extra: the pip extra it needs.
    """

    name: str
    title: str
    runs: Literal["circuit", "polynomial"]
    open: Callable[[str], Connection]
    remote: bool = False
    argument: str = ""
    extra: str = "quantum"


@cache
def providers() -> Mapping[str, Provider]:
    """All providers by name: the files of this folder, then entry points."""
    found: dict[str, Provider] = {}
    for module in sorted(info.name for info in iter_modules(__path__)):
        made = getattr(import_module(f"{__name__}.{module}"), "PROVIDER", None)
        if isinstance(made, Provider):
            found[made.name] = made
    for entry in metadata.entry_points(group="trine.providers"):
        made = entry.load()
        found[made.name] = made
    return found


def provider_named(text: str) -> tuple[Provider, str]:
    """(provider, argument) of `name` or `name:argument`. Raises InputError."""
    name, _, argument = text.partition(":")
    if name not in providers():
        raise InputError(f"no provider is called {name!r}: {nearest(name, providers())}")
    provider = providers()[name]
    if argument and not provider.argument:
        raise InputError(f"{name} takes nothing after the colon, {argument!r} was given")
    return provider, argument


def state_vector_obstacles(work: Work, name: str, most: int) -> list[str]:
    """Why a state-vector simulator cannot run the work: no circuit, or too many qubits, with the memory they need."""
    if not work.circuits:
        return [f"{name} runs circuits; for a polynomial take dwave-local"]
    if work.qubits > most:
        need = 16 * 2**work.qubits / 2**30
        return [
            f"{work.qubits} qubits need {need:,.0f} GiB for a state vector, {name} goes to {most}; the subspace engine "
            "(trine simulate with --mixer xy) or aer with method=matrix_product_state may fit"
        ]
    return []


class Immediate:
    """Base of simulators that run in this process: sending does nothing, fetching computes, the same each time.

    A killed process loses nothing: the job is computed again from the ledger's copy of the work.
    """

    settle_s = 0.0

    def obstacles(self, work: Work) -> list[str]:
        """None by default."""
        return []

    def send(self, work: Work, key: str) -> str:
        """The key is the id."""
        return key

    def find(self, key: str) -> str | None:
        """Every key is there."""
        return key

    def state(self, remote: str) -> RemoteState:
        """Always ready to be computed."""
        return "done"

    def fetch(self, remote: str, work: Work) -> Outcome:
        """Compute."""
        return self.run(work)

    def cancel(self, remote: str) -> None:
        """Nothing runs between two calls."""

    def run(self, work: Work) -> Outcome:
        """Samples of each circuit, drawn with work.seed."""
        raise NotImplementedError
