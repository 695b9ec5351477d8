"""The C99 print of a `StreamProgram`: a state struct, and `trine_NAME_reset`, `_step`, `_save` and `_restore`.

Every value of a step lies with time outermost, channels last where time is no first axis. New columns that a ring keeps
are written straight into it. What the layers compute is printed by the kernels themselves, as in `emit`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from trine.edge.c.emit import CSources, Emitter, finish_macro, required_guard
from trine.edge.c.layout import LaidOut
from trine.edge.c.movement import is_alias
from trine.edge.c.schedule import schedule_for
from trine.edge.c.stream_steps import KEEP, Flat
from trine.edge.c.stream_texts import header_text, keeping_text, reset_text
from trine.edge.c.writer import C_TYPES, KERNEL_ORDER, LayerWriter, SourceWriter, identifier, kernel_text
from trine.edge.memory import Buffer, check, plan_memory
from trine.edge.memory import Operation as Planned
from trine.edge.operators import kernels
from trine.edge.program import IntegerProgram, QuantizedTensor, Step
from trine.edge.streaming.program import (
    Gather,
    Hold,
    Mask,
    MeanOf,
    Operation,
    Piece,
    Push,
    Slide,
    StreamProgram,
    tensor_of,
)
from trine.edge.streaming.state import oldest_age

VERBS = ("reset", "step", "save", "restore", "sum")


class StreamEmitter(Emitter):
    """Puts the pieces of one streaming C file together."""

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

    # Text.

    def emit(self) -> CSources:
        """Print all operations and assemble header and source."""
        operations = [o for o in self.operations if not isinstance(o, Mask | Hold)]
        for index, at in enumerate(self.plan.order):
            self.print_operation(index, operations[at])
        for name in self.program.inputs:
            if self.stream.program.outputs.count(name):
                self.copy(f"out{self.stream.program.outputs.index(name)}", self.raw(name), self.size(name))
        for name in self.stream.program.outputs:
            value = self.stream.output_value(name)
            if self.direct(value) or value in self.kept:
                place = f"(int8_t *)out{self.program.outputs.index(value)}"
                self.copy(place, self.raw(value), self.size(value))
        return CSources(self.name, self.header(), self.source(), self.plan, tuple(self.layers))

    def copy(self, to: str, source: str, size: int) -> None:
        """A call that copies bytes."""
        self.calls.append(f"    trine_copy({to}, {source}, {size});")

    def print_operation(self, index: int, operation: Operation) -> None:
        """The calls of one operation."""
        if isinstance(operation, Gather):
            self.print_gather(operation)
        elif isinstance(operation, Push):
            if not self.direct(operation.source):
                ring = self.stream.rings[operation.ring]
                size = ring.shift * self.column(operation.source)
                self.copy(f"block_{self.rings[operation.ring]}", self.raw(operation.source), size)
        elif isinstance(operation, Slide):
            i, ring = self.rings[operation.ring], self.stream.rings[operation.ring]
            self.calls.append(
                f"    trine_slide(state->sums_{i}, {self.raw(operation.source)}, state->ring_{i}, {ring.columns}, "
                f"state->at_{i}, {operation.interior}, {ring.shift}, {self.stream.summed[operation.ring]});"
            )
        elif isinstance(operation, MeanOf):
            self.print_mean(index, operation)
        elif isinstance(operation, Step):
            self.add_layer(index, operation)
            self.print_after(operation)

    def print_after(self, step: Step) -> None:
        """What follows a layer: columns before the start, and what it keeps."""
        for mask in self.operations:
            if isinstance(mask, Mask) and mask.source in step.outputs:
                text = f"{self.raw(mask.source)}, state->age, {mask.delay}, {mask.shift}, {self.column(mask.source)}"
                self.calls.append(f"    trine_before({text}, {mask.value});")
        for name in step.outputs:
            if name.endswith(KEEP):
                kept = name.removesuffix(KEEP)
                held = [o.steps for o in self.operations if isinstance(o, Hold) and o.kept == kept]
                self.calls += [f"    if (state->age >= {steps})" for steps in held]
                self.copy(f"(int8_t *){self.kept[kept]}", self.raw(name), self.size(name))

    def print_gather(self, gather: Gather) -> None:
        """Copies of the pieces, one behind the other."""
        if gather.name in self.aliases:
            return
        to, column, done = self.raw(gather.name), self.column(gather.name), 0
        for piece in gather.pieces:
            place = f"{to} + {done * column}" if done else to
            self.calls.append("    " + self.piece_call(place, piece, column))
            done += piece.count

    def piece_call(self, to: str, piece: Piece, column: int) -> str:
        """The copy of a piece."""
        if piece.ring:
            i, ring = self.rings[piece.source], self.stream.rings[piece.source]
            end = f"state->at_{i} + {ring.shift}"
            numbers = f"{ring.columns}, {end}, {piece.start}, {piece.count}, {piece.step}, {column}"
            return f"trine_view({to}, (const int8_t *)state->ring_{i}, {numbers});"
        source = self.raw(piece.source) + (f" + {piece.start * column}" if piece.start else "")
        if piece.step == 1 or piece.count == 1:
            return f"trine_copy({to}, {source}, {piece.count * column});"
        return f"trine_pick({to}, {source}, {piece.count}, {piece.step}, {column});"

    def print_mean(self, index: int, operation: MeanOf) -> None:
        """A layer of its own: the running sums, the ends of the window, the requantiser."""
        step, size = operation.step, self.stream.summed[operation.ring]
        r, tensor = step.requantizer, self.stream.program.tensors[step.inputs[0]]
        label = f"{index}_{identifier(step.name)}"
        layer = LayerWriter(self.writer, step, label)
        columns = tensor.shape[self.stream.timed[tensor.name].axis]
        channel = layer.channels(r, [-tensor.zero_point * columns])
        lines = [f"for (int32_t c = 0; c < {size}; c++)", "    total[c] = sums[c];"]
        ends = [f"x{i}" for i in range(len(operation.ends))]
        for end, piece in zip(ends, operation.ends, strict=True):
            lines.append(f"trine_add_columns(total, {end}, {piece.count}, {size});")
        lines.append(f"for (int32_t c = 0; c < {size}; c++)")
        total = f"(total[c] + {channel}[0].bias) * {2**r.left}"
        lines.append(f"    y[c] = trine_requantize({total}, {channel}, {r.low}, {r.high});")
        symbol = f"trine_{self.name}_layer_{label}"
        parameters = [
            "const int32_t *sums",
            *(f"const int8_t *{e}" for e in ends),
            "int8_t *y",
            "int32_t *total",
        ]
        body = "\n".join("    " + line for line in lines)
        self.functions.append(
            f"/* mean: from running sums */\n"
            f"TRINE_NOINLINE static void {symbol}({', '.join(parameters)})\n{{\n{body}\n}}\n"
        )
        sources = [self.raw(p.source) + (f" + {p.start * size}" if p.start else "") for p in operation.ends]
        scratch = f"(int32_t *)(void *)(arena + {self.plan.scratch_offsets[label_of(operation)]})"
        arguments = [
            f"state->sums_{self.rings[operation.ring]}",
            *sources,
            self.pointer(step.output),
            scratch,
        ]
        self.calls.append(f"    {symbol}({', '.join(arguments)});")
        self.layers.append((symbol, step.name))

    def end_names(self) -> list[tuple[str, str, QuantizedTensor]]:
        """(const, C name, piece) of every parameter of a step besides the state."""
        program, found = self.stream.program, []
        for const, end, names in (("const ", "in", program.inputs), ("", "out", program.outputs)):
            alone = len(names) == 1
            found += [
                (const, end if alone else f"{end}{i}", self.stream.piece(n)) for i, n in enumerate(names)
            ]
        return found

    def signature(self) -> str:
        """The step's prototype."""
        parameters = [f"trine_{self.name}_state *state"]
        parameters += [f"{const}{C_TYPES[piece.dtype]} *{name}" for const, name, piece in self.end_names()]
        return f"int trine_{self.name}_step({', '.join(parameters)})"

    def header(self) -> str:
        """Sizes, scales, the state and the prototypes."""
        pieces = [piece for _, _, piece in self.end_names()]
        return header_text(self.stream, self.name, self.signature(), pieces, self.plan.arena_bytes)

    def source(self) -> str:
        """Guards, kernels, constants, layers, entry points."""
        self.writer.needed.update(("common", "copy"))
        reset = reset_text(self.stream, self.name, self.writer.array)
        texts = [kernel_text(name) for name in KERNEL_ORDER if name in self.writer.needed]
        name, plan = self.name, self.plan
        parts = [
            f'/* Made by Trine from {name}; int8 streaming, C99, no library. */\n#include "{name}.h"\n',
            required_guard(self.core),
            f"#define TRINE_PAIRED {int(self.schedule.paired)}\n#define TRINE_WIDE {int(self.schedule.wide)}\n",
            texts[0], finish_macro(self.program), *texts[1:], kernel_text("stream"),
            "/* Constants. */\n", *self.writer.constants,
            f"/* Work memory of a step, nothing of it lasts. */\nstatic union {{\n    int64_t align;\n"
            f"    int8_t bytes[{max(plan.arena_bytes, 1)}];\n}} trine_{name}_arena;\n",
            *self.functions, reset, self.step_text(), keeping_text(name),
        ]  # fmt: skip
        return "\n".join(part for part in parts if part)

    def step_text(self) -> str:
        """The step function."""
        lines = [f"    if (state->program != TRINE_{self.name.upper()}_STATE_PROGRAM)", "        return 1;"]
        lines.append(f"    int8_t *arena = trine_{self.name}_arena.bytes;")
        lines.append("    (void)arena;")
        program = self.stream.program
        if len(program.inputs) == 1:
            lines.append(f"    const {self.kind(program.inputs[0])} *in0 = in;")
        if len(program.outputs) == 1:
            lines.append(f"    {C_TYPES[program.tensors[program.outputs[0]].dtype]} *out0 = out;")
        after = []
        for name, ring in self.stream.rings.items():
            i = self.rings[name]
            size = ring.initial.nbytes
            lines.append(f"    int8_t *block_{i} = (int8_t *)state->ring_{i} + state->at_{i} * {size};")
            after.append(f"    state->at_{i} = trine_turn(state->at_{i}, {ring.shift}, {ring.columns});")
        oldest = oldest_age(self.stream)
        if oldest:
            after.append(f"    state->age += state->age < {oldest};")
        return "\n".join([self.signature(), "{", *lines, *self.calls, *after, "    return 0;", "}", ""])


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


def emit_stream(stream: StreamProgram, core: str = "host") -> CSources:
    """Print a stream as C for a core."""
    return StreamEmitter(stream, free_name(stream.program.name), core).emit()


def free_name(program: str) -> str:
    """A program's name in C whose entry points are not called as a function of the kernels is: `lstm` has a step."""
    name, taken = identifier(program), "".join(map(kernel_text, KERNEL_ORDER))
    return f"{name}_net" if any(f"trine_{name}_{verb}(" in taken for verb in VERBS) else name
