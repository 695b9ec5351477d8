"""Heat of an implant against screening limits: a finding when exceeded, never a proof of safety when not."""

from __future__ import annotations

from dataclasses import dataclass

from trine.compilers.estimate import Estimate
from trine.devices import ThermalLimit, thermal_limits


@dataclass(frozen=True)
class HeatCheck:
    """One power of the device (`average_power_w` or `active_power_w`) beside one screening limit, in W."""

    limit: str
    quantity: str
    power_w: float
    limit_w: float
    exceeds: bool
    source: str

    def __str__(self) -> str:
        verb = "exceeds" if self.exceeds else "stays under"
        return (
            f"{self.quantity} of up to {self.power_w * 1e3:.3g} mW {verb} this screening limit: "
            f"{self.limit_w * 1e3:.3g} mW, {self.limit} ({self.source}); read the standards before use"
        )


def heat_checks(powers: tuple[Estimate, ...], surface_m2: float | None = None) -> tuple[HeatCheck, ...]:
    """The upper end of each power against every limit that can be stated as a power.

    surface_m2: outer surface of the implant, for the limits on heat flux; without it they are left out, as
    are limits on warming, which need the thermal resistance of the implant in its tissue.
    """
    limits = [(limit, _watts(limit, surface_m2)) for _, limit in sorted(thermal_limits().items())]
    return tuple(
        HeatCheck(
            limit=limit.title,
            quantity=power.name,
            power_w=power.high,
            limit_w=watts,
            exceeds=power.high > watts,
            source=f"{limit.limit.source}, {limit.limit.cls}",
        )
        for limit, watts in limits
        if watts is not None
        for power in powers
    )


def _watts(limit: ThermalLimit, surface_m2: float | None) -> float | None:
    figure = limit.limit.si()
    if figure.unit == "W":
        return figure.value
    if figure.unit == "W/m2" and surface_m2 is not None:
        return figure.value * surface_m2
    return None
