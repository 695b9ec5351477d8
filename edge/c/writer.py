"""What a kernel's `c` writes with: one layer's C function, the constants it needs, the kernel files it
calls."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files

import numpy as np

from trine.compilers.graph import Array, Shape
from trine.edge.c.layout import LaidOut
from trine.edge.c.literals import c_literals
from trine.edge.c.schedule import Schedule
from trine.edge.program import IntegerProgram, QuantizedTensor, Step
from trine.edge.requantize import Requantizer

KERNEL_ORDER = (
    "common", "copy", "tflite", "linear", "packed", "conv", "packed_conv", "conv_transpose", "depthwise", "pool",
    "elementwise", "sums", "power", "log_sum", "softmax", "divide", "attention", "normalise", "indices",
    "state_space", "trees", "int16", "linear16", "recurrent", "conv16", "packed16", "depthwise16", "pool16",
    "softmax16", "attention16", "normalise16", "quotient16", "softmax_stated", "mean_stated", "products", "remainder",
    "float_math", "float_linear", "float_normalise", "float_transposed", "float_recurrent",
)  # fmt: skip
C_TYPES = {
    "int8": "int8_t", "uint8": "uint8_t", "int16": "int16_t", "uint16": "uint16_t", "int32": "int32_t",
    "uint32": "uint32_t", "int64": "int64_t", "uint64": "uint64_t", "bool": "uint8_t", "float32": "float",
    "float64": "double",
}  # fmt: skip
VALUES_PER_LINE = 20
BY_FLOAT = 32  # TRINE_BY_FLOAT of kernels/common.c


def identifier(text: str) -> str:
    """Any name as a C identifier part: lower case letters, digits and single underscores."""
    word = re.sub(r"[^0-9a-zA-Z]+", "_", text).strip("_").lower() or "x"
    return word if not word[0].isdigit() else f"n{word}"


def kernel_text(name: str) -> str:
    """A file of edge/kernels; "pool16" is pool.c for int16."""
    if name == "pool16":
        return of_int16(kernel_text("pool"))
    return (files("trine.edge") / "kernels" / f"{name}.c").read_text(encoding="utf-8")


def of_int16(text: str) -> str:
    """A kernel file for int16 values: its own names end in 16, and so does the rounding it calls."""
    own = set(re.findall(r"\b(trine_\w+)(?=\()", text)) | set(re.findall(r"} (trine_\w+);", text))
    text = re.sub(r"\b(" + "|".join(sorted(own)) + r")\b", r"\g<1>16", text)
    return text.replace("int8_t", "int16_t").replace("-128", "-32768")


def c_values(array: Array) -> str:
    """The elements of an array as C initialisers, wrapped."""
    flat = c_literals(array)
    lines = [", ".join(flat[i : i + VALUES_PER_LINE]) for i in range(0, len(flat), VALUES_PER_LINE)]
    return "{\n    " + ",\n    ".join(lines) + "\n}"


@dataclass
class SourceWriter:
    """The whole C file as it grows: constants and the kernel files needed."""

    name: str
    laid_out: LaidOut
    schedule: Schedule
    constants: list[str] = field(default_factory=list)
    needed: set[str] = field(default_factory=set)
    symbols: dict[bytes, str] = field(default_factory=dict)

    def array(self, label: str, array: Array) -> str:
        """A const array; equal arrays are stored once. Returns its symbol."""
        key = array.dtype.str.encode() + array.tobytes()
        if key not in self.symbols:
            self.symbols[key] = f"trine_{self.name}_{label}"
            kind = C_TYPES[array.dtype.name]
            self.constants.append(
                f"static const {kind} TRINE_ALIGNED {self.symbols[key]}[{array.size}] = {c_values(array)};\n"
            )
        return self.symbols[key]

    def structure(self, kind: str, label: str, text: str) -> str:
        """A const structure or array of structures; equal ones are stored once. Returns its symbol."""
        key = f"{kind} {text}".encode()
        if key not in self.symbols:
            self.symbols[key] = f"trine_{self.name}_{label}"
            brackets = "[]" if text.startswith("{{") else ""
            self.constants.append(f"static const {kind} {self.symbols[key]}{brackets} = {text};\n")
        return self.symbols[key]


@dataclass
class LayerWriter:
    """One layer: a static function of its inputs x0, x1, ..., its output y and, where asked for, scratch."""

    source: SourceWriter
    step: Step
    label: str
    placed: frozenset[str] = frozenset()  # inputs of a concat that already lie in its output
    lines: list[str] = field(default_factory=list)
    arguments: list[tuple[str, str]] = field(default_factory=list)  # (parameter, argument) behind its tensors
    # Elements of the first input that the caller passes over, so that equal layers are one function.
    skipped: int = 0

    @property
    def program(self) -> IntegerProgram:
        """The laid-out program."""
        return self.source.laid_out.program

    def tensor(self, name: str) -> QuantizedTensor:
        """A tensor of the program."""
        return self.program.tensors[name]

    def stored_shape(self, name: str) -> Shape:
        """Shape of a tensor as it lies in memory, in the layout of the step's output."""
        return self.source.laid_out.stored_beside(name, self.step.output)

    def kind(self, name: str) -> str:
        """C type of a tensor's elements."""
        return C_TYPES[self.tensor(name).dtype]

    def need(self, *kernels: str) -> None:
        """Ask for kernel files."""
        self.source.needed.update(kernels)

    def line(self, text: str) -> None:
        """Append a statement."""
        self.lines.append(text)

    def array(self, what: str, array: Array) -> str:
        """A const array of this layer."""
        return self.source.array(f"{self.label}_{what}", array)

    def structure(self, kind: str, what: str, text: str) -> str:
        """A const structure of this layer."""
        return self.source.structure(kind, f"{self.label}_{what}", text)

    def passed(self, kind: str, what: str, text: str) -> str:
        """A const structure that the caller passes, so that layers which differ in it alone are one function."""
        self.arguments.append((f"const {kind} *{what}", f"&{self.structure(kind, what, text)}"))
        return what

    def number(self, what: str, value: int) -> str:
        """A number that the caller passes, for the same end."""
        self.arguments.append((f"int32_t {what}", str(value)))
        return what

    def channels(self, requantizer: Requantizer, bias: Sequence[int] | Array) -> str:
        """The `trine_channel` entries of a layer: bias, multiplier, addend, shift."""
        exact = requantizer.rule in ("exact", "int16")
        count = len(bias)
        columns = [
            requantizer.multiplier,
            requantizer.addend if exact else np.int32(requantizer.zero_point),
            requantizer.shift,
        ]
        if requantizer.by_float is not None:
            ratio = (requantizer.ratio / np.float32(2.0**requantizer.left)).astype(np.float32)
            floats: tuple[Array, ...] = (
                ratio.view(np.int32),
                np.asarray(requantizer.zero_point),
                np.asarray(BY_FLOAT),
            )
            columns = [np.where(requantizer.by_float, f, c) for f, c in zip(floats, columns, strict=True)]
        columns = [np.broadcast_to(column, (count,)) for column in columns]
        entries = zip(np.asarray(bias, np.int64), *columns, strict=True)
        rows = ["{" + ", ".join(str(int(v)) for v in entry) + "}" for entry in entries]
        text = "{" + ",\n    ".join(rows) + "}"
        return self.structure("trine_channel", "channels", text)
