"""Where the values of a stream's step lie: in the caller's buffers, in the rings of the state, in the planned arena."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from trine.edge.c.emit import Emitter
from trine.edge.c.layout import LaidOut
from trine.edge.c.movement import is_alias
from trine.edge.c.schedule import schedule_for
from trine.edge.c.stream_steps import Flat
from trine.edge.c.writer import C_TYPES, SourceWriter
from trine.edge.memory import Buffer, check, plan_memory
from trine.edge.memory import Operation as Planned
from trine.edge.operators import kernels
from trine.edge.program import IntegerProgram, Step
from trine.edge.streaming.program import (
    Gather,
    Hold,
    Mask,
    MeanOf,
    Operation,
    Push,
    Slide,
    StreamProgram,
    tensor_of,
)


class StreamPlan(Emitter):
    """The flat operations of a step and the place of every value."""

    def __init__(self, stream: StreamProgram, name: str, core: str) -> None:
        self.stream, self.name, self.core = stream, name, core
        self.schedule = schedule_for(core)
        flat = Flat(stream)
        flat.build()
        self.rings = {name: i for i, name in enumerate(stream.rings)}
        self.kept = {name: f"state->kept_{i}" for i, name in enumerate(stream.kept)}
        self.operations = named(flat.operations)
        steps = tuple(o for o in self.operations if isinstance(o, Step))
        outputs = tuple(stream.output_value(n) for n in stream.program.outputs)
        self.program = IntegerProgram(
            stream.program.name,
            stream.program.inputs,
            outputs,
            steps,
            flat.tensors,
            stream.program.requantize,
        )
        self.laid_out = LaidOut(self.program, flat.last)
        self.aliases = self.find_aliases()
        planned, buffers = self.planned()
        self.plan = plan_memory(planned, buffers, 8)
        check(self.plan, planned, buffers)
        self.writer = SourceWriter(name, self.laid_out, self.schedule)
        self.placed = frozenset()
        self.functions: list[str] = []
        self.symbols: dict[str, str] = {}
        self.calls: list[str] = []
        self.layers: list[tuple[str, str]] = []

    # Where values lie.

    def find_aliases(self) -> dict[str, tuple[str, int]]:
        """Gathered values that are a run of another value already: (value, offset in bytes)."""
        found: dict[str, tuple[str, int]] = {}
        for operation in self.operations:
            if isinstance(operation, Gather) and operation.alias is not None:
                piece = operation.alias
                source, offset = found.get(piece.source, (piece.source, 0))
                found[operation.name] = source, offset + piece.start * self.column(operation.name)
        return found

    def column(self, name: str) -> int:
        """Bytes of one column of a value along time."""
        tensor = self.program.tensors[name]
        axis = self.stream.timed[tensor_of(name, self.stream.timed)].axis
        return tensor.bytes // tensor.shape[axis]

    def resolved(self, name: str) -> str:
        """The value that holds a value's bytes."""
        return self.aliases.get(name, (name, 0))[0]

    def whole_alias(self, name: str) -> bool:
        """Whether a gathered value is all of another."""
        source, offset = self.aliases.get(name, (name, 0))
        return not offset and self.size(source) == self.size(name)

    def direct(self, name: str) -> bool:
        """Whether a value is written straight into a ring: new columns, no more, that no running sum waits for."""
        of = name.removesuffix("@tail")
        if not name.endswith("@tail") or of not in self.rings or of in self.stream.summed:
            return False
        ring = self.stream.rings[of]
        return self.program.tensors[name].shape[ring.tensor.axis] == ring.shift

    def external(self, name: str) -> bool:
        """Whether a value lies outside the arena."""
        return name in (*self.program.inputs, *self.program.outputs, *self.kept) or self.direct(name)

    def pointer(self, tensor: str) -> str:
        """The caller's pointer, a place in the state, or one in the arena."""
        kind = C_TYPES[self.program.tensors[tensor].dtype]
        source, offset = self.aliases.get(tensor, (tensor, 0))
        source = self.plan.in_external.get(source, source)
        if source in self.kept:
            return self.kept[source]
        if self.direct(source):
            place = f"block_{self.rings[source.removesuffix('@tail')]}"
        elif source in self.program.inputs:
            place = f"in{self.program.inputs.index(source)}"
            if not offset:
                return place
            place = f"(const int8_t *){place}"
            return (
                f"(const {kind} *)(const void *)({place} + {offset})"
                if kind != "int8_t"
                else f"{place} + {offset}"
            )
        elif source in self.program.outputs:
            place = f"out{self.program.outputs.index(source)}"
            if kind == "int8_t":
                return f"{place} + {offset}" if offset else place
            return place if not offset else f"({kind} *)(void *)((int8_t *){place} + {offset})"
        else:
            place, offset = "arena", offset + self.plan.offsets[source]
        place = f"{place} + {offset}" if offset else place
        return place if kind == "int8_t" else f"({kind} *)(void *)({place})"

    def raw(self, tensor: str) -> str:
        """A pointer to a value's bytes."""
        text = self.pointer(tensor)
        kind = C_TYPES[self.program.tensors[tensor].dtype]
        return text if kind == "int8_t" else f"(int8_t *)({text})"

    # The plan.

    def planned(self) -> tuple[list[Planned], list[Buffer]]:
        """The memory planner's view: rings and sums are external values, so that what reads them comes after."""
        found: list[Planned] = []
        written: dict[str, int] = {}
        masked = {o.source for o in self.operations if isinstance(o, Mask)}
        for operation in self.operations:
            reads, writes, scratch, sharing = self.view_of(operation)
            if isinstance(operation, Mask | Hold):
                continue  # printed with the step that made its value
            for name in (*reads, *writes):
                written.setdefault(name, self.size(name))
            found.append(
                Planned(label_of(operation), tuple(dict.fromkeys(reads)), tuple(writes), scratch, **sharing)
            )
        self.masked = masked
        return found, [Buffer(n, size, n.startswith("*") or self.external(n)) for n, size in written.items()]

    def size(self, name: str) -> int:
        """Bytes of a value; a ring or its sums take no room in the arena."""
        return 0 if name.startswith("*") else self.program.tensors[name].bytes

    def view_of(self, operation: Operation) -> tuple[list[str], list[str], int, dict[str, Any]]:
        """(reads, writes, scratch, sharing) of an operation; `*ring X` and `*sums X` stand for the state."""
        if isinstance(operation, Gather):
            reads = [f"*ring {p.source}" if p.ring else self.resolved(p.source) for p in operation.pieces]
            return reads, ([] if operation.name in self.aliases else [operation.name]), 0, {}
        if isinstance(operation, Push):
            sums = [f"*sums {operation.ring}"] if operation.ring in self.stream.summed else []
            return [self.resolved(operation.source), *sums], [f"*ring {operation.ring}"], 0, {}
        if isinstance(operation, Slide):
            return [self.resolved(operation.source)], [f"*sums {operation.ring}"], 0, {}
        if isinstance(operation, MeanOf):
            ends = [self.resolved(p.source) for p in operation.ends]
            scratch = 4 * self.stream.summed[operation.ring]
            return [f"*sums {operation.ring}", *ends], [operation.step.output], scratch, {}
        if isinstance(operation, Mask | Hold):
            return [], [], 0, {}
        return self.view_of_step(operation)

    def view_of_step(self, step: Step) -> tuple[list[str], list[str], int, dict[str, Any]]:
        """The planner's view of a layer."""
        kernel, sharing = kernels()[step.kernel], dict[str, Any]()
        tensors = self.program.tensors
        plain = [s for n in dict.fromkeys(step.inputs) if (s := self.resolved(n)) == n or self.whole_alias(n)]
        plain = [n for n in plain if not self.external(n)]
        if is_alias(self.laid_out, step):
            if plain and not self.external(step.output):
                sharing = {"alias": plain[0]}
        elif kernel.in_place and not step.also:
            fits = tuple(n for n in plain if tensors[n].bytes == tensors[step.output].bytes)
            sharing = {"in_place": fits} if fits else {}
        reads = [self.resolved(n) for n in step.inputs if n not in self.kept]
        return reads, list(step.outputs), kernel.scratch(self.program, step, self.schedule), sharing


def named(operations: list[Operation]) -> list[Operation]:
    """The operations with every step under a name of its own."""
    seen: dict[str, int] = {}
    found: list[Operation] = []
    for operation in operations:
        if isinstance(operation, Step):
            count = seen[operation.name] = seen.get(operation.name, 0) + 1
            operation = replace(operation, name=operation.name if count == 1 else f"{operation.name}_{count}")
        found.append(operation)
    return found


def label_of(operation: Operation) -> str:
    """An operation's name for the memory plan."""
    if isinstance(operation, Step):
        return operation.name
    if isinstance(operation, MeanOf):
        return f"mean {operation.step.name}"
    if isinstance(operation, Gather):
        return f"gather {operation.name}"
    return f"{type(operation).__name__} {operation.kept if isinstance(operation, Hold) else operation.source}"
