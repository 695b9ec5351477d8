"""When each layer takes and sends: the timetable of the schemes whose spikes carry counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trine.neuromorphic.conversion.layers import MAXIMUM


@dataclass(frozen=True)
class Slot:
    """One layer to be placed. sources: layers and inputs it reads. window: T, steps in which it may send."""

    name: str
    role: str
    sources: tuple[str, ...]
    window: int


@dataclass(frozen=True)
class Turn:
    """start: first step in which input may arrive. takes: steps of input. begins: first step in which it may send.
    window: steps in which it may send."""

    start: int
    takes: int
    begins: int
    window: int


@dataclass(frozen=True)
class Timetable:
    """Turns of inputs and layers by name."""

    scheme: str
    turns: Mapping[str, Turn]

    def delay(self, source: str, target: str) -> int:
        """Steps that spikes wait on the way, beyond the one of every synapse. Windows of different length begin
        together; in *ttfs*, where the time left to the end is the value, they end together."""
        a, b = self.turns[source], self.turns[target]
        late = b.takes - a.window if self.scheme == "ttfs" else 0
        return b.start - 1 - a.begins + late


def timetable(slots: Sequence[Slot], inputs: Mapping[str, int], scheme: str, lag: int) -> Timetable:
    """Turns of all layers. inputs: T by input; they wait for the first layer that reads them.

    A layer of *exact* and *ttfs* sends from the last step of its input on; one of *rate* `lag` steps after its first,
    later by what its sources send longer than it does.
    """
    windows = dict(inputs) | {slot.name: slot.window for slot in slots}
    turns: dict[str, Turn] = {}
    for slot in slots:
        start = 1 + max((turns[s].begins for s in slot.sources if s not in inputs), default=0)
        takes = max((windows[s] for s in slot.sources), default=1)
        wait = takes - 1
        if scheme == "rate":
            wait = min(wait, lag + max(0, takes - slot.window))
        turns[slot.name] = Turn(start, takes, start + (0 if slot.role == MAXIMUM else wait), slot.window)
    for name, window in inputs.items():
        readers = [turns[slot.name] for slot in slots if name in slot.sources]
        late = [r.takes - window if scheme == "ttfs" else 0 for r in readers]
        begins = min((r.start - 1 + more for r, more in zip(readers, late)), default=0)
        turns[name] = Turn(begins, 0, begins, window)
    return Timetable(scheme, turns)
