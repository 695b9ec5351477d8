"""The catalogue as plain data for `--json`, and as rich tables for people."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from trine.devices.figures import Benchmark, Figure, Series
from trine.devices.load import all_devices
from trine.devices.records import Device, EdgeDevice, NeuroChip, QuantumDevice

if TYPE_CHECKING:
    from rich.console import Console

_COLUMNS: dict[str, dict[str, str]] = {
    "edge": {
        "name": "name",
        "core": "core",
        "clock_mhz": "MHz",
        "ram_kib": "RAM KiB",
        "flash_kib": "flash KiB",
        "active_power_mw": "active mW",
    },
    "neuromorphic": {
        "name": "name",
        "cores": "cores",
        "neurons": "neurons",
        "synapses": "synapses",
        "weight_bits": "weight bits",
        "event_profiles": "event costs from",
    },
    "quantum": {
        "name": "name",
        "qubits": "qubits",
        "topology": "topology",
        "two_qubit_error": "2-qubit error",
        "two_qubit_gate_us": "2-qubit gate us",
        "observed_on": "observed",
    },
}


def catalogue_rows(kind: str | None = None) -> list[dict[str, Any]]:
    """One row per device: name, kind, title and the few figures of its kind; None where not published."""
    return [_row(device) for device in all_devices(kind)]


def as_json(device: Device) -> dict[str, Any]:
    """Everything the catalogue holds about a device, as JSON types; the order is that of its file."""
    data: dict[str, Any] = {"name": device.name, "kind": device.kind, "title": device.title}
    if isinstance(device, EdgeDevice):
        data |= {"core": device.core, "external_memory": list(device.external)}
    data["notes"] = list(device.notes)
    data["facts"] = {key: _plain(asdict(fact)) for key, fact in device.facts.items()}
    data["figures"] = {key: _plain(asdict(figure)) for key, figure in device.figures.items()}
    data["series"] = {key: _plain(asdict(series)) for key, series in device.series.items()}
    data["benchmarks"] = [_benchmark(row) for row in device.benchmarks]
    data["sources"] = device.sources()
    return data


def render_catalogue(console: Console, kind: str | None = None) -> None:
    """Prints one table per kind of device."""
    from rich.table import Table

    rows = catalogue_rows(kind)
    for wanted, columns in _COLUMNS.items():
        chosen = [row for row in rows if row["kind"] == wanted]
        if not chosen:
            continue
        table = Table(title=f"{wanted} devices ({len(chosen)})", title_justify="left", title_style="bold")
        for key, heading in columns.items():
            words = all(row[key] is None or isinstance(row[key], str) for row in chosen)
            table.add_column(heading, justify="left" if words else "right", no_wrap=key == "name")
        for row in chosen:
            table.add_row(*(_cell(row[key]) for key in columns))
        console.print(table)
    console.print(
        "`-`: nobody published it. `trine devices NAME` shows one device with its sources.", markup=False
    )


def render_device(console: Console, device: Device) -> None:
    """Prints one device: every fact, figure and published row, with class and numbered sources."""
    from rich.table import Table
    from rich.text import Text

    numbers = {source: index for index, source in enumerate(device.sources(), start=1)}
    console.print(Text(f"{device.name}: {device.title}", style="bold"))
    for note in device.notes:
        console.print(Text(f"  {note}"))
    if isinstance(device, EdgeDevice):
        outside = f"; external: {', '.join(device.external)}" if device.external else ""
        console.print(Text(f"  Trine compiles for {device.core}{outside}"))
    table = Table(show_edge=False)
    for heading in ("figure", "value", "class", "source", "conditions"):
        table.add_column(heading, overflow="fold")
    records: list[tuple[str, str, str, str, str]] = [
        *((key, fact.text, fact.cls, fact.source, fact.conditions) for key, fact in device.facts.items()),
        *((key, _amount(f), f.cls, f.source, _conditions(f)) for key, f in device.figures.items()),
        *((key, _amount(s), s.cls, s.source, s.conditions) for key, s in device.series.items()),
    ]
    for key, amount, cls, source, conditions in records:
        table.add_row(*(Text(text) for text in (key, amount, cls, f"[{numbers[source]}]", conditions)))
    console.print(table)
    if device.benchmarks:
        _render_benchmarks(console, device.benchmarks, numbers)
    console.print(Text("sources", style="bold"))
    for source, number in numbers.items():
        console.print(Text(f"  [{number}] {source}"))


def _render_benchmarks(console: Console, rows: tuple[Benchmark, ...], numbers: dict[str, int]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(title="published rows", title_justify="left", title_style="bold", show_edge=False)
    for heading in ("suite", "runtime", "MHz", "V", "task", "ms", "uJ", "mW", "class", "split", "source"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        cells = (
            row.suite,
            row.runtime or "-",
            _cell(None if row.clock_hz is None else row.clock_hz / 1e6),
            _cell(row.supply_v),
            row.task,
            *(_cell(None if f is None else f.value) for f in (row.latency, row.energy, row.active_power)),
            row.cls,
            row.split,
            f"[{numbers[row.source]}]",
        )
        table.add_row(*(Text(cell) for cell in cells))
    console.print(table)


def _row(device: Device) -> dict[str, Any]:
    row: dict[str, Any] = {"name": device.name, "kind": device.kind, "title": device.title}
    if isinstance(device, EdgeDevice):
        power = device.active_power_w
        ram, flash = device.ram_bytes, device.flash_bytes
        row |= {
            "core": device.core,
            "clock_mhz": device.clock_hz / 1e6,
            "ram_kib": None if ram is None else ram / 1024,
            "flash_kib": None if flash is None else flash / 1024,
            "active_power_mw": None if power is None else power.to("mW").value,
        }
    elif isinstance(device, NeuroChip):
        hidden = device.count("limits.hidden_neurons")
        row |= {
            "cores": device.count("limits.cores"),
            "neurons": device.count("limits.neurons") or hidden,
            "synapses": device.count("limits.synapses"),
            "weight_bits": device.count("limits.weight_bits"),
            "event_profiles": ", ".join(device.event_profiles) or None,
        }
    elif isinstance(device, QuantumDevice):
        error, gate = device.figure("errors.two_qubit"), device.figure("times.two_qubit_gate")
        row |= {
            "qubits": device.qubits,
            "topology": device.topology,
            "two_qubit_error": None if error is None else error.si_value,
            "two_qubit_gate_us": None if gate is None else gate.to("us").value,
            "observed_on": (error.observed_on or None) if error else None,
        }
    return row


def _benchmark(row: Benchmark) -> dict[str, Any]:
    data = asdict(row)
    for name in ("latency", "energy", "active_power"):
        figure: Figure | None = getattr(row, name)
        data[name] = (
            None if figure is None else {"value": figure.value, "unit": figure.unit, "class": figure.cls}
        )
    return _plain(data)


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    """A record without its empty fields, with the file's name `class` for `cls`, and lists for tuples."""
    renamed = {("class" if key == "cls" else key): value for key, value in record.items()}
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in renamed.items()
        if value is not None and value != ""
    }


def _amount(record: Figure | Series) -> str:
    unit = {"1": "", "count": ""}.get(record.unit, " " + record.unit)
    if isinstance(record, Series):
        return ", ".join(_cell(value) for value in record.values) + unit
    low, high = record.low, record.high
    if low is None and high is None:
        return _cell(record.value) + unit
    band = [_cell(record.value if bound is None else bound) for bound in (low, high)]
    return f"{_cell(record.value)}{unit} ({band[0]} to {band[1]})"


def _conditions(figure: Figure) -> str:
    dated = f"observed {figure.observed_on}" if figure.observed_on else ""
    return "; ".join(filter(None, [figure.conditions, dated, figure.split]))


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if not isinstance(value, (int, float)):
        return str(value)
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.4g}"
