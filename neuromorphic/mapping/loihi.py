"""Cores of Loihi 1 and 2.

Loihi 1: compartments, synapse words, input and output axons, formats (Davies et al. 2018; nengo-loihi 1.1.0;
NxTF). Convolutions and pools use population axons: one input axon for each place, weights stored once for
all places with the same taps (compartment base below 256: at most 256 places a box), two output-axon slots a
message ("pop32"). Dense projections use discrete axons: one input axon for each source neuron, one slot a
message. Loihi 2: neurons (8,192 a core, unverified) and 192 KB of synapse memory a core (unverified); zero
weights are not culled.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from trine.devices import NeuroChip
from trine.neuromorphic.mapping.grid import Demand
from trine.neuromorphic.mapping.partition import CoreRule, Messages
from trine.neuromorphic.mapping.place import Mesh
from trine.neuromorphic.mapping.reach import Wiring
from trine.neuromorphic.mapping.records import Limit, Violation
from trine.neuromorphic.mapping.words import (
    WEIGHT_BITS,
    WORD_BITS,
    axon_words,
    delay_bits,
    index_bits,
    weight_format,
)
from trine.neuromorphic.net import INPUT, Population, SpikingNet

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

MESH: Final = Mesh(
    8, 4, 4, "32 tiles of 4 cores, 8 x 4 as SANA-FE's Loihi preset (Davies et al. 2018 gives 128 cores)"
)
FORMATS: Final = 7  # NxTF, arXiv 2101.04261; the hardware has 15
WORDS_PER_AXON: Final = 256  # NxTF
PLACES: Final = 256  # compartment base of a population axon (nengo-loihi 1.1.0)
ATOMS: Final = 512  # channels one population axon tells apart: 9 bits (nengo-loihi 1.1.0)
POP_SLOTS: Final = 2  # output-axon slots of a pop32 message (nengo-loihi 1.1.0)
DELAY_STEPS: Final = 8  # by default; beyond, compartments are given up for delay slots
LONG_DELAY_COMPARTMENTS: Final = 128  # 1,024 compartments x 8 slots shared as 64 slots each (derived)
LOIHI2_BYTES: Final = 192 * 1024  # about 192 KB a core (unverified)

REMEDIES: Final = {
    "compartments": "drop reset by subtraction (two compartments a neuron), or shorten delays to 8 steps",
    "synapse memory": "use fewer weight bits, prune, or split the layer's inputs (grouped convolution)",
    "input axons": "give the layer fewer inputs: pool or stride before it, or convolve instead of a dense layer",
    "output axons": "make the layer it feeds smaller, so that it needs fewer cores",
    "formats": "join projections into the layer, or give them one weight format",
    "thresholds": "use fewer different thresholds in the layer (one a channel, quantised)",
    "neurons": "make the layer smaller",
}


def loihi1_rule(net: SpikingNet, chip: NeuroChip) -> CoreRule:
    """The core of Loihi 1, its limits read from the chip's record."""
    need = chip.need
    source = need("limits.compartments_per_core").source
    limits = (
        Limit("compartments", need("limits.compartments_per_core").value, "compartments", source),
        Limit(
            "synapse memory",
            need("limits.synapse_memory_per_core").si_value * 8 / WORD_BITS,
            "64-bit words",
            source,
        ),
        Limit("input axons", need("limits.in_axons_per_core").value, "axons", source),
        Limit("output axons", need("limits.out_axons_per_core").value, "axon slots", source),
        Limit("formats", FORMATS, "synapse formats", "NxTF, arXiv 2101.04261"),
        Limit(
            "thresholds", need("limits.threshold_configs_per_core").value, "threshold configurations", source
        ),
    )

    def use(p: Population, neurons: Ints, incoming: list[Demand], outgoing: Messages) -> Floats:
        words, axons = np.zeros_like(neurons, np.float64), np.zeros_like(neurons, np.float64)
        for d in incoming:
            more_words, more_axons = _memory(d)
            words, axons = words + more_words, axons + more_axons
        slots = np.zeros_like(neurons)
        for wiring, messages in outgoing:
            slots = slots + messages * (POP_SLOTS if wiring.shared else 1)
        columns = (
            neurons * compartments_of(p, [d.wiring for d in incoming], limits[0].available),
            words,
            axons,
            slots,
            np.full_like(neurons, len({synapse_format(d.wiring) for d in incoming})),
            np.minimum(_thresholds(p, incoming, neurons), neurons),
        )
        return np.stack(np.broadcast_arrays(*(np.asarray(c, np.float64) for c in columns)), axis=-1)

    inputs = frozenset(p.name for p in net.populations if p.neuron == INPUT)

    def imposed(d: Demand) -> Floats:
        if d.wiring.projection.source in inputs:
            return np.zeros(1)
        return d.sources * (POP_SLOTS if d.wiring.shared else 1) / limits[3].available

    return CoreRule(limits, use, REMEDIES, imposed)


