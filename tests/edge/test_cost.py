"""Cost: numbers computed by hand, laws that hold for any numbers, and what is missing stays missing."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trine.compilers.battery_life import Load, battery_life
from trine.compilers.estimate import Estimate, exactly, find
from trine.devices import EdgeDevice, Figure, battery, load_device
from trine.devices.errors import InputError
from trine.edge.cost import Cost, Duty, Size, cycles_per_instruction, estimate_cost
from trine.edge.cost import cpi as cpi_module
from trine.edge.cost.cpi import Cpi, table


def edge(name: str) -> EdgeDevice:
    device = load_device(name)
    assert isinstance(device, EdgeDevice)
    return device


def figure(value: float, unit: str, low: float | None = None, high: float | None = None) -> Figure:
    return Figure(value, unit, low, high, "", "a test", "measured")


def device_with(core: str = "test-core", **figures: Figure) -> EdgeDevice:
    """A 100 MHz device of a made-up core; keyword power__supply gives the figure power.supply."""
    dotted = {key.replace("__", "."): value for key, value in figures.items()}
    known = {"core.clock": figure(100, "MHz"), **dotted}
    return replace(edge("stm32l4r5"), name="made_up", core=core, figures=known, benchmarks=())


@pytest.fixture
def two_cycles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every core takes 2 (1 to 4) cycles an instruction."""
    fixed = Cpi("test-core", 2.0, 1.0, 4.0, "modelled", "a test")
    monkeypatch.setattr(cpi_module, "table", lambda: {"test-core": fixed})


def value(cost: Cost, name: str) -> float:
    estimate = cost.get(name)
    assert estimate is not None, cost.missing.get(name)
    return estimate.value


def interval(cost: Cost, name: str) -> list[float]:
    estimate = cost.get(name)
    assert estimate is not None
    return [estimate.low, estimate.high]


# --- Estimate


def test_estimate_refuses_what_makes_no_sense() -> None:
    good: dict[str, Any] = {
        "name": "x",
        "value": 2,
        "unit": "s",
        "low": 1,
        "high": 3,
        "how": "measured",
        "source": "a",
    }
    assert Estimate(**good).as_json() == good
    assert list(Estimate(**good).as_json()) == ["name", "value", "unit", "low", "high", "how", "source"]
    for change in (
        {"low": 2.5},
        {"high": 1.5},
        {"value": math.nan},
        {"high": math.inf},
        {"how": "guessed"},
        {"source": " "},
        {"unit": ""},
        {"name": ""},
    ):
        with pytest.raises(ValueError, match="estimate"):
            Estimate(**{**good, **change})


def test_find_gives_none_for_what_is_missing() -> None:
    count = exactly("spikes", 3, "spikes", "simulated", "a test")
    assert (count.low, count.high) == (3, 3)
    assert find([count], "spikes") is count
    assert find([count], "energy_j") is None


# --- numbers by hand


@pytest.mark.usefixtures("two_cycles")
def test_measured_power_by_hand() -> None:
    """1e6 instructions x 2 cycles / 100 MHz = 20 ms; x 50 mW = 1 mJ; once a second + 0.98 x 10 uW asleep."""
    device = device_with(
        power__active_power=figure(50, "mW", 40, 60),
        power__supply=figure(2.5, "V"),
        power__sleep_current=figure(4, "uA"),
    )
    cost = estimate_cost(device, {"conv": 900_000, "dense": 100_000}, Size(ram_bytes=100, stack_bytes=7))
    assert [e.name for e in cost.estimates] == [
        *("ram_bytes", "stack_bytes", "instructions", "latency_s", "active_power_w", "sleep_power_w"),
        *("energy_j", "average_power_w", "battery_life_s"),
    ]
    assert cost.missing == {}
    assert value(cost, "instructions") == 1_000_000
    assert value(cost, "latency_s") == pytest.approx(0.020)
    assert interval(cost, "latency_s") == pytest.approx([0.010, 0.040])
    assert value(cost, "energy_j") == pytest.approx(1e-3)
    assert interval(cost, "energy_j") == pytest.approx([0.4e-3, 2.4e-3])
    assert value(cost, "average_power_w") == pytest.approx(1e-3 + 0.98 * 10e-6)
    # 225 mAh = 810 C. Linear regulator from 3.0 to 2.5 V: 1.0098 mW / 2.5 V = 0.40392 mA, twice the
    # standard drain: capacity x 2.0196 ** -0.244. Pulses of 20 mA over 10 to 40 ohm against 3.0 - 2.5 = 0.5
    # V: spent when the resistance is 25 ohm, half of the way.
    drain = (1e-3 + 0.98 * 10e-6) / 2.5
    assert value(cost, "battery_life_s") == pytest.approx(810 * 0.5 * (drain / 0.2e-3) ** -0.244 / drain)
    # Twice as often: 2 mJ and 0.96 s asleep.
    assert value(estimate_cost(device, 10**6, duty=Duty(2.0)), "average_power_w") == pytest.approx(2.0096e-3)
    # At best: 40 mW for 10 ms from an ideal converter at 3 V, no derating.
    best = (0.4e-3 + 0.99 * 10e-6) / 3.0
    assert interval(cost, "battery_life_s")[1] == pytest.approx(810 / best)


