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
from pathlib import Path, PurePosixPath
from typing import Any

from trine.compilers.report import Artifact
from trine.compilers.source import sha256
from trine.devices.errors import AnswerIsNo, InputError

SCHEMA = "trine.deployment/1"
FILE = "deployment.json"
KEYS = ("accuracy", "artifacts", "cost", "device", "digest", "fit", "missing", "parity", "passes", "source",
        "trine_version", "warnings")  # fmt: skip


@dataclass(frozen=True)
class Deployment:
    """A folder on disk and what its `deployment.json` says."""

    folder: Path
    record: Mapping[str, Any]

    def artifact(self, role: str) -> Path:
        """The file of a role. Raises InputError when the deployment has none."""
        for entry in self.record["artifacts"]:
            if entry["role"] == role:
                return self.folder / str(entry["path"])
        raise InputError(f"{self.folder}: no artifact of role {role}")

    def has(self, role: str) -> bool:
        """Whether there is a file of a role."""
        return any(entry["role"] == role for entry in self.record["artifacts"])


def digest(record: Mapping[str, Any]) -> str:
    """SHA-256 of a record without its own digest, keys sorted."""
    plain = {key: value for key, value in record.items() if key != "digest"}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def open_deployment(folder: Path) -> Deployment:
    """Read a deployment. Raises InputError where there is none or its `deployment.json` cannot be read."""
    folder = Path(folder)
    path = folder / FILE
    if not folder.is_dir():
        raise InputError(
            f"{folder}: no such folder; make one with trine compile SOURCE --device D -o {folder}"
        )
    if not path.is_file():
        raise InputError(f"{folder}: not a deployment (no {FILE} in it)")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: not valid JSON ({error}); compile the model again") from error
    except RecursionError:
        raise InputError(
            f"{path}: nested too deeply to be a record of Trine; compile the model again"
        ) from None
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        found = record.get("schema") if isinstance(record, dict) else type(record).__name__
        raise InputError(f"{path}: schema is {found!r}, this Trine reads {SCHEMA!r}; compile the model again")
    problems = [f"no {key}" for key in KEYS if key not in record] + unsafe_artifacts(
        record.get("artifacts", [])
    )
    if problems:
        raise InputError(f"{path}: {'; '.join(problems)}; compile the model again")
    return Deployment(folder, record)


def unsafe_artifacts(artifacts: Any) -> list[str]:
    """What is wrong with a list of artifacts that came from elsewhere; none may lie outside the folder."""
    if not isinstance(artifacts, list):
        return ["artifacts is not a list"]
    problems = []
    for i, entry in enumerate(artifacts):
        if not isinstance(entry, dict) or any(
            not isinstance(entry.get(k), str) for k in ("path", "sha256", "role")
        ):
            problems.append(f"artifact {i} lacks a path, a sha256 or a role")
            continue
        path = PurePosixPath(entry["path"])
        if (
            path.is_absolute()
            or ".." in path.parts
            or not path.parts
            or "\\" in entry["path"]
            or "\0" in entry["path"]
        ):
            problems.append(f"artifact {entry['path']!r} lies outside the folder")
    return problems


def check_hashes(deployment: Deployment) -> int:
    """Compare every file with its recorded hash. Returns how many; raises AnswerIsNo with all that differ."""
    record, problems = deployment.record, []
    if digest(record) != record.get("digest"):
        problems.append(f"{FILE}: changed since it was written")
    listed = {FILE}
    for entry in record["artifacts"]:
        listed.add(entry["path"])
        path = deployment.folder / entry["path"]
        if not path.is_file():
            problems.append(f"{entry['path']}: missing")
        elif not path.resolve().is_relative_to(deployment.folder.resolve()):
            problems.append(f"{entry['path']}: a link that leads out of the folder")
        elif sha256(path) != entry["sha256"]:
            problems.append(f"{entry['path']}: changed since it was written")
    problems += [
        f"{name}: not part of the deployment" for name in files_of(deployment.folder) if name not in listed
    ]
    if problems:
        raise AnswerIsNo(f"{deployment.folder} is not what was compiled:\n  " + "\n  ".join(problems))
    return len(record["artifacts"]) + 1


def files_of(folder: Path) -> list[str]:
    """All files below a folder, sorted, as paths relative to it; links are listed, not followed."""
    found = (p for p in folder.rglob("*") if p.is_symlink() or not p.is_dir())
    return sorted(p.relative_to(folder).as_posix() for p in found)


def refuse_target(out: Path) -> None:
    """Raise InputError unless `out` can become a deployment: absent, empty, or a deployment to replace.

    A deployment with other files among its own is not replaced, since those would be lost.
    """
    out = Path(out)
    if (out.exists() or out.is_symlink()) and not out.is_dir():
        raise InputError(f"{out}: a file is there; choose another output folder")
    if out.is_dir() and any(out.iterdir()):
        refuse_contents(out)
    parent = out.absolute().parent
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise InputError(f"{out}: cannot write in {parent}; choose another output folder")


def refuse_contents(out: Path) -> None:
    """Raise InputError unless a folder holds a deployment and nothing else."""
    advice = "choose another folder, or empty this one yourself"
    if not (out / FILE).is_file():
        raise InputError(f"{out}: exists and is not a deployment; {advice}")
    try:
        listed = {FILE, *(entry["path"] for entry in open_deployment(out).record["artifacts"])}
    except InputError as error:
        raise InputError(
            f"{out}: exists and is no deployment that can be replaced ({error}); {advice}"
        ) from error
    strangers = [name for name in files_of(out) if name not in listed]
    if strangers:
        raise InputError(f"{out}: holds {', '.join(strangers[:5])}, which no deployment put there; {advice}")


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A temporary folder beside `out` that takes its place when the block ends well, and else vanishes.

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
    """Rename the finished folder to `out`; an older one steps aside first and is restored on failure."""
    if not out.exists():
        place.rename(out)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".old", dir=out.absolute().parent))
    old = aside / "old"
    try:
        out.rename(old)
        place.rename(out)
    except BaseException:  # an interrupt between the two renames must not cost the old deployment either
        if old.exists() and not out.exists():
            old.rename(out)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def write_record(folder: Path, record: Mapping[str, Any], artifacts: Sequence[Artifact]) -> dict[str, Any]:
    """Hash the artifacts, complete the record with them and its digest, and write `deployment.json`."""
    listed = [{"path": a.path, "sha256": sha256(folder / a.path), "role": a.role} for a in artifacts]
    complete = {"schema": SCHEMA, **record, "artifacts": listed}
    complete["digest"] = digest(complete)
    (folder / FILE).write_text(json.dumps(complete, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return complete
