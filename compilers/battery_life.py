"""How long a battery lasts under a load that sleeps, wakes, computes and sleeps again.

Capacity divided by mean current overstates it. Counted here: the regulator, the drop over the cell's internal
resistance while the core computes, the loss of capacity at a drain above the standard one, and shelf life.
Left out: self-discharge before that, temperature, and everything that is not the core.
"""

from __future__ import annotations

from dataclasses import dataclass

from trine.compilers.estimate import Estimate
from trine.devices import Battery, Figure
from trine.devices.errors import InputError


@dataclass(frozen=True)
class Duty:
    """How often the network runs, from which battery. Default: one beat a second on a coin cell.

    Raises `InputError` for a rate that is not positive.
    """

    inferences_per_s: float = 1.0
    battery: str = "cr2032"

    def __post_init__(self) -> None:
        if not 0 < self.inferences_per_s < float("inf"):
            raise InputError(f"{self.inferences_per_s} inferences a second: give a positive number")


@dataclass(frozen=True)
class Load:
    """What hangs on the battery: mean and active power in W, the core's supply and the least one in V."""

    average: Estimate
    active: Estimate
    supply_v: float | None
    supply_min_v: float | None


def battery_life(battery: Battery, load: Load) -> Estimate | str:
    """`battery_life_s`, or the reason why there is none.

    low: linear regulator, upper ends of the powers. value: linear regulator. high: an ideal converter and a
    capacitor that smooths the pulses, capacity undiminished. The cell's resistance is taken to rise linearly
    with the charge taken out; it is spent when a pulse pulls it below the voltage that is needed.
    """
    capacity, nominal = battery.capacity, battery.nominal_voltage
    if capacity is None or nominal is None:
        return f"the capacity or voltage of {battery.name} is not published"
    cell_v = nominal.si_value
    # Below the cell's voltage a linear regulator passes the same current; above it a converter must boost.
    rail_v = min(load.supply_v or cell_v, cell_v)
    usable = _usable(battery, load, load.active.value / rail_v, cell_v)
    if usable == 0:
        pulse = load.active.value / rail_v * 1e3
        return (
            f"a fresh {battery.name} cannot hold its voltage under pulses of {pulse:.3g} mA: take a "
            "capacitor that smooths them, or another battery"
        )
    charge_low, charge_high = capacity.si_range
    worst = _usable(battery, load, load.active.high / rail_v, cell_v)
    low = _life(battery, charge_low * worst, load.average.high / rail_v, derate=True)
    value = _life(battery, capacity.si_value * usable, load.average.value / rail_v, derate=True)
    high = _life(battery, charge_high, load.average.low / cell_v, derate=False)
    return Estimate(
        "battery_life_s", value, "s", low, high, "modelled", _source(battery, capacity, rail_v < cell_v)
    )


def _life(battery: Battery, charge_c: float, drain_a: float, derate: bool) -> float:
    """Seconds that a charge lasts at a mean drain, shelf life at most."""
    standard = battery.figures.get("standard_drain")
    exponent = _figure(battery, "drain_exponent", 0.0)
    if derate and standard is not None and drain_a > standard.si_value:
        charge_c *= (standard.si_value / drain_a) ** exponent
    return min(charge_c / drain_a, _figure(battery, "shelf_life", float("inf")))


def _usable(battery: Battery, load: Load, pulse_a: float, cell_v: float) -> float:
    """Share of the charge that can be had before a pulse pulls the cell below the voltage needed, 0 to 1."""
    resistance = battery.figures.get("internal_resistance")
    if resistance is None:
        return 1.0
    fresh, spent = resistance.si_range
    end = _figure(battery, "end_voltage", 0.0)
    regulated = load.supply_v if load.supply_v is not None and load.supply_v < cell_v else 0.0
    headroom = cell_v - max(end, regulated, load.supply_min_v or 0.0)
    if headroom <= 0 or headroom < pulse_a * fresh:
        return 0.0
    if spent <= fresh or headroom >= pulse_a * spent:
        return 1.0
    return (headroom / pulse_a - fresh) / (spent - fresh)


def _figure(battery: Battery, key: str, otherwise: float) -> float:
    """A figure of a battery in its base unit, or what holds where there is none."""
    figure = battery.figures.get(key)
    return otherwise if figure is None else figure.si_value


def _source(battery: Battery, capacity: Figure, regulated: bool) -> str:
    """The equation and the sources of its terms."""
    parts = [f"charge of {battery.title} ({capacity.source}) / mean current"]
    if regulated:
        parts.append("core behind a linear regulator (high: ideal converter)")
    if "internal_resistance" in battery.figures:
        end = _figure(battery, "end_voltage", 0.0)
        parts.append(f"pulses over its internal resistance, down to {end:g} V")
    if "drain_exponent" in battery.figures:
        parts.append("less capacity above the standard drain")
    if "shelf_life" in battery.figures:
        years = battery.figures["shelf_life"].to("yr").value
        parts.append(f"{years:g} years of shelf life at most")
    return "; ".join([*parts, "without sensing, radio and self-discharge"])