@pytest.mark.usefixtures("two_cycles")
def test_headline_becomes_a_range_not_a_number() -> None:
    """30 uA/MHz x 100 MHz x 3 V = 9 mW, up to 2.2 times that: 19.8 mW."""
    device = device_with(power__run_current=figure(30, "uA/MHz"), power__supply=figure(3, "V"))
    cost = estimate_cost(device, 1_000_000)
    assert interval(cost, "active_power_w") == pytest.approx([9e-3, 19.8e-3])
    assert value(cost, "active_power_w") == pytest.approx(9e-3 * math.sqrt(2.2))
    power = cost.get("active_power_w")
    assert power is not None
    assert power.how == "modelled"
    assert "headline" in power.source
    assert interval(cost, "energy_j") == pytest.approx([9e-5, 79.2e-5])
    # A current for a stated program goes before the current per megahertz.
    device = device_with(
        power__run_current=figure(30, "uA/MHz"),
        power__active_current=figure(5, "mA"),
        power__supply=figure(3, "V"),
    )
    assert interval(estimate_cost(device, 1), "active_power_w")[0] == pytest.approx(15e-3)


def test_catalogue_device_by_hand() -> None:
    """STM32L4R5: cycles per instruction from the table, 120 MHz, the power of its MLPerf Tiny rows."""
    core = cycles_per_instruction("cortex-m4f")
    assert core is not None
    cost = estimate_cost(edge("stm32l4r5"), 600_000)
    seconds = 600_000 * core.value / 120e6
    assert value(cost, "latency_s") == pytest.approx(seconds)
    assert value(cost, "energy_j") == pytest.approx(seconds * 41.675e-3)
    power = cost.get("active_power_w")
    assert power is not None
    assert power.how == "measured"
    assert any("sensing, radio" in note for note in cost.notes)


# --- battery


def load(
    average_w: float, active_w: float, supply_v: float | None = 1.8, least_v: float | None = None
) -> Load:
    return Load(
        exactly("average_power_w", average_w, "W", "modelled", "a test"),
        exactly("active_power_w", active_w, "W", "modelled", "a test"),
        supply_v,
        least_v,
    )


def life(
    average_w: float, active_w: float, supply_v: float | None = 1.8, least_v: float | None = None
) -> Estimate:
    result = battery_life(battery("cr2032"), load(average_w, active_w, supply_v, least_v))
    assert isinstance(result, Estimate), result
    return result


def test_coin_cell_by_hand() -> None:
    # 0.18 mW at 1.8 V = 0.1 mA, below the standard drain; 18 mW = 10 mA, 0.4 V at most of 1.0 V headroom.
    assert life(0.18e-3, 18e-3).value == pytest.approx(810 / 0.1e-3)
    # Twice the power, twice the current: at the standard drain. Above it the capacity falls too.
    assert life(0.36e-3, 18e-3).value == pytest.approx(810 / 0.2e-3)
    assert life(5.4e-3, 18e-3).value == pytest.approx(810 * 15**-0.244 / 3e-3)
    # 72 mW = 40 mA: 1.0 V is lost at 25 ohm, half of the way from 10 to 40 ohm.
    assert life(0.18e-3, 72e-3).value == pytest.approx(0.5 * 810 / 0.1e-3)
    # A part that needs 2.6 V: 0.4 V, 16 mA (28.8 mW) are lost at 25 ohm.
    assert life(0.18e-3, 28.8e-3, least_v=2.6).value == pytest.approx(0.5 * 810 / 0.1e-3)
    # A microwatt would last 77 years: shelf life ends it.
    assert life(1e-6, 18e-3).value == pytest.approx(10 * 365.25 * 86400)


