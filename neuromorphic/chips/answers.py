"""Answers as spikes: on chips whose membranes nobody reads, the last layer spikes and the host counts.

The last linear layer becomes one that fires, shifted so that the classes that compete lie within its T levels; behind
it stands a population of the host that adds up its spikes. The host's population takes no place on the chip.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from trine.compilers.graph import Array
from trine.neuromorphic.conversion.layers import FIRE, READOUT, Layer, LayerNet, Term
from trine.neuromorphic.conversion.levels import summed
from trine.neuromorphic.conversion.spiking import Spiking
from trine.neuromorphic.events import Events
from trine.neuromorphic.net import SpikingNet

HOST = "host_counts"
SHARE = 0.005  # of the examples whose answers may lie outside the levels


def answer_in_spikes(net: LayerNet, samples: Mapping[str, Array]) -> LayerNet:
    """The net whose last layer fires, and a host that counts. samples: {input: [n, *shape]}, which set the range."""
    last = net.output
    z = real_values(net, samples)[last.name].reshape(len(next(iter(samples.values()))), -1)
    low, high = decisive(z)
    bias = np.asarray(last.bias - low, np.float64)
    answer = replace(last, bias=bias, role=FIRE, ceiling=high - low)
    host = Layer(
        HOST, last.tensor, last.shape, (Term(last.name, "identity", np.ones(())),), np.zeros(()), READOUT
    )
    return replace(net, layers=(*net.layers[:-1], answer, host))


def decisive(z: Array) -> tuple[float, float]:
    """The range in which answers are told apart: from the weakest winner to the strongest runner-up.

    z: [n, answers]. One answer alone needs its whole range.
    """
    if z.shape[1] == 1:
        low, high = float(z.min()), float(z.max())
    else:
        ordered = np.sort(z, axis=1)
        low = float(np.quantile(ordered[:, -1], SHARE))
        high = float(np.quantile(ordered[:, -2], 1 - SHARE))
    size = float(np.abs(z).max()) or 1.0
    low, high = min(low, high), max(low, high)
    room = max(high - low, 0.05 * size)
    return low - 0.25 * room, high + 0.25 * room


def real_values(net: LayerNet, samples: Mapping[str, Array]) -> dict[str, Array]:
    """Sums of the last layer and activations of all others for real inputs, [n, *shape]."""
    values = {t.name: np.asarray(samples[t.name], np.float32) for t in net.inputs}
    for layer in net.layers:
        z = summed(layer, values)
        values[layer.name] = np.clip(z, 0, layer.ceiling) if layer.role == FIRE else z
    return values


def on_chip(made: Spiking) -> Spiking:
    """The same without the host's population: what is mapped and priced."""
    net = made.net
    if HOST not in net.by_name:
        return made
    answer = tuple(p.source for p in net.into(HOST))
    kept = SpikingNet(
        net.name, net.dt_s, tuple(p for p in net.populations if p.name != HOST),
        tuple(p for p in net.projections if p.target != HOST), net.inputs, answer, net.arithmetic,
    )  # fmt: skip
    return replace(made, net=kept)


def chip_events(events: Events) -> Events:
    """Events of the chip alone."""
    return replace(
        events,
        populations={k: v for k, v in events.populations.items() if k != HOST},
        projections={k: v for k, v in events.projections.items() if not k.endswith(f"_to_{HOST}")},
    )
