"""C of LSTM, GRU and RNN in float32: unit after unit of each step, the states read from the outputs themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trine.compilers.recurrent import INITIAL_C, INITIAL_H, LENGTHS, B, Function, P, R, W, X
from trine.edge.c.literals import c_literal
from trine.edge.float32 import Operand, Write, operands
from trine.edge.program import Step

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter

# C of each activation function of a variable v, with its alpha and beta.
EXPRESSIONS: Mapping[str, Callable[[str, str, str], str]] = {
    "Affine": lambda v, a, b: f"{a} * {v} + {b}",
    "Elu": lambda v, a, b: f"{v} < 0.0f ? {a} * trine_expm1f({v}) : {v}",
    "HardSigmoid": lambda v, a, b: f"trine_clipf({a} * {v} + {b}, 0.0f, 1.0f)",
    "LeakyRelu": lambda v, a, b: f"{v} < 0.0f ? {a} * {v} : {v}",
    "Relu": lambda v, a, b: f"{v} < 0.0f ? 0.0f : {v}",
    "ScaledTanh": lambda v, a, b: f"{a} * trine_tanhf({b} * {v})",
    "Sigmoid": lambda v, a, b: f"trine_sigmoidf({v})",
    "Softplus": lambda v, a, b: f"({v} < 0.0f ? 0.0f : {v}) + trine_log1pf(trine_expf(-trine_absf({v})))",
    "Softsign": lambda v, a, b: f"{v} / (1.0f + trine_absf({v}))",
    "Tanh": lambda v, a, b: f"trine_tanhf({v})",
    "ThresholdedRelu": lambda v, a, b: f"{v} > {a} ? {v} : 0.0f",
}


@dataclass(frozen=True)
class Layer:
    """A layer being written: its arguments, and where a time, direction and example lie (elements apart)."""

    writer: LayerWriter
    step: Step
    arguments: Sequence[Operand | None]
    gates: int

    @property
    def hidden(self) -> int:
        """Size of the state."""
        return int(self.step.attributes["of"]["hidden"])

    @property
    def inputs(self) -> int:
        """Values of a row of x."""
        return self.given(X).shape[-1]

    @property
    def sizes(self) -> tuple[int, int, int]:
        """(time, directions, batch)."""
        axis, shape = self.step.attributes["of"]["batch_axis"], self.given(X).shape
        count = len(self.step.attributes["of"]["directions"])
        return shape[1 if axis == 0 else 0], count, 1 if axis == -1 else shape[axis]

    def given(self, index: int) -> Operand:
        """An argument that is there."""
        found = self.arguments[index]
        assert found is not None
        return found

    def absent(self, index: int) -> bool:
        """Whether an optional argument is not there."""
        return index >= len(self.arguments) or self.arguments[index] is None

    def line(self, depth: int, text: str) -> None:
        """A statement at a depth of loops."""
        self.writer.line("    " * depth + text)

    def row(self, direction: int) -> str:
        """Offset of x at time t and example b."""
        time, _, batch = self.sizes
        first = self.step.attributes["of"]["batch_axis"] == 0
        return f"(t + b * {time}) * {self.inputs}" if first else f"(t * {batch} + b) * {self.inputs}"

    def place(self, direction: int, time: str) -> str:
        """Offset of y at a time and example b."""
        length, count, batch = self.sizes
        if self.step.attributes["of"]["batch_axis"] == 0:
            return f"((b * {length} + {time}) * {count} + {direction}) * {self.hidden}"
        return f"(({time} * {count} + {direction}) * {batch} + b) * {self.hidden}"

    def last(self, direction: int) -> str:
        """Offset of a final or initial state at example b."""
        _, count, batch = self.sizes
        if self.step.attributes["of"]["batch_axis"] == 0:
            return f"(b * {count} + {direction}) * {self.hidden}"
        return f"({direction * batch} + b) * {self.hidden}"

    def recurrent(self, direction: int, gate: int, source: str, start: str) -> str:
        """start and what a row of r adds for unit j."""
        size = self.gates * self.hidden
        at = (direction * size + gate * self.hidden) * self.hidden
        weight = f"{self.given(R).pointer} + {at} + j * {self.hidden}"
        bias = "" if self.absent(B) else (
            f" + {self.given(B).pointer}[{(2 * direction + 1) * size + gate * self.hidden} + j]"
        )  # fmt: skip
        return f"trine_dot_float({source}, {weight}, {self.hidden}, {start}){bias}"

    def seen(self, direction: int, gate: int) -> str:
        """What the inputs add to a gate of unit j."""
        size = self.gates * self.hidden
        at = (direction * size + gate * self.hidden) * self.inputs
        bias = "0.0f" if self.absent(B) else (
            f"{self.given(B).pointer}[{2 * direction * size + gate * self.hidden} + j]"
        )  # fmt: skip
        return (
            f"trine_dot_float(x, {self.given(W).pointer} + {at} + j * {self.inputs}, {self.inputs}, {bias})"
        )

    def gate(self, direction: int, gate: int) -> str:
        """Inputs and state together."""
        return self.recurrent(direction, gate, "h", self.seen(direction, gate))

    def peephole(self, direction: int, gate: int, cell: str) -> str:
        """What a cell adds to a gate of unit j."""
        if self.absent(P):
            return ""
        return f" + {self.given(P).pointer}[{(3 * direction + gate) * self.hidden} + j] * {cell}"

    def function(
        self, depth: int, name: str, value: str, direction: int, number: int, clip: bool = True
    ) -> None:
        """A variable that holds an activation function of a value."""
        of = self.step.attributes["of"]
        function: Function = of["activations"][direction][number]
        bound = c_literal(np.float32(of["clip"]))
        self.line(depth, f"float {name} = {value};")
        if clip and of["clip"]:
            self.line(depth, f"{name} = trine_clipf({name}, -{bound}, {bound});")
        numbers = (c_literal(np.float32(v)) for v in function[1:])
        self.line(depth, f"{name} = {EXPRESSIONS[function[0]](name, *numbers)};")


def write(writer: LayerWriter, step: Step, gates: int, body: Callable[[Layer, int], None]) -> None:
    """The loops over directions, examples and times; body writes one step, from h and x to `to`."""
    writer.need("float_math", "float_recurrent")
    layer = Layer(writer, step, operands(writer, step), gates)
    time, _, batch = layer.sizes
    cells = len(step.outputs) > 2
    zeros = writer.array("zeros", np.zeros(layer.hidden, np.float32)) if layer.absent(INITIAL_H) else ""
    each = f"for (int32_t j = 0; j < {layer.hidden}; j++)"
    for d, reverse in enumerate(step.attributes["of"]["directions"]):
        layer.line(0, f"for (int32_t b = 0; b < {batch}; b++) {{")
        length = str(time) if layer.absent(LENGTHS) else f"{layer.given(LENGTHS).pointer}[b]"
        layer.line(1, f"int32_t length = {length};")
        start = zeros or f"{layer.given(INITIAL_H).pointer} + {layer.last(d)}"
        layer.line(1, f"const float *h = {start};")
        if cells:
            initial = (
                "0.0f"
                if layer.absent(INITIAL_C)
                else f"{layer.given(INITIAL_C).pointer}[{layer.last(d)} + j]"
            )
            layer.line(1, f"float *c = y2 + {layer.last(d)};")
            layer.line(1, f"{each} c[j] = {initial};")
        layer.line(1, "for (int32_t s = 0; s < length; s++) {")
        layer.line(2, f"int32_t t = {'length - 1 - s' if reverse else 's'};")
        layer.line(2, f"const float *x = {layer.given(X).pointer} + {layer.row(d)};")
        layer.line(2, f"float *to = y + {layer.place(d, 't')};")
        body(layer, d)
        layer.line(2, "h = to;")
        layer.line(1, "}")
        layer.line(1, f"for (int32_t t = length; t < {time}; t++)")
        layer.line(2, f"{each} y[{layer.place(d, 't')} + j] = 0.0f;")
        layer.line(1, f"{each} y1[{layer.last(d)} + j] = h[j];")
        layer.line(0, "}")


def lstm_step(layer: Layer, d: int) -> None:
    layer.line(2, f"for (int32_t j = 0; j < {layer.hidden}; j++) {{")
    layer.function(3, "i", layer.gate(d, 0) + layer.peephole(d, 0, "c[j]"), d, 0)
    if layer.step.attributes["of"]["coupled"]:
        layer.line(3, "float f = 1.0f - i;")
    else:
        layer.function(3, "f", layer.gate(d, 2) + layer.peephole(d, 2, "c[j]"), d, 0)
    layer.function(3, "g", layer.gate(d, 3), d, 1)
    layer.line(3, "c[j] = f * c[j] + i * g;")
    layer.function(3, "o", layer.gate(d, 1) + layer.peephole(d, 1, "c[j]"), d, 0)
    layer.function(3, "seen", "c[j]", d, 2, clip=False)
    layer.line(3, "to[j] = o * seen;")
    layer.line(2, "}")


def gru_step(layer: Layer, d: int) -> None:
    late, each = (
        layer.step.attributes["of"]["linear_before_reset"],
        f"for (int32_t j = 0; j < {layer.hidden}; j++) {{",
    )
    source = "h"
    if not late:  # r h of every unit, kept where the final state will lie
        source = "kept"
        layer.line(2, f"float *kept = y1 + {layer.last(d)};")
        layer.line(2, each)
        layer.function(3, "r", layer.gate(d, 1), d, 0)
        layer.line(3, "kept[j] = r * h[j];")
        layer.line(2, "}")
    layer.line(2, each)
    layer.function(3, "z", layer.gate(d, 0), d, 0)
    if late:
        layer.function(3, "r", layer.gate(d, 1), d, 0)
        fresh = f"{layer.seen(d, 2)} + r * ({layer.recurrent(d, 2, source, '0.0f')})"
    else:
        fresh = layer.recurrent(d, 2, source, layer.seen(d, 2))
    layer.function(3, "n", fresh, d, 1)
    layer.line(3, "to[j] = (1.0f - z) * n + z * h[j];")
    layer.line(2, "}")


def rnn_step(layer: Layer, d: int) -> None:
    layer.line(2, f"for (int32_t j = 0; j < {layer.hidden}; j++) {{")
    layer.function(3, "v", layer.gate(d, 0), d, 0)
    layer.line(3, "to[j] = v;")
    layer.line(2, "}")


FLOAT32: Mapping[str, Write] = {
    "LSTM": lambda layer, step: write(layer, step, 4, lstm_step),
    "GRU": lambda layer, step: write(layer, step, 3, gru_step),
    "RNN": lambda layer, step: write(layer, step, 1, rnn_step),
}