def compartments_of(p: Population, into: list[Wiring], per_core: float) -> float:
    """Compartments a neuron takes: two for reset by subtraction (NxTF), more where delays exceed 8 steps."""
    each = 2.0 if p.reset == "subtraction" else 1.0
    long = any(w.projection.delay_steps > DELAY_STEPS for w in into)
    return each * (per_core / LONG_DELAY_COMPARTMENTS if long else 1.0)


def synapse_format(wiring: Wiring) -> tuple[object, ...]:
    """What a core's synapse format says of a projection; those of equal formats share one (Davies et al. 2018, p. 89;
    nengo-loihi 1.1.0 keeps one for equal settings)."""
    p = wiring.projection
    weights = weight_format(p)
    bits, exponent = weights.bits, weights.exponent + p.weight_exponent
    return bits, exponent, weights.sign, delay_bits(p.delay_steps), wiring.shared


def _memory(d: Demand) -> tuple[Floats, Floats]:
    """(synapse words, input axons) of one projection into boxes."""
    projection = d.wiring.projection
    stored = (weight_format(projection).bits or WEIGHT_BITS[-1]) + delay_bits(projection.delay_steps)
    bits: Ints = np.full_like(d.neurons, stored)
    if d.wiring.shared:
        bits += index_bits(d.neurons)  # targets of one place are not consecutive: channels lie apart
    words = np.zeros_like(d.neurons, np.float64)
    for weights, count in d.entries:
        each = axon_words(weights, bits)
        words = words + np.where(each <= WORDS_PER_AXON, each * count, np.inf)
    axons = d.positions * -(-d.wiring.source[0] // ATOMS) if d.wiring.shared else d.sources
    if d.wiring.shared:
        words = np.where(d.area <= PLACES, words, np.inf)
    return words, axons.astype(np.float64)


def _thresholds(p: Population, incoming: list[Demand], neurons: Ints) -> Ints:
    """Different thresholds a box may hold: one a channel where they differ by channel only."""
    values = np.asarray(p.parameters.get("vth", p.parameters.get("v_threshold", 1.0)))
    distinct = len(np.unique(values))
    if distinct == 1:
        return np.ones_like(neurons)
    by_channel = values.ndim == len(p.shape) and all(n == 1 for n in values.shape[1:])
    if by_channel and incoming:
        neurons = neurons // incoming[0].area
    most: Ints = np.minimum(neurons, distinct)
    return most


def loihi1_violations(net: SpikingNet, wires: tuple[Wiring, ...]) -> list[Violation]:
    """What no partition can cure: weights and delays."""
    found = []
    for w in wires:
        p = w.projection
        where = f"projection {p.name} ({p.source} -> {p.target})"
        weights = weight_format(p)
        if weights.bits is None:
            found.append(
                Violation(
                    where, "weight width", weights.needed, 8, "bits", "quantise the weights to 8 bits or less"
                )
            )
        if p.delay_steps > 62:
            found.append(
                Violation(
                    where,
                    "delay",
                    p.delay_steps,
                    62,
                    "steps",
                    "shorten it, or relay through a layer of neurons",
                )
            )
        if p.graded:
            found.append(
                Violation(
                    where,
                    "graded spikes",
                    None,
                    None,
                    "",
                    "Loihi 1 sends binary spikes: use a rate scheme, or loihi2",
                )
            )
    neurons = {p.neuron for p in net.populations} - {INPUT}
    found += [
        Violation(
            f"neuron {name}",
            "neuron model",
            None,
            None,
            "",
            "Loihi 1 has current-based leaky integrate-and-fire only",
        )
        for name in sorted(neurons - {"IF", "LIF", "CubaLIF", "LI", "AdaptiveLIF", "CubaLI", "I"})
    ]
    return found


def loihi2_rule(net: SpikingNet, chip: NeuroChip) -> CoreRule:
    """The core of Loihi 2, by the two limits that are known at all."""
    neurons_per_core = chip.need("limits.neurons_per_core")
    limits = (
        Limit(
            "neurons",
            neurons_per_core.value,
            "neurons",
            f"{neurons_per_core.source} ({neurons_per_core.cls})",
        ),
        Limit(
            "synapse memory", LOIHI2_BYTES, "bytes", "about 192 KB a core, open-neuromorphic.org (unverified)"
        ),
    )

    def use(p: Population, neurons: Ints, incoming: list[Demand], outgoing: Messages) -> Floats:
        size = np.zeros_like(neurons, np.float64)
        for d in incoming:
            bits = weight_format(d.wiring.projection).bits or 8
            size = size + (d.stored if d.wiring.shared else d.synapses) * bits / 8
        return np.stack(np.broadcast_arrays(neurons.astype(np.float64), size), axis=-1)

    return CoreRule(limits, use, REMEDIES)
