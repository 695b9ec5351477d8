"""`trine demo`: the ECG example for four devices, run and shown in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trine.compilers import datasets
from trine.compilers.deploy import deploy
from trine.compilers.deployment import open_deployment
from trine.compilers.target import Job, Progress
from trine.devices import EdgeDevice, load_device
from trine.devices.errors import InputError
from trine.edge.passes import EdgeOptions
from trine.edge.simulate import simulate
from trine.edge.target import TARGET
from trine.presenting import quantity, spread

DEVICES = ("stm32l4r5", "nrf52840", "rp2040", "raspberry_pi_zero_2w")
SHOWN = ("instructions", "latency_s", "energy_j", "battery_life_s")


@dataclass(frozen=True)
class DemoTable:
    """What the demo found: a record of `simulate` for each device."""

    source: str
    synthetic: bool
    out: Path
    records: Sequence[Mapping[str, Any]]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"data": self.source, "synthetic": self.synthetic, "records": list(self.records)}

    def show(self) -> None:
        """Print the table, one column a device."""
        from rich.console import Console
        from rich.table import Table

        console = Console()
        console.print(f"data: {self.source}", markup=False)
        table = Table(title="the ECG beat classifier, int8", title_justify="left")
        table.add_column("")
        for record in self.records:
            table.add_column(record["device"], overflow="fold")
        for name, cells in self.rows():
            table.add_row(name, *cells)
        console.print(table)
        for note in dict.fromkeys(note for record in self.records for note in record["warnings"]):
            console.print(f"note: {note}", highlight=False, markup=False)
        console.print(
            f"deployments: {', '.join(str(self.out / record['device']) for record in self.records)}"
        )

    def rows(self) -> list[tuple[str, list[str]]]:
        """Name of a row and a cell for each device."""
        rows: list[tuple[str, list[str]]] = [
            ("fits", ["yes" if all(f["ok"] for f in r["fit"]) else "no" for r in self.records])
        ]
        for limit in ("ram", "flash"):
            rows.append((limit, [fit_cell(r, limit) for r in self.records]))
        rows.append(("stack", [cost_cell(r, "stack_bytes") for r in self.records]))
        rows += [
            (
                name.removesuffix("_s").removesuffix("_j").replace("_", " "),
                [cost_cell(r, name) for r in self.records],
            )
            for name in SHOWN
        ]
        for name in ("source", "deployed"):
            label = "float" if name == "source" else "int8"
            rows.append((f"accuracy, {label}", [accuracy_cell(r, name) for r in self.records]))
        rows.append(("values differing", [parity_cell(r) for r in self.records]))
        return rows


def fit_cell(record: Mapping[str, Any], limit: str) -> str:
    """Used and available bytes."""
    for f in record["fit"]:
        if f["limit"] == limit:
            there = "" if f["available"] is None else f" of {quantity(f['available'], 'B')}"
            return f"{quantity(f['used'], 'B')}{there}"
    return "-"


def cost_cell(record: Mapping[str, Any], name: str) -> str:
    """A cost with its range, or that nobody knows it."""
    for cost in record["cost"]:
        if cost["name"] == name:
            return spread(cost)
    return "not known"


def accuracy_cell(record: Mapping[str, Any], which: str) -> str:
    """Accuracy and macro-F1."""
    accuracy = record["results"]["accuracy"]
    if accuracy is None:
        return "-"
    return f"{100 * accuracy[which]['accuracy']:.2f} %, F1 {100 * accuracy[which]['macro_f1']:.1f} %"


def parity_cell(record: Mapping[str, Any]) -> str:
    """Values that differ over all prints; ties of unoptimised onnxruntime, which are explained, beside them."""
    parity = record["results"]["parity"]
    exact = [p for p in parity if p["exact"]]
    emulated = [p["examples"] for p in parity if "emulated" in p["against"]]
    text = f"{sum(p['differing'] for p in exact)} of {sum(p['values'] for p in exact):,}"
    ties = sum(p["differing"] for p in parity if not p["exact"])
    text += f"; {ties} rounding ties of unoptimised onnxruntime" if ties else ""
    return text + (f"; emulated on {emulated[0]:,} beats" if emulated else "")


def model() -> Path:
    """The ECG network: of the repository, or of the installed package."""
    for place in (
        Path(__file__).resolve().parents[2] / "examples" / "ecg" / "ecg.onnx",
        Path("examples/ecg/ecg.onnx"),
    ):
        if place.is_file():
            return place
    raise InputError("examples/ecg/ecg.onnx is not here: run trine demo from a checkout of Trine")


def run_demo(out: Path, progress: Progress) -> DemoTable:
    """Data, then compile and simulate for each device; leaves the deployments in `out`."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: a file is there; choose another folder with -o")
    out.mkdir(parents=True, exist_ok=True)
    summary = datasets.write("mitbih", out / "data", progress)
    records = []
    for name in DEVICES:
        device = load_device(name)
        if not isinstance(device, EdgeDevice):
            raise InputError(f"{name} is not an edge device")
        job = Job(
            model(), device, out / name, out / "data" / "calib.npz", options=EdgeOptions(), progress=progress
        )
        deploy(job, TARGET)
        test = out / "data" / "test.npz"
        records.append(simulate(open_deployment(out / name), device, test, EdgeOptions(), progress))
    return DemoTable(summary.source, summary.synthetic, out, records)
