"""The C99 print: one header and one source, freestanding, a static arena, const weights, no malloc, no libm.

Each layer is a function of its own, `trine_NAME_layer_I_LABEL`, so that a profiler can tell them apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trine.edge.c.arena import declaration, entry_lines, place_text, size_macros
from trine.edge.c.elementwise import IN_FLOAT
from trine.edge.c.layout import lay_out
from trine.edge.c.linear16 import sums_64
from trine.edge.c.movement import is_alias
from trine.edge.c.planned import operations_of, planned, unique_steps
from trine.edge.c.recurrent import BLOCKS, gates_64
from trine.edge.c.schedule import PORTABLE, schedule_for
from trine.edge.c.writer import C_TYPES, KERNEL_ORDER, LayerWriter, SourceWriter, identifier, kernel_text
from trine.edge.memory import Bank, BankUse, Plan, bank_uses, check
from trine.edge.operators import kernels
from trine.edge.program import IntegerProgram, QuantizedTensor, Step
from trine.edge.requantize import WIDE_RULES

REQUIRED = {  # feature macro of the Arm C Language Extensions a core must show, and the flag that brings it
    "cortex-m4f": ("__ARM_FEATURE_DSP", "-mcpu=cortex-m4"),
    "cortex-m7": ("__ARM_FEATURE_DSP", "-mcpu=cortex-m7"),
    "cortex-m33": ("__ARM_FEATURE_DSP", "-mcpu=cortex-m33"),
    "cortex-m55": ("__ARM_FEATURE_MVE", "-mcpu=cortex-m55"),
}


@dataclass(frozen=True)
class CSources:
    """The emitted C and what was decided on the way.

    layers: (function symbol, step name) in the order they run; a function that several steps share, bands of a patched
    program, is named after the first. plan: the memory plan of the arena. banks: what it puts in each, where some were
    given.
    """

    name: str
    header: str
    source: str
    plan: Plan
    layers: tuple[tuple[str, str], ...]
    banks: tuple[BankUse, ...] = ()


class Emitter:
    """Puts the pieces of one C file together."""

    def __init__(self, program: IntegerProgram, name: str, core: str, banks: Sequence[Bank] = ()) -> None:
        laid_out = lay_out(unique_steps(program))
        # The vector path has no float rounding: a program that needs it takes the portable one.
        self.schedule = PORTABLE if rounds_in_float(program) else schedule_for(core)
        self.program, self.laid_out, self.name, self.core = laid_out.program, laid_out, name, core
        operations, buffers = operations_of(laid_out, self.schedule)
        self.banks = tuple(banks)
        self.plan = planned(self.program, operations, buffers, self.banks)
        check(self.plan, operations, buffers)
        self.uses = bank_uses(self.plan, operations, buffers, self.banks)
        self.writer = SourceWriter(name, laid_out, self.schedule)
        self.placed = frozenset(self.plan.placed)
        self.functions: list[str] = []
        self.calls: list[str] = []
        self.layers: list[tuple[str, str]] = []

    def pointer(self, tensor: str) -> str:
        """Where a tensor lies: the caller's pointer or a place in the arena."""
        kind, at = C_TYPES[self.program.tensors[tensor].dtype], self.plan.external_offsets.get(tensor, 0)
        holder = self.plan.in_external.get(tensor, tensor)
        for end, names in (("in", self.program.inputs), ("out", self.program.outputs)):
            if holder in names:
                further = f" + {at // np.dtype(self.program.tensors[holder].dtype).itemsize}" if at else ""
                return f"{end}{names.index(holder)}{further}"
        place = place_text(self.plan, self.plan.offsets[tensor])
        return place if kind == "int8_t" else f"({kind} *)(void *)({place})"

    def add_layer(self, index: int, step: Step) -> None:
        """Write a step's function and its call; an alias whose bytes are in place needs neither."""
        ends = self.pointer(step.inputs[0]), self.pointer(step.output)
        if (step.inputs[0], step.output) in self.plan.aliased or (
            is_alias(self.laid_out, step) and ends[0] == ends[1]
        ):
            return
        label = f"{index}_{identifier(step.name)}"
        layer = LayerWriter(
            self.writer, step, label, frozenset(n for n in step.inputs if (n, step.output) in self.placed)
        )
        kernels()[step.kernel].c(layer, step)
        if not layer.lines:
            return
        parameters = [f"const {layer.kind(n)} *x{i}" for i, n in enumerate(step.inputs)]
        parameters += [f"{layer.kind(n)} *y{i or ''}" for i, n in enumerate(step.outputs)]
        arguments = [self.pointer(n) for n in (*step.inputs, *step.outputs)]
        arguments[0] += f" + {layer.skipped}" if layer.skipped else ""
        parameters += [parameter for parameter, _ in layer.arguments]
        arguments += [argument for _, argument in layer.arguments]
        if step.name in self.plan.scratch_offsets and kernels()[step.kernel].scratch(
            self.program, step, self.schedule
        ):
            parameters.append("int8_t *scratch")
            arguments.append(place_text(self.plan, self.plan.scratch_offsets[step.name]))
        body = "\n".join("    " + line for line in layer.lines)
        unused = "".join(f"    (void)x{i};\n" for i, n in enumerate(step.inputs) if n in layer.placed)
        text = f"({', '.join(parameters)})\n{{\n{unused}{body}\n}}\n"
        symbol = self.writer.symbols.setdefault(text.encode(), f"trine_{self.name}_layer_{label}")
        if symbol.endswith(f"_layer_{label}"):
            comment = f"/* {step.kernel}: {describe(self.program, step)} */"
            self.functions.append(f"{comment}\nTRINE_NOINLINE static void {symbol}{text}")
            self.layers.append((symbol, step.name))
        self.calls.append(f"    {symbol}({', '.join(arguments)});")

    def emit(self) -> CSources:
        """Write all layers and assemble header and source."""
        for index, at in enumerate(self.plan.order):
            self.add_layer(index, self.program.steps[at])
        for i, name in enumerate(self.program.outputs):
            if name in self.program.inputs:
                self.writer.needed.add("copy")
                size = self.program.tensors[name].bytes
                source = f"(const int8_t *)in{self.program.inputs.index(name)}"
                self.calls.append(f"    trine_copy((int8_t *)out{i}, {source}, {size});")
        return CSources(self.name, self.header(), self.source(), self.plan, tuple(self.layers), self.uses)

    def signature(self) -> str:
        """The entry function's prototype; with one input and one output they are called in and out."""
        ends = [("const ", "in", self.program.inputs), ("", "out", self.program.outputs)]
        parameters = [
            f"{const}{self.kind(name)} *{end}{i if len(names) > 1 else ''}"
            for const, end, names in ends
            for i, name in enumerate(names)
        ]
        return f"int trine_{self.name}_run({', '.join(parameters)})"

    def kind(self, tensor: str) -> str:
        """C type of a tensor's elements."""
        return C_TYPES[self.program.tensors[tensor].dtype]

    def header(self) -> str:
        """Sizes, scales and the prototype."""
        guard = f"TRINE_{self.name.upper()}_H"
        lines = [
            f"#ifndef {guard}", f"#define {guard}", "", "#include <stdint.h>", "",
            "/* Made by Trine. real value = SCALE * (integer - ZERO_POINT); tensors in ONNX order,",
            "   one example a call. */",
        ]  # fmt: skip
        for tensor in (self.program.tensors[n] for n in (*self.program.inputs, *self.program.outputs)):
            lines += tensor_macros(self.name, tensor)
        lines += [
            *size_macros(self.name, self.plan, self.banks), "",
            "#ifdef __cplusplus", 'extern "C" {', "#endif", "",
            "/* Returns 0. Not re-entrant: it works in one static arena. */", f"{self.signature()};", "",
            "#ifdef __cplusplus", "}", "#endif", "", "#endif", "",
        ]  # fmt: skip
        return "\n".join(lines)

    def source(self) -> str:
        """Guards, kernels, constants, layers, entry."""
        self.writer.needed.add("common")
        kernels_used = [kernel_text(name) for name in KERNEL_ORDER if name in self.writer.needed]
        finish = finish_macro(self.program)
        name, plan = self.name, self.plan
        words = "int16" if wide_macros(self.program) else "int8"
        parts = [
            f'/* Made by Trine from {name}; {words} inference, C99, no library. */\n#include "{name}.h"\n',
            required_guard(self.core),
            f"#define TRINE_PAIRED {int(self.schedule.paired)}\n"
            f"#define TRINE_WIDE {int(self.schedule.wide)}\n"
            f"#define TRINE_FLOAT_CHANNELS {int(rounds_in_float(self.program))}\n",
            kernels_used[0],
            finish + wide_macros(self.program),
            *kernels_used[1:],
            "/* Constants. */\n",
            *self.writer.constants,
            declaration(name, plan, self.banks),
            *self.functions,
            f"{self.signature()}\n{{\n{self.entry_names()}"
            + entry_lines(name, plan)
            + "\n".join(self.calls)
            + "\n    return 0;\n}\n",
        ]
        return "\n".join(part for part in parts if part)

    def entry_names(self) -> str:
        """in0 and out0 for the single input and output, as the calls name them."""
        lines = []
        if len(self.program.inputs) == 1:
            lines.append(f"    const {self.kind(self.program.inputs[0])} *in0 = in;\n")
        if len(self.program.outputs) == 1:
            lines.append(f"    {self.kind(self.program.outputs[0])} *out0 = out;\n")
        return "".join(lines)


