"""What a mapping consists of: pieces of populations, the cores that hold them, the limits, and what broke
them.
"""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trine.devices.errors import AnswerIsNo

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PORT = -1  # stands for a core's number where spikes enter from outside the chip


@dataclass(frozen=True)
class Limit:
    """One limit of a core. unit: what is counted. source: where the chip's makers or users state it."""

    name: str
    available: float
    unit: str
    source: str


@dataclass(frozen=True)
class Violation:
    """A limit that the net breaks. where: layer or projection. used: None where the thing does not exist at
    all.
    """

    where: str
    limit: str
    used: float | None
    available: float | None
    unit: str
    remedy: str

    def __str__(self) -> str:
        amount = "" if self.used is None else f": {self.used:,.10g} {self.unit}"
        most = "" if self.available is None else f", at most {self.available:,.10g}"
        return f"{self.where}: {self.limit}{amount}{most}; {self.remedy}"


@dataclass(frozen=True)
class Piece:
    """Neurons [low, high) of a population's box on one core; "splitter" pieces relay spikes and compute
    nothing.

    synapses: connections that end in the box.
    """

    population: str
    low: tuple[int, ...]
    high: tuple[int, ...]
    core: int
    role: str = "neurons"
    synapses: int = 0
    relays: int = 0

    @property
    def neurons(self) -> int:
        """Neurons of the net on this piece; relay neurons are not the net's."""
        if self.role != "neurons":
            return 0
        return int(np.prod([high - low for low, high in zip(self.low, self.high)], dtype=np.int64))


@dataclass(frozen=True)
class Traffic:
    """Who sends to whom: source and target are core numbers (`PORT` for spikes from outside).

    population: number within `populations` of the sender. count: messages in a step in which every neuron of
    it spikes once. in_order_hops, hops_*: tile hops a step at the rates given to `map_net`, of cores filled
    in order and of the placement. chip_crossings: messages a step between chips, at those rates.
    """

    source: Ints
    target: Ints
    population: Ints
    count: Floats
    populations: tuple[str, ...]
    hops_ew: float
    hops_ns: float
    in_order_hops: float
    chip_crossings: float

    @property
    def hops(self) -> float:
        """Hop-weighted traffic of the placement, hops a step."""
        return self.hops_ew + self.hops_ns

    @property
    def saved(self) -> float:
        """Share of in-order placement's hops that this placement avoids, 0 to 1."""
        return 1 - self.hops / self.in_order_hops if self.in_order_hops else 0.0


@dataclass(frozen=True)
class Mapping:
    """A net on a chip. `violations` empty: it fits.

    pieces: every box with its core. limits: per core. use: (cores, limits), in units of the limits.
    placement: (cores, 3): chip, tile column, tile row; columns are -1 where the chip's mesh is not public.
    fan_out: messages one spike of a population causes, mean over its neurons; splitter_ticks: ticks relays
    add. notes: what was assumed where nothing is published.
    """

    chip: str
    net: str
    pieces: tuple[Piece, ...] = field(repr=False)
    limits: tuple[Limit, ...]
    use: Floats = field(repr=False)
    placement: Ints = field(repr=False)
    traffic: Traffic | None = field(repr=False)
    fan_out: MappingOf[str, float] = field(repr=False)
    splitter_ticks: int
    chips: int
    violations: tuple[Violation, ...]
    notes: tuple[str, ...] = ()

    @property
    def cores(self) -> int:
        """Cores in use."""
        return len(self.use)

    @property
    def tiles(self) -> int:
        """Tiles in use, over all chips (0 where the mesh is not public)."""
        known = self.placement[self.placement[:, 1] >= 0]
        return len(np.unique(known, axis=0))

    @property
    def load(self) -> Floats:
        """Share of each limit that each core uses; (cores, limits), 0 to 1 where the net fits."""
        share: Floats = self.use / np.array([limit.available for limit in self.limits])
        return share

    @property
    def utilisation(self) -> float:
        """Mean over used cores of their fullest limit, 0 to 1: what "80 % core use" means here."""
        return float(self.load.max(axis=1).mean()) if self.cores else 0.0

    def check(self) -> None:
        """Raise AnswerIsNo naming every violation, where there is one."""
        if self.violations:
            lines = "\n  ".join(str(v) for v in self.violations)
            raise AnswerIsNo(f"{self.net} does not fit {self.chip}:\n  {lines}")
