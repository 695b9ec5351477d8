"""Ways to run a network: whole, in another order of work, or as a stream; what a program takes that way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from trine.devices import EdgeDevice
from trine.edge.budget.measure import Measured, measure
from trine.edge.c.emit import operations_of, unique_steps
from trine.edge.c.layout import lay_out
from trine.edge.c.schedule import schedule_for
from trine.edge.memory import plan_memory
from trine.edge.program import IntegerProgram
from trine.edge.running import Compiler

SEARCH_STATES = 500  # of a plan's order search: an estimate needs no optimum


class Way(Protocol):
    """How a program is run; the answers are the same in all ways, bit for bit."""

    @property
    def name(self) -> str:
        """What the front calls it."""
        ...

    def shape(self, program: IntegerProgram) -> IntegerProgram:
        """The program as it is printed."""
        ...

    def measure(self, program: IntegerProgram, device: EdgeDevice, compiler: Compiler) -> Measured:
        """Print, link and run it once. program: before `shape`."""
        ...

    def arena(self, program: IntegerProgram, device: EdgeDevice) -> int:
        """Bytes that change with the widths of tensors, without printing. program: before `shape`."""
        ...


@dataclass(frozen=True)
class Whole:
    """One layer after the other, each whole."""

    name = "whole"

    def shape(self, program: IntegerProgram) -> IntegerProgram:
        """As it is."""
        return program

    def measure(self, program: IntegerProgram, device: EdgeDevice, compiler: Compiler) -> Measured:
        """Print, link and run it once."""
        return measure(self.shape(program), device, compiler)

    def arena(self, program: IntegerProgram, device: EdgeDevice) -> int:
        """Bytes of the planned arena."""
        laid_out = lay_out(unique_steps(self.shape(program)))
        operations, buffers = operations_of(laid_out, schedule_for(device.core))
        return plan_memory(operations, buffers, states=SEARCH_STATES).arena_bytes


def whole_only(program: IntegerProgram, device: EdgeDevice) -> Sequence[Way]:
    """No other way than whole."""
    return (Whole(),)


Ways = Callable[[IntegerProgram, EdgeDevice], Sequence[Way]]
"""From the program with 8 bits everywhere to the ways it could be run in, cheapest first."""
