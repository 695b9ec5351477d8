"""What the catalogue's annealers are: their graph, the ranges of their coefficients, the time they take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from trine.compilers.estimate import Estimate
from trine.devices import QuantumDevice
from trine.devices.errors import InputError, MissingExtra

SIZES = {
    "pegasus": 16,
    "zephyr": 12,
}  # of Advantage (P16) and Advantage2 (Z12): dwave-system's mock processors
# Coefficients as of Advantage_system4.1, February 2022 (dwave-system 1.36, MockDWaveSampler's properties).
H_RANGE, J_RANGE, COUPLING_RANGE = (-4.0, 4.0), (-2.0, 1.0), (-18.0, 15.0)
RANGES_SOURCE = (
    "h, extended J and per-qubit coupling ranges of Advantage_system4.1 (dwave-system, MockDWaveSampler)"
)
# D-Wave's page on errors gives h = 1, J = -1 that become 1.01 and -1.01 as its example of integrated control errors.
CONTROL_ERROR = 0.01
CONTROL_SOURCE = "integrated control errors of about 0.01 (D-Wave documentation, Errors and Error Correction)"
# Microseconds of Advantage_system4.1, August 2022 (dwave-cloud-client, qpu_problem_timing_data): readout by qubits.
PROGRAMMING_US, ANNEAL_US, DELAY_US = 14072.88, 20.0, 20.54
READOUT_LOG10 = (
    (0.0, 0.76997, 1.72428, 2.71198, 3.16391, 3.75028),
    (1.53913, 1.87266, 2.12563, 2.33267, 2.37161, 2.37162),
)
TIMING_SOURCE = "D-Wave's timing data of Advantage_system4.1, August 2022; anneals of 20 us"
MOST_READS = 10_000  # a problem (num_reads_range of the same mock)


@dataclass(frozen=True)
class Annealer:
    """An ideal lattice: every qubit and coupler works. A real machine lacks a few percent of them."""

    family: str
    size: int

    @property
    def words(self) -> str:
        """As in Zephyr Z12."""
        return f"{self.family.capitalize()} {self.family[0].upper()}{self.size}"


def family_of(device: QuantumDevice) -> str:
    """pegasus, zephyr, or "" for a machine that is no annealer."""
    name = device.topology.strip().lower()
    return name if name in SIZES and not device.native_gates else ""


def annealer_of(device: QuantumDevice) -> Annealer:
    """The annealer of a device. Raises InputError for another machine."""
    family = family_of(device)
    if not family:
        raise InputError(f"{device.name} is no annealer: its topology is {device.topology}")
    return Annealer(family, SIZES[family])


@cache
def lattice(annealer: Annealer) -> Any:
    """The graph, a networkx.Graph of integers. Raises MissingExtra."""
    try:
        graphs = import_module("dwave.graphs")
    except ImportError:
        raise MissingExtra("dwave-graphs", "cloud", "embedding into an annealer's graph") from None
    return getattr(graphs, f"{annealer.family}_graph")(annealer.size)


def scale_of(h: Mapping[int, float], j: Mapping[tuple[int, int], float]) -> float:
    """The largest factor that keeps all coefficients in their ranges; 1 for a problem without any."""
    load: dict[int, float] = {}
    used = [abs(v) / H_RANGE[1] for v in h.values()]
    for pair, value in j.items():
        used.append(value / (J_RANGE[1] if value > 0 else J_RANGE[0]))
        for q in pair:
            load[q] = load.get(q, 0.0) + value
    used += [v / (COUPLING_RANGE[1] if v > 0 else COUPLING_RANGE[0]) for v in load.values()]
    most = max(used, default=0.0)
    return 1 / most if most > 0 else 1.0


def access_s(qubits: int, reads: int) -> Estimate:
    """Time on the machine: programming, then anneal, readout and delay of each read."""
    readout = 10 ** float(np.interp(np.log10(max(1, qubits)), *READOUT_LOG10))
    value = 1e-6 * (PROGRAMMING_US + reads * (ANNEAL_US + readout + DELAY_US))
    source = f"programming + reads x (anneal + readout of {qubits} qubits + delay): {TIMING_SOURCE}"
    return Estimate("machine_s", value, "s", value / 2, value * 2, "modelled", source)
