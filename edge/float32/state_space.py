"""C of SelectiveScan in float32."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from trine.edge.float32 import Write, operands
from trine.edge.float32.recurrent import EXPRESSIONS
from trine.edge.program import Step

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter


def write(layer: LayerWriter, step: Step) -> None:
    """Channel after channel, each over all of time with its states in a row on the stack."""
    layer.need("float_math")
    x, delta, b, c, a, d = (one.pointer for one in operands(layer, step) if one is not None)
    time, channels = layer.tensor(step.inputs[0]).shape
    states = layer.tensor(step.inputs[2]).shape[1]
    size = EXPRESSIONS["Softplus"]("v", "", "") if step.attributes["of"]["softplus"] else "v"
    for text in (
        f"for (int32_t i = 0; i < {channels}; i++) {{",
        f"    float h[{states}];",
        f"    for (int32_t j = 0; j < {states}; j++) h[j] = 0.0f;",
        f"    for (int32_t t = 0; t < {time}; t++) {{",
        f"        float v = {delta}[t * {channels} + i], in = {x}[t * {channels} + i], sum = 0.0f;",
        f"        float size = {size};",
        f"        for (int32_t j = 0; j < {states}; j++) {{",
        f"            h[j] = trine_expf(size * {a}[i * {states} + j]) * h[j] + size * in * {b}[t * {states} + j];",
        f"            sum = sum + h[j] * {c}[t * {states} + j];",
        "        }",
        f"        y[t * {channels} + i] = sum + {d}[i] * in;",
        "    }",
        "}",
    ):
        layer.line(text)


FLOAT32: Mapping[str, Write] = {"SelectiveScan": write}
