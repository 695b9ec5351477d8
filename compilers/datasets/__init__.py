"""Known data sets as `calib.npz` and `test.npz`: one file here, or one `trine.datasets` entry point, each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trine.devices.errors import InputError, nearest

if __name__ != "trine.compilers.datasets":
    raise ImportError(
        "this folder is part of Trine: install it (make .venv) and import trine.compilers.datasets"
    )

ENTRY_POINTS = "trine.datasets"

# Told what is being done, how much is done and how much there is, in the same unit.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Written:
    """One file written: number of examples, and of each class, by name."""

    path: str
    examples: int
    classes: dict[str, int]


@dataclass(frozen=True)
class Summary:
    """What `write` left on disk. `synthetic` is true when no recording was at hand; `notes` say why."""

    name: str
    source: str
    synthetic: bool
    files: tuple[Written, ...]
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class DataSet:
    """A known data set. `write(out, progress)` fills the existing folder `out`; it says what it wrote."""

    name: str
    title: str
    licence: str
    reference: str
    write: Callable[[Path, Progress], Summary]


def known() -> dict[str, DataSet]:
    """Every data set by name: the `DATASET` of each module here, then those of installed entry points.

    Raises InputError for an entry point that is no data set or takes a name already in use.
    """
    import importlib
    import pkgutil
    from importlib.metadata import entry_points

    found: dict[str, DataSet] = {}
    for module in sorted(info.name for info in pkgutil.iter_modules(__path__)):
        record = getattr(importlib.import_module(f"{__name__}.{module}"), "DATASET", None)
        if isinstance(record, DataSet):
            found[record.name] = record
    for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name):
        record = point.load()
        if not isinstance(record, DataSet):
            raise InputError(
                f"entry point {ENTRY_POINTS}:{point.name} ({point.value}) is no trine DataSet record"
            )
        if record.name in found:
            raise InputError(
                f"entry point {point.value} names its data set {record.name}, which exists already"
            )
        found[record.name] = record
    return found


def write(name: str, out: Path, progress: Progress | None = None) -> Summary:
    """Write `calib.npz` and `test.npz` of data set `name` into the folder `out`, made if need be.

    Raises InputError for an unknown name, a folder that cannot be written and data that fails its checksum;
    MissingExtra when the way that is left needs an optional package.
    """
    sets = known()
    if name not in sets:
        raise InputError(f"no data set is called {name}: {nearest(name, sets)}")
    try:
        out.mkdir(parents=True, exist_ok=True)
        return sets[name].write(out, progress or (lambda what, done, whole: None))
    except OSError as error:
        raise InputError(f"cannot write data set {name} to {out}: {error.strerror or error}") from error
