"""`trine check` for chips: what can be known of a network on a chip without data, every obstacle at once.

Neurons, weights and inputs a neuron follow from the graph alone. Cores need spikes and whole weights, so they are left
to `trine compile`; where a bound already breaks a limit, the answer is no.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trine.compilers.graph import Graph, Shape
from trine.compilers.report import Fit
from trine.compilers.source import load_source
from trine.devices import NeuroChip
from trine.devices.errors import InputError
from trine.neuromorphic.chips.crossbar import INPUTS
from trine.neuromorphic.chips.form import form_of, schemes_of
from trine.neuromorphic.chips.narrow import fan_in
from trine.neuromorphic.conversion.layers import READOUT, LayerNet
from trine.neuromorphic.conversion.walk import layers_of
from trine.neuromorphic.target import TARGET

LATER = "cores and spikes depend on thresholds and weights: trine compile with --data says"


@dataclass(frozen=True)
class ChipReport:
    """What can be said without data. fit: bounds against limits; notes: what a bound means."""

    model: str
    device: str
    macs: int
    parameters: int
    form: str
    schemes: Sequence[str]
    fit: Sequence[Fit]
    notes: Sequence[str]

    @property
    def ok(self) -> bool:
        """No bound breaks a limit."""
        return all(f.ok for f in self.fit)

    def as_json(self) -> dict[str, Any]:
        """For `trine check --json`."""
        return {
            "model": self.model, "device": self.device, "ok": self.ok, "macs": self.macs,
            "parameters": self.parameters, "form": self.form, "schemes": list(self.schemes),
            "fit": [f.as_json() for f in self.fit], "notes": list(self.notes),
        }  # fmt: skip

    def text(self) -> str:
        """For a terminal."""
        answer = "every node has a spiking form" if self.ok else "does not fit"
        lines = [
            f"{self.model} for {self.device}: {answer} (form: {self.form}; --scheme {' or '.join(self.schemes)})",
            f"  {self.macs:,} multiply-accumulates, {self.parameters:,} parameters",
        ]
        for f in self.fit:
            there = "limit not published" if f.available is None else f"of {f.available:,} {f.unit}"
            lines.append(f"  {f.limit}: {f.used:,} {there} ({f.how}){'' if f.ok else '  DOES NOT FIT'}")
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])


def check_chip(source: Path, chip: NeuroChip, shapes: Mapping[str, Shape]) -> ChipReport:
    """Bounds of a model on a chip. Raises InputError with all obstacles: nodes, and a chip that takes no network."""
    graph = load_source(source, shapes)
    obstacles = TARGET.obstacles(graph, chip)
    if obstacles:
        raise InputError(f"{source.name} cannot be compiled for {chip.name}:\n  " + "\n  ".join(obstacles))
    return report(graph, chip, source.name)


def report(graph: Graph, chip: NeuroChip, model: str) -> ChipReport:
    """`check_chip` of a graph."""
    net, form = layers_of(graph), form_of(chip)
    notes = [LATER]
    if form.analogue:
        notes.insert(
            0, "analogue: results are statistics over imagined copies of the chip, never bit for bit"
        )
    return ChipReport(
        model,
        chip.name,
        graph.macs(),
        graph.parameters(),
        form.name,
        schemes_of(chip),
        bounds(net, chip),
        tuple(notes),
    )


def bounds(net: LayerNet, chip: NeuroChip) -> list[Fit]:
    """Amounts that no choice of thresholds changes, against the chip's limits where there are some."""
    computing = [x for x in net.layers if x.role != READOUT or form_of(chip).answers_in_spikes]
    sizes = {x.name: int(np.prod(x.shape)) for x in computing}
    found = [_fit("neurons", sum(sizes.values()), chip, "limits.neurons", "neurons")]
    if chip.figure("limits.hidden_neurons") is not None:
        found += _one_core(net, sizes, chip)
    weights = sum(t.weight.size for x in net.layers for t in x.terms)
    found.append(Fit("weights, averages folded in", weights, None, "weights", "modelled"))
    widest = max(net.layers, key=lambda x: fan_in(x, net))
    inputs = _fit(
        f"inputs of a neuron of {widest.name}",
        fan_in(widest, net),
        chip,
        "limits.synapses_per_neuron",
        "inputs",
    )
    if form_of(chip).name == "gated crossbar":  # layers that have more keep the best
        synapses = sum(min(fan_in(x, net), INPUTS) * sizes.get(x.name, 0) for x in net.layers)
        found.append(
            Fit(f"inputs kept of {inputs.used:,}", min(inputs.used, INPUTS), INPUTS, "inputs", "modelled")
        )
    else:
        synapses = sum(fan_in(x, net) * int(np.prod(x.shape)) for x in net.layers)
        found.append(inputs)
    found.append(_fit("synapses at most", synapses, chip, "limits.synapses", "synapses"))
    kernels = [t.weight.shape[2:] for x in net.layers for t in x.terms if t.kind == "conv"]
    if kernels and chip.figure("limits.kernel_max") is not None:
        found.append(_fit("kernel", max(max(k) for k in kernels), chip, "limits.kernel_max", "taps"))
    maps = [max(x.shape[1:]) for x in computing if len(x.shape) > 1]
    if maps and chip.figure("limits.output_map_max") is not None:
        found.append(_fit("map of a layer", max(maps), chip, "limits.output_map_max", "places"))
    layers = chip.series.get("limits.weight_memory_by_core")
    if layers is not None:
        found.append(Fit("layers", len(computing), len(layers.values), "cores", "modelled"))
    return found


def _one_core(net: LayerNet, sizes: Mapping[str, int], chip: NeuroChip) -> list[Fit]:
    """Xylo: channels in, hidden neurons, neurons that answer."""
    answers = sizes[net.output.name]
    channels = sum(2 * t.size for t in net.inputs)
    return [
        _fit("input channels, one a sign", channels, chip, "limits.input_channels", "channels"),
        _fit("hidden neurons", sum(sizes.values()) - answers, chip, "limits.hidden_neurons", "neurons"),
        _fit("output neurons", answers, chip, "limits.output_neurons", "neurons"),
    ]


def _fit(name: str, used: int, chip: NeuroChip, key: str, unit: str) -> Fit:
    return Fit(name, used, chip.count(key), unit, "modelled")
