"""The C99 print of a `StreamProgram`: a state struct, and `trine_NAME_reset`, `_step`, `_save` and `_restore`.

Every value of a step lies with time outermost, channels last where time is no first axis. New columns that a ring keeps
are written straight into it. What the layers compute is printed by the kernels themselves, as in `emit`.
"""

from __future__ import annotations

from trine.edge.c.emit import CSources, finish_macro, required_guard, wide_macros
from trine.edge.c.stream_plan import StreamPlan, label_of
from trine.edge.c.stream_steps import KEEP
from trine.edge.c.stream_texts import header_text, keeping_text, reset_text
from trine.edge.c.writer import C_TYPES, KERNEL_ORDER, LayerWriter, identifier, kernel_text
from trine.edge.program import QuantizedTensor, Step
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
)
from trine.edge.streaming.state import oldest_age

VERBS = ("reset", "step", "save", "restore", "sum")


class StreamEmitter(StreamPlan):
    """Puts the pieces of one streaming C file together."""

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
            texts[0], finish_macro(self.program) + wide_macros(self.program), *texts[1:], kernel_text("stream"),
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


def emit_stream(stream: StreamProgram, core: str = "host") -> CSources:
    """Print a stream as C for a core."""
    return StreamEmitter(stream, free_name(stream.program.name), core).emit()


def free_name(program: str) -> str:
    """A program's name in C whose entry points are not called as a function of the kernels is: `lstm` has a step."""
    name, taken = identifier(program), "".join(map(kernel_text, KERNEL_ORDER))
    return f"{name}_net" if any(f"trine_{name}_{verb}(" in taken for verb in VERBS) else name
