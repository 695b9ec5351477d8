"""Which keys a device file may hold, section by section, and what each of them measures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from trine.devices.units import DIMENSIONS

KINDS = ("edge", "neuromorphic", "quantum")

CORES = (
    "cortex-a53",
    "cortex-m0",
    "cortex-m0plus",
    "cortex-m3",
    "cortex-m33",
    "cortex-m4f",
    "cortex-m55",
    "cortex-m7",
    "cortex-m85",
    "msp430",
    "rv32-gap",
    "rv32imc",
    "xtensa-lx7",
)


@dataclass(frozen=True)
class Section:
    """The keys of one table. `open_to`: the dimensions that keys outside the list may have.

    `profiled`: the table holds one sub-table per source or seller (`events.davies2018`), with these keys.
    `dated`: every figure says when it was observed.
    """

    figures: Mapping[str, str] = field(default_factory=dict)
    series: Mapping[str, str] = field(default_factory=dict)
    facts: tuple[str, ...] = ()
    word: str = ""
    words: str = ""
    choices: tuple[str, ...] = ()
    open_to: tuple[str, ...] = ()
    profiled: bool = False
    dated: bool = False

    def keys(self) -> list[str]:
        plain = [name for name in (self.word, self.words) if name]
        return [*plain, *self.facts, *self.figures, *self.series]


def _all(dimension: str, *names: str) -> dict[str, str]:
    return dict.fromkeys(names, dimension)


OTHER = Section(open_to=DIMENSIONS)
"""Figures kept for the reader, which no part of Trine computes with: any name."""

EDGE: dict[str, Section] = {
    "core": Section(
        word="id",
        choices=CORES,
        facts=("name", "isa", "simd", "fpu"),
        figures=_all("frequency", "clock", "clock_max"),
    ),
    "memory": Section(
        words="external",
        choices=("ram", "flash"),
        figures=_all(
            "data size",
            "ram",
            "tcm",
            "sram",
            "flash",
            "board_flash",
            "board_ram",
            "cache",
            "l1",
            "accelerator_weights",
        ),
    ),
    "power": Section(
        figures={
            **_all("voltage", "supply", "supply_min", "supply_max"),
            "active_power": "power",
            **_all("current", "active_current", "sleep_current"),
            **_all("current per frequency", "run_current", "run_current_ldo"),
        }
    ),
    "sleep": Section(open_to=("current", "power")),
    "other": OTHER,
}

_EVENTS = (
    *("synop", "synapse_dense", "synapse_sparse", "synapse_conv", "neuron_update", "neuron_update_inactive"),
    *(
        "learning_update",
        "soma_access",
        "soma_update",
        "soma_spike",
        "axon_in",
        "axon_out",
        "hop_ew",
        "hop_ns",
    ),
    *("spike_within_tile", "barrier_sync", "activation", "event_through_network"),
)
_CYCLES = (
    *("input", "input_spike_target", "hidden_isyn", "hidden_recurrent_spike", "hidden_fixed"),
    *("output_spike", "output_fixed"),
)

NEUROMORPHIC: dict[str, Section] = {
    "chip": Section(facts=("form", "refused", "neuron_model", "technology", "sensor", "core", "weights")),
    "limits": Section(
        figures={
            **_all(
                "count", "cores", "x86_cores", "tiles", "neurons", "neurons_per_core", "compartments_per_core"
            ),
            **_all("count", "synapses", "synapses_per_neuron", "in_axons_per_core", "out_axons_per_core"),
            **_all("count", "axons_per_core", "axon_types", "axons_per_neuron", "bias_memory_per_core"),
            **_all("count", "input_channels", "hidden_neurons", "output_neurons", "fan_in", "hidden_weights"),
            **_all("count", "kernel_max", "output_map_max", "features_max", "fan_out_layers", "delay_max"),
            **_all("count", "compartment_configs_per_core", "threshold_configs_per_core", "chips_max"),
            **_all("word length", "weight_bits", "state_bits", "graded_spike_bits", "spike_message_bits"),
            **_all("data size", "synapse_memory_per_core", "sram", "sram_per_core", "dram"),
            **_all("time", "tick"),
            **_all("frequency", "clock_max"),
        },
        series={
            "weight_bits_allowed": "word length",
            "weight_memory_by_core": "data size",
            "neurons_by_core": "count",
            "strides_allowed": "count",
        },
    ),
    "mismatch": Section(figures=_all("ratio", "threshold", "weight", "time_constant")),
    "power": Section(
        figures={
            **_all(
                "power",
                "static_power",
                "static_power_per_core",
                "idle_power",
                "typical_power",
                "dynamic_power",
            ),
            **_all("power", "video_power", "fit_intercept", "fit_slope_per_copy", "board_idle_power"),
            **_all("voltage", "supply", "supply_min", "supply_max"),
            "sweep_synapses": "count",
        },
        series={"sweep_rates": "frequency", "sweep_powers": "power"},
    ),
    "io": Section(figures=_all("energy", "edge_spike", "chip_crossing")),
    "barrier": Section(series={"chips": "count", "times": "time"}),
    "events": Section(
        profiled=True,
        figures={
            **{f"{event}_energy": "energy" for event in _EVENTS},
            **{f"{event}_time": "time" for event in _EVENTS},
            **{f"{event}_cycles": "cycles" for event in _CYCLES},
            "clock_margin": "ratio",
            **_all("ratio", "stated_energy_error", "stated_latency_error"),
        },
        series={"barrier_tiles": "count", "barrier_times": "time"},
    ),
    "other": OTHER,
}

QUANTUM: dict[str, Section] = {
    "machine": Section(facts=("technology", "topology", "native_gates", "snapshot", "price_formula")),
    "limits": Section(figures=_all("count", "qubits", "couplers", "couplers_per_qubit")),
    "errors": Section(
        figures=_all("ratio", "one_qubit", "two_qubit", "readout", "readout_0", "readout_1", "spam"),
    ),
    "times": Section(
        figures=_all(
            "time", "t1", "t2", "one_qubit_gate", "two_qubit_gate", "readout", "reset", "repetition_delay"
        ),
    ),
    "speed": Section(
        figures={
            **_all("rate", "clops", "shot_rate"),
            **_all("count", "quantum_volume", "algorithmic_qubits"),
        }
    ),
    "price": Section(
        profiled=True,
        dated=True,
        figures={
            "per_task": "price per task",
            "per_shot": "price per shot",
            **_all("price per gate-shot", "per_one_qubit_gate_shot", "per_two_qubit_gate_shot"),
            **_all("price per job", "minimum_per_job", "minimum_per_job_mitigated"),
            **_all("price per time", "per_time", "per_time_flex", "subscription"),
            "per_hqc": "price per HQC",
        },
    ),
    "other": OTHER,
}

SECTIONS: dict[str, dict[str, Section]] = {"edge": EDGE, "neuromorphic": NEUROMORPHIC, "quantum": QUANTUM}

REQUIRED: dict[str, tuple[str, ...]] = {
    "edge": ("core.id", "core.name", "core.clock"),
    "neuromorphic": (),
    "quantum": ("machine.topology", "limits.qubits"),
}

TOP_KEYS = ("name", "kind", "title", "notes", "sources", "benchmarks")

BENCHMARK_KEYS = (
    *("suite", "runtime", "clock_mhz", "supply_v", "conditions", "source", "class", "split"),
    "results",
)
RESULT_UNITS = {"latency_ms": "ms", "energy_uj": "uJ", "power_mw": "mW"}
"""Keys of one result of a benchmark, and their units."""
