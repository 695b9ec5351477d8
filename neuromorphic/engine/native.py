"""The engine: an integer net made ready once, then run block by block; loops in `feeds`, `gather`, `compartment`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

from trine.devices.errors import MissingExtra
from trine.neuromorphic.arithmetic import variant
from trine.neuromorphic.engine.definition import define
from trine.neuromorphic.engine.order import groups
from trine.neuromorphic.engine.result import Probes, Result, inputs_of, probes_of
from trine.neuromorphic.fixed_point import overflows
from trine.neuromorphic.net import Array, SpikingNet

BLOCK_STEPS = 512
WORKING_SET = 1 << 22  # bytes of synaptic sums handled at a time, where they are added up before
LEAST_STEPS, LEAST_ROOM = 64, 1 << 24  # wide nets take so many steps all the same, within so many bytes


def run(net: SpikingNet, inputs: Mapping[str, Array], steps: int, probes: Probes | None = None) -> Result:
    """Simulate an integer net event by event; equals `definition.define` bit for bit. Real-valued nets go there.

    inputs: whole numbers [batch, steps, *shape] by name of input population, silent after their end; every
    sample starts from the resting state. probes: variables by population ("spikes", "counts", "u", "v", ...), by
    default the spikes of the outputs. Raises InputError for bad input, MissingExtra without numba.
    """
    if net.arithmetic == "float":
        return define(net, inputs, steps, probes)
    return Simulator(net).run(inputs, steps, probes)


class Simulator:
    """An integer net made ready once, for many runs. The net's arrays must not change meanwhile."""

    def __init__(self, net: SpikingNet) -> None:
        """Lay out synapses and parameters. Raises InputError for an inconsistent net, MissingExtra without numba."""
        if find_spec("numba") is None:
            raise MissingExtra("numba", "neuromorphic", "the native simulator of integer nets")
        from trine.neuromorphic.engine.prepared import prepare

        net.check()
        self.net, self.rule = net, variant(net.arithmetic)
        self.widest = max(p.size for p in net.populations)
        step = 4 * self.widest
        self.block = max(1, min(BLOCK_STEPS, max(WORKING_SET // step, min(LEAST_STEPS, LEAST_ROOM // step))))
        self.order = groups(net)
        spilling = frozenset(o.population for o in overflows(net))
        self.ready = {p.name: prepare(net, p, self.rule, self.block, spilling) for p in net.populations}

    def run(self, inputs: Mapping[str, Array], steps: int, probes: Probes | None = None) -> Result:
        """As the function `run`."""
        from trine.neuromorphic.engine.blocks import Run

        given, batch = inputs_of(self.net, inputs, steps)
        work = Run(
            self.net, self.rule, self.order, self.ready, min(self.block, steps), steps, batch,
            probes_of(self.net, probes),
        )  # fmt: skip
        tile = self._tile(batch, work.block)
        for first in range(0, batch, tile):
            work.samples(
                {k: x[first : first + tile] for k, x in given.items()}, first, min(tile, batch - first)
            )
        return work.result()

    def _tile(self, batch: int, block: int) -> int:
        """Samples at a time: few where the loops do everything, many where a step costs calls from Python."""
        plain = any(r.compartments is None and r.neuron is not None for r in self.ready.values())
        cyclic = any(lag for _, lag in self.order)
        room = WORKING_SET * (32 if plain or cyclic else 1)
        return max(1, min(batch, room // (4 * self.widest * block)))
