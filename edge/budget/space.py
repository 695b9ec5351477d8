"""The choices that a budget is made of: for every layer a list of alternatives, each with what it takes and costs.

A layer with weights may have them in 8, 4 or 2 bits, or compute in 8 x 16: weights of 8 bits, activations of 16. An
activation that no such layer writes (a sum, a mean, an input) may have 8 or 16 bits by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from trine.edge.budget.ways import Way


@dataclass(frozen=True)
class Widths:
    """Bits of weights and of activations by name; 8 where nothing is said."""

    weights: Mapping[str, int] = field(default_factory=dict)
    activations: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Alternative:
    """One way to have one layer.

    form: the kernel code it needs, shared by the layers that need the same. flash_bytes, energy_j: of this layer
    alone. ram_bytes: of the whole deployment while this layer runs. noise: what it adds to the noise of the scores.
    weight: its name, "" for an activation alone.
    """

    layer: str
    form: str
    flash_bytes: int
    ram_bytes: int
    energy_j: float
    noise: float
    weight: str = ""
    weight_bits: int = 8
    activation: str = ""
    activation_bits: int = 8

    @property
    def width(self) -> str:
        """As "4", "8x16" (weights x activations), or "x16" for an activation alone."""
        bits = str(self.weight_bits) if self.weight else ""
        return bits if bits and self.activation_bits == 8 else f"{bits}x{self.activation_bits}"


Choice = tuple[Alternative, ...]
"""One alternative a layer."""


@dataclass(frozen=True)
class Space:
    """All alternatives, layer by layer, and what does not depend on them.

    code: bytes of each form's code. flash_bytes, energy_j: of everything else. how: "measured", or "modelled" where
    nothing could be linked. has_energy: whether energies are known. way: how the network is run.
    """

    way: Way
    layers: tuple[tuple[Alternative, ...], ...]
    code: Mapping[str, int]
    flash_bytes: int
    energy_j: float
    has_energy: bool
    how: str

    @cached_property
    def count(self) -> int:
        """How many combinations there are."""
        return int(np.prod([len(layer) for layer in self.layers], dtype=object))

    def total(self, chosen: Sequence[Alternative]) -> dict[str, float]:
        """flash_bytes, ram_bytes, energy_j and noise of one alternative a layer, as predicted."""
        code = sum(self.code[form] for form in {a.form for a in chosen})
        return {
            "flash_bytes": self.flash_bytes + code + sum(a.flash_bytes for a in chosen),
            "ram_bytes": max(a.ram_bytes for a in chosen),
            "energy_j": self.energy_j + sum(a.energy_j for a in chosen),
            "noise": sum(a.noise for a in chosen),
        }


def widths_chosen(chosen: Sequence[Alternative]) -> Widths:
    """The widths that a choice sets."""
    return Widths(
        {a.weight: a.weight_bits for a in chosen if a.weight},
        {a.activation: a.activation_bits for a in chosen if a.activation_bits != 8},
    )
