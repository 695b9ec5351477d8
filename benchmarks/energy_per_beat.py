"""The ECG network at one beat a second: microcontrollers against neuromorphic chips, from Trine's own deployments.

Compiles examples/ecg/ecg.onnx for each device as `trine compile` does, and reads its record: joules a beat while it
computes, mean power with the wait for the next beat, life of a CR2032. Prints a table and writes
benchmarks/results/energy_per_beat.json. Needs the mitbih beats (TRINE_DATA). About six minutes:

    OMP_NUM_THREADS=1 python benchmarks/energy_per_beat.py
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from record import DATA, ECG, keep, machine

from trine.compilers import datasets
from trine.compilers.battery_life import Duty
from trine.compilers.deploy import deploy
from trine.compilers.target import Job
from trine.devices import load_device
from trine.devices.errors import InputError
from trine.edge.passes import EdgeOptions
from trine.edge.target import TARGET as EDGE
from trine.neuromorphic.conversion.convert import ConversionOptions
from trine.neuromorphic.target import TARGET as SPIKING
from trine.neuromorphic.target import NeuromorphicOptions

MICROCONTROLLERS = ("stm32l4r5", "stm32u575", "nrf52840")
CHIPS = {
    "loihi1": ConversionOptions("exact", steps=8),
    "truenorth": ConversionOptions("exact", steps=15),
    "dynapcnn": ConversionOptions("rate", steps=31),
}
EXAMPLES = 256
DUTY = Duty(inferences_per_s=1.0, battery="cr2032")
COLUMNS = {
    "energy_j": "dynamic_energy_j",
    "average_power_w": "average_power_w",
    "battery_life_s": "battery_life_s",
}


def record_of(name: str, data: Path, out: Path) -> Mapping[str, Any]:
    """The deployment's record of one device."""
    device = load_device(name)
    if name in CHIPS:
        options: Any = NeuromorphicOptions(CHIPS[name], parity_examples=EXAMPLES, duty=DUTY)
        return deploy(Job(ECG, device, out, data, options=options), SPIKING).record
    options = EdgeOptions(duty=DUTY, parity_examples=EXAMPLES)
    return deploy(Job(ECG, device, out, data, options=options), EDGE).record


def row_of(name: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """Joules a beat while computing (chips: of the events), mean power, battery life; None where nobody can say."""
    costs = {c["name"]: c for c in record["cost"]}
    row: dict[str, Any] = {"device": name, "accuracy": record["accuracy"]["deployed"]["accuracy"]}
    for column, spiking in COLUMNS.items():
        cost = costs.get(spiking if name in CHIPS else column)
        if cost is None and column == "average_power_w":
            cost = costs.get("chip_power_w")  # the whole chip's, whatever the net: all that is published
        row[column] = None if cost is None else {k: cost[k] for k in ("value", "low", "high", "how")}
    return row


def shown(row: Mapping[str, Any]) -> str:
    """A line of the Markdown table."""
    scales = {"energy_j": (1e6, "uJ"), "average_power_w": (1e3, "mW"), "battery_life_s": (1 / 86400, "days")}
    cells = []
    for column, (scale, unit) in scales.items():
        found = row[column]
        cells.append(
            "-" if found is None
            else f"{found['value'] * scale:.3g} ({found['low'] * scale:.3g} to {found['high'] * scale:.3g}) {unit}"
        )  # fmt: skip
    return f"| `{row['device']}` | " + " | ".join(cells) + " |"


def main() -> None:
    """Compile, print, keep."""
    if not (DATA / "mitbih").is_dir():
        raise InputError(f"no mitbih beats in {DATA}; set TRINE_DATA")
    rows = []
    print("| device | energy a beat | mean power | CR2032 |\n|---|--:|--:|--:|", flush=True)
    with tempfile.TemporaryDirectory() as place:
        datasets.write("mitbih", Path(place))
        for name in (*MICROCONTROLLERS, *CHIPS):
            rows.append(row_of(name, record_of(name, Path(place) / "calib.npz", Path(place) / name)))
            print(shown(rows[-1]), flush=True)
    keep("energy_per_beat", {"machine": machine(), "beats_per_s": 1.0, "battery": "cr2032", "rows": rows})


if __name__ == "__main__":
    main()
