"""How the figures of a chip's record are used: which event each is multiplied with, and static power."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from trine.devices import Figure, NeuroChip
from trine.devices.errors import InputError, nearest
from trine.devices.units import convert

SWEEP: Final = "sweep"
"""The profile of a chip whose power was measured at several rates: static and marginal power from the sweep."""

COSTS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "synop_energy": ("synapse", ("dense_operations", "conv_operations", "sparse_operations")),
    "synapse_dense_energy": ("synapse", ("dense_operations",)),
    "synapse_conv_energy": ("synapse", ("conv_operations",)),
    "synapse_sparse_energy": ("synapse", ("sparse_operations",)),
    "neuron_update_energy": ("neuron", ("updates",)),
    "neuron_update_inactive_energy": ("neuron", ("idle",)),
    "soma_access_energy": ("neuron", ("accesses",)),
    "soma_update_energy": ("neuron", ("updates",)),
    "soma_spike_energy": ("neuron", ("spikes",)),
    "axon_out_energy": ("network", ("packets",)),
    "spike_within_tile_energy": ("network", ("packets",)),
    "hop_ew_energy": ("network", ("hops_ew",)),
    "hop_ns_energy": ("network", ("hops_ns",)),
}
"""Figure of a profile -> (part of the dynamic energy, events it is multiplied with)."""

UNUSED: Final = frozenset({"learning_update_energy"})
TIMES: Final[dict[str, tuple[str, ...]]] = {
    "synop_time": ("dense_operations", "conv_operations", "sparse_operations"),
    "synapse_dense_time": ("dense_operations",),
    "synapse_conv_time": ("conv_operations",),
    "synapse_sparse_time": ("sparse_operations",),
    "neuron_update_time": ("updates",),
    "neuron_update_inactive_time": ("idle",),
    "soma_access_time": ("accesses",),
    "soma_update_time": ("updates",),
    "soma_spike_time": ("spikes",),
    "axon_out_time": ("packets",),
    "axon_in_time": ("packets_in",),
}
"""Figure of a profile -> events it is multiplied with, on one core, one after another."""

PARTS: Final = ("synapse", "neuron", "network")


@dataclass(frozen=True)
class Price:
    """Joules of one event of the given quantities, in one part of the dynamic energy."""

    key: str
    part: str
    quantities: tuple[str, ...]
    value: float
    low: float
    high: float
    source: str


def profiles(chip: NeuroChip) -> tuple[str, ...]:
    """Profiles that can be priced, the preferred first; none where a chip has no energy an event."""
    if analogue(chip):
        return ()
    own = tuple(name for name in chip.event_profiles if any(key in COSTS for key in chip.events(name)))
    return (SWEEP, *own) if "power.sweep_rates" in chip.series else own


def analogue(chip: NeuroChip) -> bool:
    """Whether no energy an event can be given: analogue chips, of which only the whole chip's power is measured."""
    technology = chip.facts.get("chip.technology")
    return technology is not None and technology.text == "analogue"


def prices(chip: NeuroChip, profile: str) -> tuple[Price, ...]:
    """What each event costs. Raises InputError for an unknown profile or a figure whose use is not known."""
    known = profiles(chip)
    if profile not in known:
        hint = (
            nearest(profile, known)
            if known
            else "no energy an event of this chip is public: no joules are computed"
        )
        raise InputError(f"{chip.name} has no energy profile {profile!r}; {hint}")
    if profile == SWEEP:
        joules = rate_sweep(chip)[1]
        source = f"slope of the rate sweep, {chip.series['power.sweep_rates'].source} (derived)"
        return (Price("sweep", "synapse", COSTS["synop_energy"][1], joules, joules, joules, source),)
    figures = {
        key: f for key, f in chip.events(profile).items() if key.endswith("_energy") and key not in UNUSED
    }
    strange = sorted(set(figures) - set(COSTS) - {"activation_energy"})
    if strange:
        raise InputError(
            f"{chip.name}, profile {profile}: what is {', '.join(strange)} multiplied with? see {chip.path}"
        )
    return tuple(_price(key, figures) for key in sorted(figures) if key in COSTS)


def _price(key: str, figures: dict[str, Figure]) -> Price:
    figure = figures[key]
    part, quantities = COSTS[key]
    low, high = figure.si_range
    if key == "synapse_conv_energy" and "synapse_dense_energy" in figures:
        high = max(
            high, figures["synapse_dense_energy"].si_value
        )  # which of the two a chip pays is not settled
    return Price(key, part, quantities, figure.si_value, low, high, f"{figure.source} ({figure.cls})")


def sweep_points(chip: NeuroChip) -> list[tuple[float, float]]:
    """(mean rate in Hz, chip power in W) of a chip's rate sweep."""
    rates, powers = chip.series["power.sweep_rates"], chip.series["power.sweep_powers"]
    return [
        (convert(rate, rates.unit, "Hz"), convert(power, powers.unit, "W"))
        for rate, power in zip(rates.values, powers.values, strict=True)
    ]


def rate_sweep(chip: NeuroChip) -> tuple[float, float]:
    """(static power in W, J a synaptic operation) from the ends of the rate sweep; the points between check it."""
    (slow, low), *_, (fast, high) = sweep_points(chip)
    slope = (high - low) / (fast - slow)
    return low - slope * slow, slope / chip.need("power.sweep_synapses").value


def static_power(chip: NeuroChip, profile: str) -> Figure | None:
    """Power that flows whether or not anything spikes, in W a chip; None where it is not published or
    included already.
    """
    if "power.sweep_rates" in chip.series:
        if profile == "operating_point":  # total power over events: static power is in it
            return None
        static = rate_sweep(chip)[0]
        idle = chip.need("power.idle_power")
        return Figure(
            static,
            "W",
            min(idle.si_value, static),
            sweep_points(chip)[0][1],
            f"{chip.series['power.sweep_rates'].conditions}; low: {idle.conditions}",
            chip.series["power.sweep_rates"].source,
            "derived",
        )
    for key in ("power.static_power", "power.idle_power"):
        figure = chip.figure(key)
        if figure is not None:
            return figure.si()
    return None
