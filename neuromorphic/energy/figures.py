"""Figures that the chips' records do not hold, each with its source, and how figures of a profile are
used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from trine.devices import Figure, NeuroChip
from trine.devices.errors import InputError, nearest

SWEEP: Final = "sweep"
"""TrueNorth's own profile: static and marginal power from its rate sweep."""

TRUENORTH_SWEEP: Final = ((11.6, 68e-3), (20.1, 71e-3), (95.9, 94e-3))
"""(mean rate in Hz, chip power in W) at 0.8 V, 1,048,576 neurons with 128 synapses each (Merolla et al. 2014,
doi 10.1126/science.1254642; Akopyan et al. 2015, doi 10.1109/TCAD.2015.2474396)."""

TRUENORTH_SYNAPSES: Final = 1048576 * 128
TRUENORTH_IDLE_W: Final = 42e-3  # 0.70 V, idle (Akopyan et al. 2015)
TRUENORTH_EDGE_J: Final = 64e-12  # a spike from a core to the chip's edge (derived: 2.3 pJ a hop)
TRUENORTH_CHIP_J: Final = 832e-12  # a spike from chip to chip at 1.8 V (derived, Akopyan et al. 2015)

LOIHI_BARRIER_S: Final = {
    "davies2018": ((1, 113e-9), (32, 465e-9)),
    "sanafe": ((1, 0.6e-6), (2, 1.0e-6), (4, 1.4e-6), (29, 1.8e-6)),
}
"""(tiles, seconds) of the barrier that ends a step: Davies et al. 2018, Table 2; SANA-FE arch/loihi.yaml @
8951ab0.
"""

LOIHI_CHIPS_BARRIER_S: Final = ((256, 14.3e-6), (768, 16.2e-6))
"""(chips, seconds) of a barrier over chips (Frady et al. 2020, doi 10.1145/3381755.3398695)."""

WOLF_MOUNTAIN_IDLE_W: Final = 29.6e-3
"""Idle of a Loihi 1 on Wolf Mountain, 8.8 mW at 0.75 V + 20.8 mW at 0.90 V: logs abr/power_benchmarks @
fce95c8.
"""

ANALOG: Final = frozenset({"neurogrid", "brainscales2", "dynap_se2"})
"""Analogue chips: no energy an event is measured at the chip's boundary, only whole-chip power is given."""

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
    if chip.name in ANALOG:
        return ()
    own = tuple(name for name in chip.event_profiles if any(key in COSTS for key in chip.events(name)))
    return (SWEEP, *own) if chip.name == "truenorth" else own


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
        joules = truenorth_sweep()[1]
        source = "slope of the rate sweep at 0.8 V, Merolla et al. 2014 (derived)"
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


def truenorth_sweep() -> tuple[float, float]:
    """(static power in W, J a synaptic operation) from the ends of the rate sweep; the point between checks
    it.
    """
    (slow, low), _, (fast, high) = TRUENORTH_SWEEP
    slope = (high - low) / (fast - slow)
    return low - slope * slow, slope / TRUENORTH_SYNAPSES


def static_power(chip: NeuroChip, profile: str) -> Figure | None:
    """Power that flows whether or not anything spikes, in W a chip; None where it is not published or
    included already.
    """
    if chip.name == "truenorth":
        if profile == "operating_point":  # total power over events: static power is in it
            return None
        static = truenorth_sweep()[0]
        return Figure(
            static,
            "W",
            min(TRUENORTH_IDLE_W, static),
            TRUENORTH_SWEEP[0][1],
            "at 0.8 V; low: 0.70 V, idle",
            "Merolla et al. 2014, rate sweep; Akopyan et al. 2015",
            "derived",
        )
    for key in ("power.static_power", "power.idle_power"):
        figure = chip.figure(key)
        if figure is not None:
            return figure.si()
    return None
