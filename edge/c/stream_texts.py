"""The texts of a stream's C that do not depend on its layers: the state struct, prototypes, reset, save and restore."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from trine.compilers.graph import Array
from trine.edge.c.emit import tensor_macros
from trine.edge.c.writer import C_TYPES
from trine.edge.program import QuantizedTensor
from trine.edge.streaming.program import StreamProgram
from trine.edge.streaming.state import VERSION, Field, first_column, program_word, state_fields


def header_text(
    stream: StreamProgram, name: str, step: str, pieces: Sequence[QuantizedTensor], arena_bytes: int
) -> str:
    """Sizes, scales, the state and the prototypes; step: the step's own. pieces: what it takes and gives."""
    upper = name.upper()
    guard = f"TRINE_{upper}_H"
    lines = [
        f"#ifndef {guard}", f"#define {guard}", "", "#include <stdint.h>", "",
        "/* Made by Trine. real value = SCALE * (integer - ZERO_POINT). Signals lie sample after sample, all",
        "   channels of a sample together. */",
    ]  # fmt: skip
    for tensor in {piece.name: piece for piece in pieces}.values():
        lines += tensor_macros(name, tensor)
    lines += [f"#define TRINE_{upper}_HOP {stream.hop} /* new samples a step */"]
    if stream.kind == "window":
        lines += [f"#define TRINE_{upper}_WINDOW {stream.window} /* samples an answer is about */"]
    else:
        lines += [f"#define TRINE_{upper}_LATENCY {stream.latency} /* samples the output lags behind */"]
    lines += [
        f"#define TRINE_{upper}_ARENA_SIZE {max(arena_bytes, 1)}",
        f"#define TRINE_{upper}_STATE_VERSION {VERSION}",
        f"#define TRINE_{upper}_STATE_PROGRAM 0x{program_word(stream):08x}u", "",
        "/* No pointers and no gaps: it may be copied as bytes, between cores of one byte order. */",
        "typedef struct {", *(f"    {member(f)}" for f in state_fields(stream)), f"}} trine_{name}_state;",
        "", "#ifdef __cplusplus", 'extern "C" {', "#endif", "",
        *prototypes(name, step), "",
        "#ifdef __cplusplus", "}", "#endif", "", "#endif", "",
    ]  # fmt: skip
    return "\n".join(lines)


def reset_text(stream: StreamProgram, name: str, array: Callable[[str, Array], str]) -> str:
    """The state before the first sample; array: makes a constant and gives its symbol."""
    upper = name.upper()
    lines = ["for (int32_t i = 0; i < (int32_t)sizeof *state; i++)", "    ((uint8_t *)state)[i] = 0;"]
    lines += [
        f"state->version = TRINE_{upper}_STATE_VERSION;",
        f"state->program = TRINE_{upper}_STATE_PROGRAM;",
    ]
    for i, (of, ring) in enumerate(stream.rings.items()):
        lines += fill_lines(f"ring_{i}", first_column(ring), ring.columns, array)
        if of in stream.summed:
            lines += fill_lines(f"sums_{i}", stream.initial_sums(of), 1, array)
    for i, value in enumerate(stream.kept.values()):
        lines += fill_lines(f"kept_{i}", value, 1, array)
    body = "\n".join("    " + line for line in lines)
    return f"void trine_{name}_reset(trine_{name}_state *state)\n{{\n{body}\n}}\n"


def fill_lines(place: str, column: Array, columns: int, array: Callable[[str, Array], str]) -> list[str]:
    """Lines that fill a member with copies of a column."""
    values = np.frombuffer(np.ascontiguousarray(column).tobytes(), np.int8)
    to = f"(int8_t *)state->{place}"
    if not values.any():
        return []
    if (values == values[0]).all():
        return [f"trine_fill({to}, {values[0]}, {values.size * columns});"]
    first = array(f"{place}_first", values)
    return [
        f"for (int32_t i = 0; i < {columns}; i++)",
        f"    trine_copy({to} + i * {values.size}, {first}, {values.size});",
    ]


def member(item: Field) -> str:
    """A member of the state struct with what it is."""
    kind = C_TYPES[item.dtype]
    what = {
        "version": "of this form",
        "program": "whose state it is",
        "check": "of a saved state",
        "age": "steps since the reset, as far as they matter",
    }.get(item.name)
    words = {
        "at": "where the next columns go",
        "sums": "running sums",
        "kept": "state",
        "ring": "last columns",
    }
    what = what or f"{words[item.name.partition('_')[0]]} of {item.of}"
    scalar = item.name.partition("_")[0] in ("version", "program", "check", "age", "at")
    return f"{kind} {item.name}{'' if scalar else f'[{item.count}]'}; /* {comment(what)} */"


def comment(text: str) -> str:
    """Text that cannot end a comment."""
    return text.replace("*/", "* /")


def prototypes(name: str, step: str) -> list[str]:
    """The entry points, each with what it does."""
    state = f"trine_{name}_state"
    return [
        "/* A stream that has seen nothing. */", f"void trine_{name}_reset({state} *state);", "",
        "/* One hop. Returns 0, or 1 for a state that was never reset. Streams share work memory: one step at a",
        "   time. */",
        f"{step};", "",
        "/* A copy with its checksum. */", f"void trine_{name}_save(const {state} *state, {state} *saved);", "",
        "/* Returns 0; 1 for a state of another program or form, 2 for a damaged one: `state` is then as it was. */",
        f"int trine_{name}_restore({state} *state, const {state} *saved);",
    ]  # fmt: skip


def keeping_text(name: str) -> str:
    """save and restore."""
    state, upper = f"trine_{name}_state", name.upper()
    return f"""static uint32_t trine_{name}_sum(const {state} *state)
{{
    return trine_checksum((const uint8_t *)state + 12, (int32_t)sizeof *state - 12);
}}

void trine_{name}_save(const {state} *state, {state} *saved)
{{
    trine_copy((int8_t *)saved, (const int8_t *)state, (int32_t)sizeof *state);
    saved->check = trine_{name}_sum(saved);
}}

int trine_{name}_restore({state} *state, const {state} *saved)
{{
    if (saved->version != TRINE_{upper}_STATE_VERSION || saved->program != TRINE_{upper}_STATE_PROGRAM)
        return 1;
    if (saved->check != trine_{name}_sum(saved))
        return 2;
    trine_copy((int8_t *)state, (const int8_t *)saved, (int32_t)sizeof *state);
    return 0;
}}
"""