def rounds_in_float(program: IntegerProgram) -> bool:
    """Whether a channel of a stated scale is rounded in float32."""
    return any(
        getattr(s.requantizer, "by_float", None) is not None or s.attributes.get("wide") == IN_FLOAT
        for s in program.steps
    )


def finish_macro(program: IntegerProgram) -> str:
    """How the layers with weights turn a sum into int8; bounds all layers share are written as literals."""
    layers = [s.requantizer for s in program.steps if s.kernel in ("conv", "conv_transpose", "dense")]
    linear = [r for r in layers if r.rule not in WIDE_RULES]
    bounds = {(r.low, r.high) for r in linear}
    low, high = map(str, next(iter(bounds))) if len(bounds) == 1 else ("(p)->low", "(p)->high")
    if program.requantize == "tflite":
        rounded = "trine_tflite((sum), (c)->multiplier, (c)->shift)"
        value = f"(int8_t)trine_clamp({rounded} + (c)->addend, {low}, {high})"
    elif any(r.left for r in linear):
        value = f"trine_requantize((sum) * ((int32_t)1 << (p)->left), (c), {low}, {high})"
    else:
        value = f"trine_requantize((sum), (c), {low}, {high})"
    exact = int(program.requantize == "exact")
    return f"#define TRINE_EXACT {exact}\n#define TRINE_FINISH(sum, c, p) \\\n    ((void)(p), {value})\n"


