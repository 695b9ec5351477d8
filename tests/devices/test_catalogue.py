"""The shipped catalogue: every file loads, every figure has its source, known figures are as published."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from rich.console import Console

from trine.devices import (
    EdgeDevice,
    NeuroChip,
    QuantumDevice,
    all_devices,
    batteries,
    battery,
    device_names,
    load_device,
    thermal_limits,
    workloads,
)
from trine.devices.errors import InputError
from trine.devices.figures import CLASSES, Benchmark, Fact, Series
from trine.devices.show import as_json, catalogue_rows, render_catalogue, render_device

REQUIRED = {
    "edge": """stm32l4r5 stm32u575 stm32h7a3 nrf52840 nrf5340 apollo3 apollo4 rp2040 rp2350 esp32s3 gap9
        max78000 msp430fr5994 alif_e3 imx8m_mini raspberry_pi_zero_2w""",
    "neuromorphic": """loihi1 loihi2 truenorth neurogrid spinnaker2 akida_akd1000 dynapcnn speck xylo
        brainscales2""",
    "quantum": """ibm_heron_r1 ibm_heron_r2 ibm_heron_r3 ibm_nighthawk ionq_aria ionq_forte quantinuum_h2
        quantinuum_helios iqm_garnet rigetti_ankaa3 quera_aquila dwave_advantage2""",
}
ALL = device_names()


@pytest.mark.parametrize("kind", REQUIRED)
def test_required_devices_are_there(kind: str) -> None:
    assert set(REQUIRED[kind].split()) <= set(device_names(kind))


def test_names_are_sorted_and_every_file_is_listed() -> None:
    root = Path(sys.modules["trine.devices"].__file__ or "").parent
    files = {path.stem for kind in REQUIRED for path in (root / kind).glob("*.toml")}
    assert set(ALL) == files
    assert [n for kind in ("edge", "neuromorphic", "quantum") for n in sorted(device_names(kind))] == ALL


@pytest.mark.parametrize("name", ALL)
def test_every_figure_has_unit_class_and_source(name: str) -> None:
    device = load_device(name)
    assert device.title
    assert device.figures
    for key, figure in device.figures.items():
        assert figure.source.strip(), key
        assert figure.cls in CLASSES, key
        assert figure.unit, key
        low, high = figure.si_range
        assert low <= figure.si_value <= high, key
    others: list[Fact | Series | Benchmark] = [*device.facts.values(), *device.series.values()]
    others += device.benchmarks
    for record in others:
        assert record.source.strip()
        assert record.cls in CLASSES
    assert set(device.sources()) >= {figure.source for figure in device.figures.values()}


@pytest.mark.parametrize("name", ALL)
def test_a_file_lists_no_source_it_does_not_use(name: str) -> None:
    device = load_device(name)
    listed = tomllib.loads(Path(device.path).read_text())["sources"]
    assert set(listed.values()) == set(device.sources())


@pytest.mark.parametrize("name", device_names("edge"))
def test_edge_devices_can_be_fitted_and_timed(name: str) -> None:
    device = load_device(name)
    assert isinstance(device, EdgeDevice)
    assert device.clock_hz > 1_000_000
    for part, size in (("ram", device.ram_bytes), ("flash", device.flash_bytes)):
        assert (size is None) == (part in device.external)
        assert size is None or size >= 8192
    if device.active_power_w is not None:
        assert device.active_power_w.unit == "W"
        assert device.need("power.active_power").cls in ("measured", "derived")


@pytest.mark.parametrize(
    ("name", "version", "runtime"),
    [
        ("stm32l4r5", "v1.2", "X-CUBE-AI 9.0"),
        ("stm32u575", "v1.2", "X-CUBE-AI 9.0"),
        ("stm32h7a3", "v1.2", "X-CUBE-AI 9.0"),
        ("gap9", "v1.0", "NNTool/AutoTiler"),
    ],
)
def test_active_power_agrees_with_the_benchmark_rows(name: str, version: str, runtime: str) -> None:
    """Two facts that check each other: the stated power, and energy over latency of the measured rows."""
    device = load_device(name)
    assert isinstance(device, EdgeDevice)
    rows = [r for r in device.benchmarks if r.runtime == runtime and version in r.suite]
    powers = [row.active_power_w for row in rows if row.active_power_w is not None]
    assert sorted(row.task for row in rows) == ["ad", "ic", "kws", "vww"]
    assert all(row.split == "calibrate" and row.clock_hz == device.clock_hz for row in rows)
    stated = device.active_power_w
    assert stated is not None
    assert stated.value == pytest.approx(sum(powers) / 4, rel=0.01)
    assert stated.si_range == pytest.approx((min(powers), max(powers)), rel=0.01)


# name, dotted key, value, unit; the published place is named beside each.
SPOT_CHECKS = [
    ("stm32l4r5", "memory.ram", 640, "KiB"),  # MLCommons tiny_results system description
    ("stm32u575", "power.run_current", 19.5, "uA/MHz"),  # ST text in Zephyr board documentation, 3.3 V SMPS
    ("msp430fr5994", "power.sleep_current", 0.5, "uA"),  # TI product page, LPM3
    ("nrf54l15", "power.active_current", 2.6, "mA"),  # Nordic data sheet, CoreMark from RRAM, 3 V
    ("loihi1", "events.davies2018.synop_energy", 23.6, "pJ"),  # Davies 2018, Table 2
    ("loihi1", "events.davies2018.synop_time", 3.5, "ns"),  # Davies 2018, Table 2: a time, not an energy
    ("loihi1", "events.sanafe.axon_out_energy", 111, "pJ"),  # SANA-FE arch/loihi.yaml, commit 8951ab0
    ("truenorth", "power.video_power", 63, "mW"),  # Merolla 2014
    ("ibm_heron_r2", "errors.two_qubit", 0.001804, "1"),  # ibm_kingston snapshot of 2026-04-15, median CZ
    ("ibm_nighthawk", "times.repetition_delay", 4000, "us"),  # ibm_miami snapshot of 2026-04-17
    ("ionq_forte", "errors.two_qubit", 0.00464, "1"),  # arXiv 2308.05071
    ("quantinuum_helios", "limits.qubits", 98, "count"),  # arXiv 2511.05465
    ("iqm_garnet", "price.scaleway.per_shot", 0.0012, "EUR/shot"),  # Scaleway documentation, November 2025
]


@pytest.mark.parametrize(("name", "key", "value", "unit"), SPOT_CHECKS)
def test_published_figures(name: str, key: str, value: float, unit: str) -> None:
    figure = load_device(name).need(key)
    assert (figure.value, figure.unit) == (value, unit)


def test_published_benchmark_rows() -> None:
    # MLCommons tiny_results_v1.2 closed/STMicroelectronics/NUCLEO_L4R5ZI
    rows = {(r.runtime, r.task): r for r in load_device("stm32l4r5").benchmarks}
    kws = rows["X-CUBE-AI 9.0", "kws"]
    assert kws.latency_s == pytest.approx(43.19e-3, rel=1e-3)
    assert kws.energy_j == pytest.approx(1820e-6, rel=1e-3)
    assert (kws.cls, kws.supply_v, kws.clock_hz) == ("measured", 1.8, 120e6)
    # The energy log of this row disagrees with its latency log, so the catalogue gives no energy.
    assert rows["X-CUBE-AI 8.1", "ic"].energy is None
    # github abr/power_benchmarks, commit fce95c8: 106.24 + 1.855 N mW fits N = 2, 6, 10 within 0.06 mW
    loihi = load_device("loihi1")
    scaling = {r.task: r.active_power_w for r in loihi.benchmarks if r.task.startswith("scaling")}
    base, slope = loihi.need("power.fit_intercept").si_value, loihi.need("power.fit_slope_per_copy").si_value
    for copies in (2, 6, 10):
        assert scaling[f"scaling N={copies}"] == pytest.approx(base + slope * copies, abs=0.061e-3)


def test_what_is_not_published_is_absent() -> None:
    loihi2 = load_device("loihi2")
    assert isinstance(loihi2, NeuroChip)
    assert loihi2.event_profiles == ()
    with pytest.raises(InputError, match="no event costs of this chip are public"):
        loihi2.events("davies2018")
    nrf = load_device("nrf52840")
    assert isinstance(nrf, EdgeDevice)
    assert nrf.active_power_w is None
    with pytest.raises(InputError, match=r"nrf52840 has no figure power\.active_power"):
        nrf.need("power.active_power")


def test_prices_carry_their_date() -> None:
    for device in all_devices("quantum"):
        for key, figure in device.figures.items():
            if key.startswith("price."):
                assert figure.observed_on, (device.name, key)


def test_typed_properties() -> None:
    board = load_device("rp2040")
    assert isinstance(board, EdgeDevice)
    assert (board.core, board.ram_bytes, board.flash_bytes) == ("cortex-m0plus", 264 * 1024, None)
    assert board.count("memory.board_flash") == 2048 * 1024
    assert board.sleep_power_w is not None
    assert board.sleep_power_w.value == pytest.approx(9e-3 * 3.3)
    assert board.sleep_power_w.cls == "unverified"  # its supply voltage is
    msp = load_device("msp430fr5994")
    assert isinstance(msp, EdgeDevice)
    assert msp.run_current_a_per_hz is not None
    assert msp.run_current_a_per_hz.value == pytest.approx(118e-12)
    heron = load_device("ibm_heron_r2")
    assert isinstance(heron, QuantumDevice)
    assert (heron.qubits, heron.topology) == (156, "heavy-hex")
    assert heron.native_gates[:3] == ("cz", "id", "rz")
    assert heron.sellers == ("ibm",)
    cnn = load_device("dynapcnn")
    assert cnn.series["limits.weight_memory_by_core"].values == (16, 16, 16, 32, 32, 64, 64, 16, 16)


def test_batteries_limits_and_workloads() -> None:
    cell = battery("cr2032")
    assert cell.energy_j is not None
    assert cell.energy_j.value == pytest.approx(0.225 * 3600 * 3.0)  # 225 mAh at 3 V
    assert batteries()["cochlear_processor_rechargeable"].energy_j is None
    with pytest.raises(InputError, match="did you mean cr2032"):
        battery("cr2023")
    limits = thermal_limits()
    assert limits["implant_surface_rise"].limit.value == 2  # ISO 14708-1 via Whalen & Fried 2023
    per_watt = limits["utah_array_thermal_resistance"].limit.si_value
    assert limits["utah_array_power_for_1k"].limit.si_value == pytest.approx(1 / per_watt, rel=0.02)
    assert workloads()["kws"].macs.value == 2_656_768


@pytest.mark.parametrize("name", ALL)
def test_json_holds_every_figure_with_its_source(name: str) -> None:
    device = load_device(name)
    data = json.loads(json.dumps(as_json(device), allow_nan=False))
    assert set(data["figures"]) == set(device.figures)
    assert all(figure["source"] and figure["class"] for figure in data["figures"].values())
    assert len(data["benchmarks"]) == len(device.benchmarks)
    assert {figure["source"] for figure in data["figures"].values()} <= set(data["sources"])
    assert str(Path(device.path).parent) not in json.dumps(data)


def test_tables_show_every_device_and_every_source() -> None:
    rows = catalogue_rows()
    assert [row["name"] for row in rows] == ALL
    console = Console(width=160, record=True, file=io.StringIO())
    render_catalogue(console)
    shown = console.export_text()
    assert all(name in shown for name in ALL)
    device = load_device("stm32l4r5")
    render_device(console, device)
    shown = console.export_text()
    assert all(source in shown for source in device.sources())
    assert "43.19" in shown


def test_import_stays_light() -> None:
    heavy = ("numpy", "rich", "onnx", "torch", "importlib.metadata", "typer")
    code = f"""
import sys, trine.devices
trine.devices.load_device("stm32l4r5")
print([name for name in {heavy} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
