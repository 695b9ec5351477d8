"""How much power a device draws while it computes and while it sleeps."""

from __future__ import annotations

from trine.compilers.estimate import Estimate, How
from trine.devices import EdgeDevice

HEADLINE_RATIO = 2.2
"""Measured active power over the datasheet's headline on the STM32U575: 23 mW against 19.5 uA/MHz x 160 MHz
x 3.3 V = 10 mW (MLCommons tiny_results_v1.2, ST text in the Zephyr documentation). One part's ratio bounds no
other: for the STM32L4R5 it is 2.4 at 3.3 V and 4.5 at 1.8 V with a headline from memory (43 uA/MHz)."""


def active_power(device: EdgeDevice) -> Estimate | None:
    """`active_power_w`: power while computing at `device.clock_hz`, in W; None where nothing is published.

    Measured board or core power where there is one. Otherwise only a current of the datasheet is known, for
    CoreMark or a busy loop: the range goes from that headline to `HEADLINE_RATIO` times it, with their
    geometric mean as the value.
    """
    measured = device.active_power_w
    if measured is not None:
        low, high = measured.si_range
        source = f"{measured.source}: {measured.conditions}"
        return Estimate("active_power_w", measured.si_value, "W", low, high, "measured", source)
    headline = _headline_power(device)
    if headline is None:
        return None
    watts, text = headline
    source = f"headline {text}, to {HEADLINE_RATIO:g} times it, measured over headline of the STM32U575"
    high = watts * HEADLINE_RATIO
    return Estimate("active_power_w", watts * HEADLINE_RATIO**0.5, "W", watts, high, "modelled", source)


def sleep_power(device: EdgeDevice) -> Estimate | None:
    """`sleep_power_w`: power between inferences with RAM kept, in W; None where it is not published."""
    figure, current = device.sleep_power_w, device.sleep_current_a
    if figure is None or current is None:
        return None
    low, high = figure.si_range
    how: How = "measured" if current.cls == "measured" else "datasheet"
    source = f"{figure.source}, {current.cls}: {figure.conditions}"
    return Estimate("sleep_power_w", figure.si_value, "W", low, high, how, source)


def why_no_power(device: EdgeDevice) -> str:
    """What is missing for `active_power` of a device that has none."""
    if device.active_current_a is None and device.run_current_a_per_hz is None:
        return f"no power or run current of {device.name} is published"
    return f"{device.name} has a run current but no supply voltage to go with it (power.supply)"


def _headline_power(device: EdgeDevice) -> tuple[float, str] | None:
    """(W, how it came about) of the datasheet's current at the supply voltage."""
    supply = device.supply_v
    if supply is None:
        return None
    volts = f"x {supply.si_value:g} V"
    if device.active_current_a is not None:
        current = device.active_current_a
        text = (
            f"{current.to('mA').value:g} mA {volts} ({current.source}, {current.cls}: {current.conditions})"
        )
        return current.si_value * supply.si_value, text
    per_hertz = device.run_current_a_per_hz
    if per_hertz is None:
        return None
    watts = per_hertz.si_value * device.clock_hz * supply.si_value
    rate = f"{per_hertz.to('uA/MHz').value:g} uA/MHz x {device.clock_hz / 1e6:g} MHz"
    conditions = f": {per_hertz.conditions}" if per_hertz.conditions else ""
    return watts, f"{rate} {volts} ({per_hertz.source}, {per_hertz.cls}{conditions})"
