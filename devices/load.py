"""The catalogue: which devices there are, by name, and how to get one from a name or a file of the user."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from trine.devices.errors import InputError, nearest
from trine.devices.parse import parse_device
from trine.devices.records import Device
from trine.devices.schema import KINDS

ENTRY_POINT_GROUP = "trine.devices"
"""An outside package offers devices by an entry point of this group: a path (text, `pathlib.Path`, or a
function returning one) to a `.toml` file or to a folder of them."""


def load_device(name_or_path: str) -> Device:
    """The device of a catalogue name, or of a path to a `.toml` file.

    Raises `InputError` for an unknown name (nearest names offered), a path that is not there, and every
    problem of a file at once.
    """
    if _looks_like_path(name_or_path):
        return _load_path(name_or_path)
    path = _built_in().get(name_or_path) or _outside().get(name_or_path)
    if path is None:
        raise InputError(_unknown(name_or_path))
    return _cached(path)


def device_names(kind: str | None = None) -> list[str]:
    """The names of the catalogue by kind and name; `kind`: edge, neuromorphic, quantum, or None for all."""
    return [device.name for device in all_devices(kind)]


def all_devices(kind: str | None = None) -> list[Device]:
    """Every device of the catalogue and of outside packages, sorted by kind and name."""
    if kind is not None and kind not in KINDS:
        raise InputError(f"unknown kind of device {kind!r}; {nearest(kind, KINDS)}")
    devices = [_cached(path) for path in {**_outside(), **_built_in()}.values()]
    wanted = [device for device in devices if kind in (None, device.kind)]
    return sorted(wanted, key=lambda device: (KINDS.index(device.kind), device.name))


def _looks_like_path(text: str) -> bool:
    return text.endswith(".toml") or "/" in text or "\\" in text or text in ("", ".", "..")


def _load_path(text: str) -> Device:
    if not text:
        raise InputError("no device given; `trine devices` lists them")
    path = Path(text).expanduser()
    if not path.exists():
        hint = ""
        if path.stem in _built_in():
            hint = f"; did you mean the device {path.stem} of the catalogue (without .toml)?"
        elif path.with_suffix(".toml").exists():
            hint = f"; did you mean {path.with_suffix('.toml')}?"
        raise InputError(f"device file {path} does not exist{hint}")
    return parse_device(path)


def _unknown(name: str) -> str:
    text = f"unknown device {name!r}; {nearest(name, {**_built_in(), **_outside()})}"
    for candidate in (Path(name), Path(f"{name}.toml")):
        if candidate.is_file():
            text += f" For the file in this folder, write ./{candidate}"
    return text


@cache
def _cached(path: Path) -> Device:
    return parse_device(path)


@cache
def _built_in() -> dict[str, Path]:
    folder = Path(__file__).parent
    return {path.stem: path for kind in KINDS for path in sorted((folder / kind).glob("*.toml"))}


@cache
def _outside() -> dict[str, Path]:
    """Devices of installed packages: looked at only for a name the catalogue lacks, or to list all."""
    from importlib.metadata import entry_points

    found: dict[str, Path] = {}
    for entry in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda entry: (entry.name, entry.value)):
        owner = f"entry point {entry.name} = {entry.value} (group {ENTRY_POINT_GROUP})"
        try:
            offered = entry.load()
            root = Path(offered() if callable(offered) else offered)
        except Exception as error:  # whatever an outside package raises must not look like a fault of Trine
            raise InputError(f"{owner} failed: {type(error).__name__}: {error}") from error
        for path in _files(root, owner):
            other = _built_in().get(path.stem) or found.get(path.stem)
            if other is not None:
                raise InputError(f"{owner}: {path} has the same name as {other}; rename it")
            found[path.stem] = path
    return found


def _files(root: Path, owner: str) -> Iterator[Path]:
    if not root.exists():
        raise InputError(f"{owner}: {root} does not exist")
    yield from sorted(root.glob("*.toml")) if root.is_dir() else [root]
