"""Ways to run a network: whole, patch by patch, as a stream; what a program takes in each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from trine.devices import EdgeDevice
from trine.edge.budget.measure import Measured, by_layer, measure
from trine.edge.c.layout import lay_out
from trine.edge.c.planned import operations_of, unique_steps
from trine.edge.c.schedule import schedule_for
from trine.edge.memory import plan_memory
from trine.edge.patches import patched
from trine.edge.program import IntegerProgram
from trine.edge.running import Compiler

SEARCH_STATES = 500  # of a plan's order search: an estimate needs no optimum


class Way(ABC):
    """How a program is run; the answers are the same in all ways, bit for bit. Values compare and hash."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What the front calls it."""

    def shape(self, program: IntegerProgram) -> IntegerProgram:
        """The program as it is printed."""
        return program

    def measure(self, program: IntegerProgram, device: EdgeDevice, compiler: Compiler) -> Measured:
        """Print, link and run it once. program: before `shape`."""
        return measure(self.shape(program), device, compiler)

    def arena(self, program: IntegerProgram, device: EdgeDevice) -> int:
        """Bytes that change with the widths of tensors, without printing. program: before `shape`."""
        laid_out = lay_out(unique_steps(self.shape(program)))
        operations, buffers = operations_of(laid_out, schedule_for(device.core))
        return plan_memory(operations, buffers, states=SEARCH_STATES).arena_bytes


@dataclass(frozen=True)
class Whole(Way):
    """One layer after the other, each whole."""

    @property
    def name(self) -> str:
        """What the front calls it."""
        return "whole"


@dataclass(frozen=True)
class Patched(Way):
    """The layers before the tensor `cut` in `count` bands, the rest whole, see `patched`."""

    cut: str
    count: int

    @property
    def name(self) -> str:
        """What the front calls it."""
        return f"{self.count} patches to {self.cut}"

    def shape(self, program: IntegerProgram) -> IntegerProgram:
        """The program with its bands."""
        return patched(program, self.cut, self.count)

    def measure(self, program: IntegerProgram, device: EdgeDevice, compiler: Compiler) -> Measured:
        """Print, link and run it once; a layer's bands count as the layer."""
        found = super().measure(program, device, compiler)
        return replace(found, by_step=by_layer(found.by_step))


Ways = Callable[[IntegerProgram, EdgeDevice], Sequence[Way]]
"""From the program with 8 bits everywhere to the ways it could be run in, cheapest first."""


def whole_only(program: IntegerProgram, device: EdgeDevice) -> Sequence[Way]:
    """No other way than whole."""
    return (Whole(),)