def test_pulse_that_a_fresh_cell_cannot_give() -> None:
    answer = battery_life(battery("cr2032"), load(1e-3, 0.5))
    assert isinstance(answer, str)
    assert "capacitor" in answer
    assert isinstance(battery_life(battery("cochlear_processor_rechargeable"), load(1e-3, 0.1)), str)


# --- laws

counts = st.integers(1, 10**8)
NAMES = ("instructions", "latency_s", "energy_j", "average_power_w")


@given(counts, counts)
def test_more_instructions_never_cost_less(one: int, other: int) -> None:
    few, many = sorted((one, other))
    device = edge("stm32l4r5")
    less, more = estimate_cost(device, few, duty=Duty(0.1)), estimate_cost(device, many, duty=Duty(0.1))
    for name in NAMES:
        a, b = less.get(name), more.get(name)
        assert a is not None
        assert b is not None
        assert a.value <= b.value
        assert a.low <= b.low
        assert a.high <= b.high
    a, b = less.get("battery_life_s"), more.get("battery_life_s")
    assert a is not None
    assert b is not None
    assert a.value >= b.value
    assert a.low >= b.low
    assert a.high >= b.high


@given(st.floats(1e-4, 60), st.floats(1e-4, 60))
def test_more_often_means_a_shorter_life(one: float, other: float) -> None:
    rare, often = sorted((one, other))
    for name in ("stm32l4r5", "nrf52840", "rp2040"):
        device = edge(name)
        longer = estimate_cost(device, 500_000, duty=Duty(rare)).get("battery_life_s")
        shorter = estimate_cost(device, 500_000, duty=Duty(often)).get("battery_life_s")
        assert longer is not None
        assert shorter is not None
        assert longer.value >= shorter.value
        assert longer.low >= shorter.low
        assert longer.high >= shorter.high


# --- missing stays missing


@pytest.mark.parametrize("name", ["raspberry_pi_zero_2w", "imx8m_mini", "msp430fr5994", "esp32s3"])
def test_core_without_emulator_has_no_time_and_no_energy(name: str) -> None:
    cost = estimate_cost(edge(name), None, Size(flash_bytes=10))
    assert {"instructions", "latency_s", "energy_j", "average_power_w", "battery_life_s"} <= set(cost.missing)
    assert not {e.name for e in cost.estimates} & set(cost.missing)
    assert "not emulated" in cost.missing["instructions"]
    # Even a count would not help without cycles per instruction.
    assert "latency_s" in estimate_cost(edge(name), 1000).missing


def test_absent_figures_name_what_is_absent() -> None:
    cost = estimate_cost(device_with("cortex-m4f"), 1000)
    assert cost.get("latency_s") is not None
    assert "no power or run current" in cost.missing["active_power_w"]
    assert cost.missing["energy_j"] == "needs active_power_w"
    cost = estimate_cost(device_with("cortex-m4f", power__run_current=figure(30, "uA/MHz")), 1000)
    assert "power.supply" in cost.missing["active_power_w"]
    asleep = device_with("cortex-m4f", power__active_power=figure(50, "mW"), power__supply=figure(1.8, "V"))
    cost = estimate_cost(asleep, 1000)
    assert "sleep_power_w" in cost.missing
    assert any("sleep current is not published" in note for note in cost.notes)


def test_too_slow_for_the_duty_has_no_battery_life() -> None:
    cost = estimate_cost(edge("stm32l4r5"), 10**9)
    assert "too slow for 1 a second" in cost.missing["average_power_w"]
    assert "battery_life_s" in cost.missing


def test_bad_duty_battery_and_counts_are_refused() -> None:
    for rate in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(InputError, match="inferences a second"):
            Duty(rate)
    with pytest.raises(InputError, match="cr2032"):
        estimate_cost(edge("stm32l4r5"), 1000, duty=Duty(battery="cr2033"))
    for bad in (0, -5, {"a": 10, "b": -1}):
        with pytest.raises(ValueError, match="not positive"):
            estimate_cost(edge("stm32l4r5"), bad)


# --- heat


