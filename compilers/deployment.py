"""The folder of a deployment: written whole or not at all, and able to notice a changed byte.

`deployment.json` lists every other file with its SHA-256, and carries a digest of itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trine.compilers.report import Artifact
from trine.compilers.source import sha256
from trine.devices.errors import AnswerIsNo, InputError

SCHEMA = "trine.deployment/1"
FILE = "deployment.json"


@dataclass(frozen=True)
class Deployment:
    """A folder on disk and what its `deployment.json` says."""

    folder: Path
    record: Mapping[str, Any]

    def artifact(self, role: str) -> Path:
        """The file of a role. Raises InputError when the deployment has none."""
        for entry in self.record["artifacts"]:
            if entry["role"] == role:
                return self.folder / entry["path"]
        raise InputError(f"{self.folder}: no artifact of role {role}")

    def has(self, role: str) -> bool:
        """Whether there is a file of a role."""
        return any(entry["role"] == role for entry in self.record["artifacts"])


def digest(record: Mapping[str, Any]) -> str:
    """SHA-256 of a record without its own digest, keys sorted."""
    plain = {key: value for key, value in record.items() if key != "digest"}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def open_deployment(folder: Path) -> Deployment:
    """Read a deployment. Raises InputError where the folder is none, or its `deployment.json` cannot be read."""
    folder = Path(folder)
    path = folder / FILE
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; make one with trine compile SOURCE --device D -o {folder}")
    if not path.is_file():
        raise InputError(f"{folder}: not a deployment (no {FILE} in it)")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: not valid JSON ({error}); compile the model again") from error
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        found = record.get("schema") if isinstance(record, dict) else type(record).__name__
        raise InputError(f"{path}: schema is {found!r}, this Trine reads {SCHEMA!r}; compile the model again")
    return Deployment(folder, record)


def check_hashes(deployment: Deployment) -> int:
    """Compare every file with its recorded hash. Returns how many; raises AnswerIsNo naming all that differ."""
    record, problems = deployment.record, []
    if digest(record) != record.get("digest"):
        problems.append(f"{FILE}: changed since it was written")
    listed = {FILE}
    for entry in record["artifacts"]:
        listed.add(entry["path"])
        path = deployment.folder / entry["path"]
        if not path.is_file():
            problems.append(f"{entry['path']}: missing")
        elif sha256(path) != entry["sha256"]:
            problems.append(f"{entry['path']}: changed since it was written")
    found = (p for p in deployment.folder.rglob("*") if p.is_file())
    strangers = sorted(p.relative_to(deployment.folder).as_posix() for p in found)
    problems += [f"{name}: not part of the deployment" for name in strangers if name not in listed]
    if problems:
        raise AnswerIsNo(f"{deployment.folder} is not what was compiled:\n  " + "\n  ".join(problems))
    return len(record["artifacts"]) + 1


def refuse_target(out: Path) -> None:
    """Raise InputError unless `out` can become a deployment: absent, empty, or a deployment to replace."""
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: a file is there; choose another output folder")
    if out.is_dir() and any(out.iterdir()) and not (out / FILE).is_file():
        raise InputError(f"{out}: exists and is not a deployment; choose another folder, or empty this one yourself")
    parent = out.absolute().parent
    while not parent.exists():
        parent = parent.parent
    if not os.access(parent, os.W_OK):
        raise InputError(f"{out}: cannot write in {parent}")


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A temporary folder beside `out` that takes its place when the block ends well, and vanishes when it does not.

    Raises InputError for a full disk or a folder that cannot be written.
    """
    out = Path(out)
    refuse_target(out)
    made_parents = [p for p in (out.absolute().parent, *out.absolute().parent.parents) if not p.exists()]
    place: Path | None = None
    try:
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".part", dir=out.absolute().parent))
        yield place
        os.chmod(place, 0o755)
        swap_in(place, out)
    except BaseException as error:
        if place is not None:
            shutil.rmtree(place, ignore_errors=True)
        for parent in made_parents:
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
            raise InputError(f"{out}: could not be written ({reason}); nothing was left behind") from error
        raise


def swap_in(place: Path, out: Path) -> None:
    """Rename the finished folder to `out`; an older deployment steps aside first and is restored on failure."""
    if not out.exists():
        place.rename(out)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".old", dir=out.absolute().parent))
    out.rename(old / "old")
    try:
        place.rename(out)
    except OSError:
        (old / "old").rename(out)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def write_record(folder: Path, record: Mapping[str, Any], artifacts: Sequence[Artifact]) -> dict[str, Any]:
    """Hash the artifacts, complete the record with them and its digest, and write `deployment.json`."""
    listed = [{"path": a.path, "sha256": sha256(folder / a.path), "role": a.role} for a in artifacts]
    complete = {"schema": SCHEMA, **record, "artifacts": listed}
    complete["digest"] = digest(complete)
    (folder / FILE).write_text(json.dumps(complete, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return complete
