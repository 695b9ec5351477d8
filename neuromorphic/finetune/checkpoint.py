"""The state of a run in one file, replaced as a whole: a run that is killed at any moment goes on from the last epoch.

`fine_tuning.npz` holds arrays and a JSON head: what the run was asked for (`Identity`), and its history. It is read
without pickle.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile
from zlib import error as ZlibError

import numpy as np

from trine.compilers.graph import Array
from trine.devices.errors import InputError
from trine.neuromorphic.conversion.levels import LevelNet

SCHEMA: Final = "trine.fine_tuning/1"
NAME: Final = "fine_tuning.npz"


@dataclass(frozen=True)
class State:
    """history: one record an epoch, plain values; arrays: weights, best weights, optimiser, random generator."""

    history: list[dict[str, Any]]
    arrays: Mapping[str, Array]


@dataclass(frozen=True)
class Identity:
    """What makes two runs the same: options that matter, the data file, the converted network, torch's version."""

    options: str
    data: str
    network: str
    torch: str

    def differences(self, other: Identity) -> list[str]:
        """What differs, in words."""
        words = {
            "options": f"its options are {other.options}, not {self.options}",
            "data": "its training data are another file",
            "network": "it fine-tunes another network, or one converted with other options or calibration examples",
            "torch": f"it was made with torch {other.torch}, this is {self.torch}",
        }
        return [text for key, text in words.items() if getattr(self, key) != getattr(other, key)]


def save(folder: Path, identity: Identity, state: State) -> None:
    """Write the state beside its place, then rename. Raises InputError where the folder cannot be written."""
    head = json.dumps(
        {"schema": SCHEMA, "identity": asdict(identity), "history": state.history}, sort_keys=True
    )
    path, beside = folder / NAME, folder / f"{NAME}.{os.getpid()}.partial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            plain = {f"state/{k}": v for k, v in sorted(state.arrays.items())}
            np.savez(file, allow_pickle=False, head=np.frombuffer(head.encode(), np.uint8), **plain)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise InputError(f"checkpoint {path}: cannot be written ({error.strerror})") from None


def load(folder: Path, identity: Identity) -> State | None:
    """The state kept in a folder, or None. Raises InputError for a damaged file and for the state of another run."""
    path = folder / NAME
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            head: dict[str, Any] = json.loads(stored["head"].tobytes())
            kept = {k.removeprefix("state/"): stored[k] for k in stored.files if k != "head"}
        if head["schema"] != SCHEMA:
            raise InputError(f"checkpoint {path}: schema {head['schema']!r}, this version reads {SCHEMA!r}")
        found = Identity(**head["identity"])
        history = list(head["history"])
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile, ZlibError) as error:
        raise InputError(
            f"checkpoint {path}: damaged, or no checkpoint of fine-tuning ({str(error).splitlines()[0]}); remove it to "
            "begin anew"
        ) from None
    apart = identity.differences(found)
    if apart:
        raise InputError(
            f"checkpoint {path}: of another run: " + "; ".join(apart) + "; name another folder, or remove it"
        )
    return State(history, kept)


def digest(start: LevelNet, options: str) -> str:
    """SHA-256 of the network that training starts from, and of how it was converted."""
    total = sha256(options.encode())
    for layer in start.net.layers:
        total.update(f"{layer.name} {layer.role} {layer.shape} {start.scales.get(layer.name)}".encode())
        for array in (layer.bias, *(term.weight for term in layer.terms)):
            total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()
