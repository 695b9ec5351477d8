"""A converted net with all that it takes to run it: when which input sends, and where a run ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from trine.compilers.graph import Array
from trine.neuromorphic.conversion.code import Line, at_once, evenly, first_spikes
from trine.neuromorphic.net import SpikingNet

TRAINS = {"exact": at_once, "rate": evenly, "ttfs": first_spikes}


@dataclass(frozen=True)
class Spiking:
    """A spiking net and how to feed it.

    levels: T of the inputs. begins: step at which a population may first send. steps: of a run. lines: input
    populations that carry the inputs. gates: by gate population, the steps at which its neurons fire, (neurons,).
    """

    net: SpikingNet
    scheme: str
    levels: int | None
    lag: int
    steps: int
    begins: Mapping[str, int]
    lines: tuple[Line, ...]
    gates: Mapping[str, tuple[int, ...]]

    def encode(self, whole: Mapping[str, Array]) -> dict[str, Array]:
        """Input messages [n, steps, *shape] by population, for inputs in whole steps (`QuantisedNetwork.encode`)."""
        count = len(next(iter(whole.values())))
        given: dict[str, Array] = {}
        for line in self.lines:
            begin = self.begins[line.name]
            if self.levels is None or self.scheme == "sigma_delta":
                x = whole[line.source]
                train = np.zeros((count, begin + 1, *x.shape[1:]), np.int32)
                train[:, begin] = x
            else:
                trained = TRAINS[self.scheme](line.digits(whole[line.source]), self.levels)
                train = np.concatenate(
                    [np.zeros((count, begin, *trained.shape[2:]), np.uint8), trained], axis=1
                )
            given[line.name] = train
        for name, steps in self.gates.items():
            train = np.zeros((count, self.steps, len(steps)), np.uint8)
            for neuron, step in enumerate(steps):
                if step < self.steps:
                    train[:, step, neuron] = 1
            given[name] = train
        return given