def test_heat_of_an_implant_against_screening_limits() -> None:
    """Up to 43.8 mW while active exceeds the 34 mW of the Utah array for 1 K and stays under 69 mW; asleep
    most of the time, the mean stays under both. 1 cm2 at 40 mW/cm2 allows 40 mW."""
    assert estimate_cost(edge("stm32l4r5"), 500_000).heat == ()
    cost = estimate_cost(edge("stm32l4r5"), 500_000, implant=True)
    found = {(check.limit_w, check.quantity): check.exceeds for check in cost.heat}
    assert found == {
        (0.034, "average_power_w"): False,
        (0.034, "active_power_w"): True,
        (0.069, "average_power_w"): False,
        (0.069, "active_power_w"): False,
    }
    with_surface = estimate_cost(edge("stm32l4r5"), 500_000, implant=True, implant_surface_m2=1e-4)
    flux = [
        c for c in with_surface.heat if c.limit_w == pytest.approx(0.040) and c.quantity == "active_power_w"
    ]
    assert [check.exceeds for check in flux] == [True]
    for check in with_surface.heat:
        assert ("exceeds" if check.exceeds else "stays under") + " this screening limit" in str(check)
        assert check.source in str(check)
        assert "safe" not in str(check)


def test_heat_is_checked_even_where_only_the_headline_is_known() -> None:
    cost = estimate_cost(edge("msp430fr5994"), None, implant=True)
    assert {check.quantity for check in cost.heat} == {"active_power_w"}
    # 118 uA/MHz x 16 MHz x 3 V x 2.2
    assert cost.heat[0].power_w == pytest.approx(12.46e-3, rel=1e-3)


# --- cycles per instruction


def test_every_emulated_core_has_an_honest_entry() -> None:
    cores = table()
    assert set(cores) >= {
        "cortex-m0plus",
        "cortex-m3",
        "cortex-m4f",
        "cortex-m7",
        "cortex-m33",
        "cortex-m55",
        "rv32imc",
    }
    for core in cores.values():
        assert core.low < core.high
        # A calibrated core states its error; the rest claim no calibration.
        assert (core.how == "modelled") == bool(core.tasks) == (core.leave_one_out_error is not None)
    assert cycles_per_instruction("cortex-a53") is None


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "edge_cpi.py"
    spec = importlib.util.spec_from_file_location("edge_cpi", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_published_cycles_are_those_of_the_x_cube_ai_9_rows(benchmark: ModuleType) -> None:
    cycles = benchmark.published_cycles("cortex-m4f")
    # 43.187 ms and 165.125 ms at 120 MHz
    assert cycles["kws"] == pytest.approx(43.187e-3 * 120e6)
    assert cycles["ic"] == pytest.approx(165.125e-3 * 120e6)
    assert set(cycles) == {"ad", "ic", "kws", "vww"}


def test_calibration_by_hand(benchmark: ModuleType) -> None:
    cycles = benchmark.published_cycles("cortex-m4f")
    wanted = {"kws": 2.0, "ic": 1.0, "ad": 2.0}
    counted = {task: round(cycles[task] / ratio) for task, ratio in wanted.items()}
    (result,) = benchmark.calibrate({"cortex-m4f": counted}, "zig 0.17.1 -O2")
    assert result.cpi.value == pytest.approx(4 ** (1 / 3), rel=1e-5)
    assert [result.cpi.low, result.cpi.high] == pytest.approx([1, 2], rel=1e-5)
    # ic from the others: 2 / 1 - 1; kws from the others: sqrt(2) / 2 - 1
    assert result.errors["ic"] == pytest.approx(1, rel=1e-4)
    assert result.errors["kws"] == pytest.approx(math.sqrt(2) / 2 - 1, rel=1e-4)
    assert result.cpi.leave_one_out_error == pytest.approx(1, rel=1e-4)
    assert result.cpi.tasks == ("ad", "ic", "kws")
    with pytest.raises(InputError, match="no published rows for cortex-m3"):
        benchmark.calibrate({"cortex-m3": counted}, "")
    with pytest.raises(InputError, match="at least two"):
        benchmark.calibrate({"cortex-m7": {"kws": 10}}, "")


def test_calibration_is_written_beside_what_was_there(benchmark: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "cpi.toml"
    path.write_text(cpi_module.PATH.read_text("utf-8"), "utf-8")
    before = dict(table(path))
    counted = {task: round(n / 1.5) for task, n in benchmark.published_cycles("cortex-m7").items()}
    calibrations = benchmark.calibrate(json.loads(json.dumps({"cortex-m7": counted})), "zig")
    benchmark.write(calibrations, path)
    after = dict(table(path))
    assert after["cortex-m7"].value == pytest.approx(1.5, abs=1e-3)
    assert after["cortex-m7"].compiler == "zig"
    assert {k: v for k, v in after.items() if k != "cortex-m7"} == {
        k: v for k, v in before.items() if k != "cortex-m7"
    }
    assert path.read_text("utf-8").startswith("# Cycles per instruction")