def wide_macros(program: IntegerProgram) -> str:
    """What the layers of int16 activations need: 64-bit sums, and whose rounding; "" where there are none."""
    steps = [s for s in program.steps if getattr(s.requantizer, "rule", "") in WIDE_RULES]
    linear = [s for s in steps if "weight" in s.constants]
    recurrent = [s for s in steps if s.kernel in BLOCKS]
    if not linear and not recurrent:
        return ""
    tflite = any(s.requantizer.rule == "int16_tflite" for s in linear)
    flags = {
        "TRINE_SUMS_64": any(sums_64(s) for s in linear) or any(gates_64(s) for s in recurrent),
        "TRINE_STATES_16": bool(recurrent),
        "TRINE_TFLITE16": tflite,
        "TRINE_LEFT16": any(s.requantizer.left > 0 for s in linear),
    }
    return "".join(f"#define {name} {int(flag)}\n" for name, flag in flags.items())


def required_guard(core: str) -> str:
    """#error where an Arm compiler lacks the instructions this file was costed with."""
    if core not in REQUIRED:
        return ""
    macro, flag = REQUIRED[core]
    return (
        f"#if defined(__arm__) && !(defined({macro}) && {macro})\n"
        f'#error "made for {core}: compile with {flag} or better, '
        f'or compile the model for another device"\n#endif\n'
    )


def tensor_macros(name: str, tensor: QuantizedTensor) -> list[str]:
    """Size, scale and zero point of an input or output."""
    prefix = f"TRINE_{name.upper()}_{identifier(tensor.name).upper()}"
    size = f"#define {prefix}_SIZE {tensor.size} /* {' x '.join(map(str, tensor.shape)) or '1'} */"
    if not tensor.quantized:
        return [size]
    return [
        size,
        f"#define {prefix}_SCALE {np.float32(tensor.scale)!s}f",
        f"#define {prefix}_ZERO_POINT ({tensor.zero_point})",
    ]


def describe(program: IntegerProgram, step: Step) -> str:
    """Shapes of a step for the comment above its function."""
    before, after = (
        [" x ".join(map(str, program.tensors[n].shape)) or "1" for n in names]
        for names in (step.inputs, step.outputs)
    )
    return f"{', '.join(before)} -> {', '.join(after)}"


def emit_c(program: IntegerProgram, core: str = "host", banks: Sequence[Bank] = ()) -> CSources:
    """Print a program as C for a core; banks: pieces of RAM, the fastest first, each with an array of its own.

    Raises AnswerIsNo where no plan over the banks was found.
    """
    return Emitter(program, identifier(program.name), core, banks).emit()
