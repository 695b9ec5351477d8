"""Proof of a plan: the operations are run on symbolic bytes, and every byte read must be the one meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from trine.edge.memory.model import Buffer, Operation, Plan

Bytes = NDArray[np.int64]
JUNK = -1


def check(plan: Plan, operations: Sequence[Operation], buffers: Sequence[Buffer]) -> None:
    """Raise ValueError naming every way in which the plan would corrupt a buffer; used as a guard by targets.

    It shares no code with the planner. Every byte of every buffer gets its own number; outputs are filled,
    scratch is overwritten, and inputs must hold their numbers when they are read: in the order of the plan,
    before an operation (all inputs) and during it (an output may lie on an input only as `in_place`, `alias`
    or `parts` allow). Kept buffers must be whole at the end.
    """
    problems = _layout_problems(plan, operations, buffers)
    if not problems:
        problems = _Run(plan, operations, buffers).problems()
    if problems:
        raise ValueError("memory plan is not valid: " + "; ".join(problems))


def _layout_problems(plan: Plan, operations: Sequence[Operation], buffers: Sequence[Buffer]) -> list[str]:
    """Offsets that are missing, misaligned or outside the arena; an order that leaves something out."""
    if sorted(plan.order) != list(range(len(operations))):
        return ["the order is no permutation of the operations"]
    problems = []
    places = [
        (f"buffer {b.name}", plan.offsets.get(b.name), b.size_bytes)
        for b in buffers
        if b.size_bytes and not b.external and b.name not in plan.in_external
    ]
    places += [
        (f"scratch of {o.name}", plan.scratch_offsets.get(o.name), o.scratch_bytes)
        for o in operations
        if o.scratch_bytes
    ]
    for what, offset, size in places:
        if offset is None:
            problems.append(f"{what} has no offset")
        elif offset < 0 or offset + size > plan.arena_bytes:
            problems.append(f"{what} at {offset} leaves the arena of {plan.arena_bytes} bytes")
        elif offset % plan.alignment:
            problems.append(f"{what} at {offset} is not aligned to {plan.alignment}")
        elif any(offset < start < offset + size for start in plan.bank_starts):
            problems.append(f"{what} at {offset} lies across two banks")
    return problems


class _Run:
    """One symbolic run of the operations in the order of a plan."""

    def __init__(self, plan: Plan, operations: Sequence[Operation], buffers: Sequence[Buffer]) -> None:
        self.plan, self.operations = plan, operations
        self.buffers = {buffer.name: buffer for buffer in buffers}
        self.memory: dict[str, Bytes] = {
            b.name: np.full(b.size_bytes, JUNK, np.int64) for b in buffers if b.external
        }
        self.memory[""] = np.full(plan.arena_bytes, JUNK, np.int64)
        sizes = [buffer.size_bytes for buffer in buffers]
        starts = np.concatenate([[0], np.cumsum(sizes)])
        self.content = {
            b.name: np.arange(begin, begin + b.size_bytes, dtype=np.int64)
            for b, begin in zip(buffers, starts.tolist(), strict=False)
        }

    def place(self, name: str) -> tuple[str, int]:
        """Which memory holds a buffer ("" is the arena), and at which offset."""
        if self.buffers[name].external:
            return name, 0
        if name in self.plan.in_external:
            return self.plan.in_external[name], self.plan.external_offsets.get(name, 0)
        return "", self.plan.offsets.get(name, 0)

    def view(self, name: str) -> Bytes:
        memory, offset = self.place(name)
        return self.memory[memory][offset : offset + self.buffers[name].size_bytes]

    def problems(self) -> list[str]:
        """Run everything; what went wrong, in order."""
        written = {name for operation in self.operations for name in operation.writes}
        for name in self.buffers:
            if name not in written:
                self.view(name)[:] = self.content[name]
        problems: list[str] = []
        for index in self.plan.order:
            operation = self.operations[index]
            problems += self._step(operation)
        for name, buffer in self.buffers.items():
            if (buffer.kept or (buffer.external and name in written)) and not self._whole(name):
                problems.append(f"{name} is not whole at the end")
        return problems

    def _whole(self, name: str) -> bool:
        return bool(np.array_equal(self.view(name), self.content[name]))

    def _step(self, operation: Operation) -> list[str]:
        """Read, use scratch, write: what one operation does to memory."""
        problems = [
            f"{operation.name} reads {name} damaged" for name in operation.reads if not self._whole(name)
        ]
        self._define(operation)
        if operation.scratch_bytes:
            at = self.plan.scratch_offsets[operation.name]
            self.memory[""][at : at + operation.scratch_bytes] = JUNK
        # Where the plan says that an alias lies in its input, nothing is written: its bytes must be there.
        for name in operation.writes:
            if (operation.alias, name) not in self.plan.aliased:
                self.view(name)[:] = self.content[name]
        if operation.scratch_bytes:
            at = self.plan.scratch_offsets[operation.name]
            if (self.memory[""][at : at + operation.scratch_bytes] != JUNK).any():
                problems.append(f"scratch of {operation.name} lies on its output")
        problems += [f"{operation.name} writes {n} damaged" for n in operation.writes if not self._whole(n)]
        allowed = self._allowed(operation)
        problems += [
            f"{operation.name} overwrites {name} while it reads it"
            for name in operation.reads
            if name not in allowed and not self._whole(name)
        ]
        return problems

    def _define(self, operation: Operation) -> None:
        """An alias holds the numbers of its input from its place on, a concatenation those of its parts."""
        if operation.alias is not None:
            output = operation.writes[0]
            end = operation.alias_at + self.buffers[output].size_bytes
            self.content[output] = self.content[operation.alias][operation.alias_at : end]
        for name, offset in operation.parts:
            self.content[operation.writes[0]][offset : offset + self.buffers[name].size_bytes] = self.content[
                name
            ]

    def _allowed(self, operation: Operation) -> Mapping[str, str]:
        """Inputs that the output may overwrite because it lies exactly on them."""
        return {n: w for n in operation.in_place for w in operation.writes if self.place(n) == self.place(w)}
