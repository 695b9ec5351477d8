"""One device file to one device record, with every problem of the file in one error."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from trine.devices.check import Reader, name_problem, read_open_key
from trine.devices.errors import InputError, nearest
from trine.devices.figures import Fact, Figure, Series
from trine.devices.records import Device, EdgeDevice, NeuroChip, QuantumDevice
from trine.devices.schema import KINDS, REQUIRED, SECTIONS, TOP_KEYS, Section

MAX_BYTES = 1 << 20
"""A device file holds a few KiB; a larger one is some other file."""


def read_toml(path: Path) -> dict[str, Any]:
    """The parsed file; raises `InputError` when it is absent, no file, too large or not TOML (which line)."""
    if path.is_dir():
        raise InputError(f"{path} is a folder; give a device file inside it, such as {path / 'mine.toml'}")
    if not path.exists():
        raise InputError(f"{path} does not exist")
    if not path.is_file():
        raise InputError(f"{path} is not a regular file")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path} is larger than {MAX_BYTES >> 20} MiB: not a device file")
        text = path.read_bytes().decode()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not TOML: byte {error.start} is not UTF-8 text") from error
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise InputError(f"{path} is not valid TOML: {error}") from error


def parse_device(path: Path) -> Device:
    """The device a file describes. Raises `InputError` with all problems of the file."""
    return device_from(read_toml(path), str(path), path.stem)


def device_from(data: dict[str, Any], path: str, stem: str) -> Device:
    """The device in parsed TOML; `stem`, the file's name without `.toml`, must be the device's name."""
    reader = Reader(path)
    kind = reader.choice("", data, "kind", KINDS)
    name, title = reader.text("", data, "name"), reader.text("", data, "title")
    problem = name_problem(name) if name else ""
    if problem:
        reader.say("name", problem)
    elif name and name != stem:
        reader.say("name", f"{name!r} in a file called {stem}.toml; make them the same")
    if not kind:  # which sections are right depends on the kind
        reader.unknown_keys("", data, (*TOP_KEYS, *(name for known in SECTIONS.values() for name in known)))
        reader.finish()
    sections = SECTIONS[kind]
    reader.unknown_keys("", data, (*TOP_KEYS, *sections))
    reader.read_sources(data.get("sources", {}))
    content = _Content(reader)
    for key, section in sections.items():
        if key in data:
            content.section(key, data[key], section)
    content.required(kind)
    notes = read_notes(reader, "notes", data.get("notes", []))
    benchmarks = reader.benchmarks(data.get("benchmarks", []))
    reader.finish()
    common: dict[str, Any] = {
        "name": name,
        "kind": kind,
        "title": title,
        "figures": content.figures,
        "series": content.series,
        "facts": content.facts,
        "benchmarks": benchmarks,
        "notes": notes,
        "path": path,
    }
    if kind == "edge":
        return EdgeDevice(
            **common, core=content.words["core.id"][0], external=content.words.get("memory.external", ())
        )
    return NeuroChip(**common) if kind == "neuromorphic" else QuantumDevice(**common)


class _Content:
    """The figures, series, facts and plain words of a file, by dotted key."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.figures: dict[str, Figure] = {}
        self.series: dict[str, Series] = {}
        self.facts: dict[str, Fact] = {}
        self.words: dict[str, tuple[str, ...]] = {}
        self.seen: set[str] = set()

    def section(self, where: str, value: object, section: Section) -> None:
        table = self.reader.table(where, value)
        if not section.profiled:
            self._keys(where, table, section)
            return
        for profile, inner in table.items():
            at = f"{where}.{profile}"
            problem = name_problem(profile)
            if problem:
                self.reader.say(at, problem)
            self._keys(at, self.reader.table(at, inner), section)

    def _keys(self, where: str, table: dict[str, Any], section: Section) -> None:
        if not section.open_to:
            self.reader.unknown_keys(where, table, section.keys())
        for key, value in table.items():
            at = f"{where}.{key}"
            self.seen.add(at)
            if key in section.figures:
                self._keep(at, self.reader.figure(at, value, [section.figures[key]], section.dated))
            elif key in section.series:
                series = self.reader.series(at, value, section.series[key])
                if series:
                    self.series[at] = series
            elif key in section.facts:
                fact = self.reader.fact(at, value)
                if fact:
                    self.facts[at] = fact
            elif key == section.word:
                self.words[at] = (self.reader.choice(where, table, key, section.choices),)
            elif key == section.words:
                self.words[at] = _choices(self.reader, at, value, section.choices)
            elif section.open_to:
                self._keep(at, read_open_key(self.reader, at, key, value, section))

    def _keep(self, where: str, figure: Figure | None) -> None:
        if figure:
            self.figures[where] = figure

    def required(self, kind: str) -> None:
        for key in REQUIRED[kind]:
            if key not in self.seen:
                self.reader.say(key, "missing")
        if kind != "edge":
            return
        external = self.words.get("memory.external", ())
        for part in ("ram", "flash"):
            given, outside = f"memory.{part}" in self.seen, part in external
            if given and outside:
                self.reader.say(
                    f"memory.{part}", f"given although memory.external names {part}; keep one of them"
                )
            elif not given and not outside:
                self.reader.say(
                    f"memory.{part}", f'missing; a part without it says external = ["{part}"] in [memory]'
                )


def _choices(reader: Reader, where: str, value: object, known: tuple[str, ...]) -> tuple[str, ...]:
    if not isinstance(value, list):
        reader.say(where, f"must be a list of some of {', '.join(known)}")
        return ()
    for word in value:
        if word not in known:
            reader.say(where, f"unknown part {word!r}; {nearest(str(word), known)}")
    return tuple(word for word in value if word in known)


def read_notes(reader: Reader, where: str, value: object) -> tuple[str, ...]:
    """A list of texts for the reader, under the key `where`."""
    if not isinstance(value, list) or not all(isinstance(note, str) for note in value):
        reader.say(where, "must be a list of texts")
        return ()
    return tuple(value)
