"""C of QuantizeLinear and DequantizeLinear, and of the experts an index chooses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trine.edge.float32 import Operand, Write, operands
from trine.edge.program import Step

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter


def _places(step: Step, x: Operand, scale: Operand) -> tuple[int, int]:
    """How many values share a scale in a row, and how many scales there are."""
    axis = step.attributes["of"]["axis"]
    return (int(np.prod(x.shape[axis + 1 :])), x.shape[axis]) if scale.shape else (1, 1)


def _pair(layer: LayerWriter, step: Step) -> tuple[Operand, Operand, Operand, str]:
    """x, scale, zero point, and the C that says which scale value i has."""
    x, scale, zero = (operand for operand in operands(layer, step) if operand)
    inner, count = _places(step, x, scale)
    return x, scale, zero, f"i / {inner} % {count}" if count > 1 else "0"


def quantize(layer: LayerWriter, step: Step) -> None:
    layer.need("float_math")
    _, scale, zero, at = _pair(layer, step)
    kind = np.iinfo(step.attributes["of"]["dtype"])
    layer.line(f"for (int32_t i = 0; i < {layer.tensor(step.output).size}; i++) {{")
    layer.line(f"    float q = trine_roundf(x0[i] / {scale.pointer}[{at}]) + (float){zero.pointer}[{at}];")
    whole = f"q < {kind.min}.0f ? {kind.min} : q > {kind.max}.0f ? {kind.max} : (int32_t)q"
    layer.line(f"    y[i] = ({layer.kind(step.output)})({whole});")
    layer.line("}")


def dequantize(layer: LayerWriter, step: Step) -> None:
    _, scale, zero, at = _pair(layer, step)
    layer.line(f"for (int32_t i = 0; i < {layer.tensor(step.output).size}; i++)")
    layer.line(f"    y[i] = (float)((int64_t)x0[i] - (int64_t){zero.pointer}[{at}]) * {scale.pointer}[{at}];")


def expert_gemm(layer: LayerWriter, step: Step) -> None:
    x, index, weight, *bias = (operand for operand in operands(layer, step) if operand)
    experts, outputs, inputs = weight.shape
    row = "" if step.attributes["of"]["shared"] else f" + c * {inputs}"
    start = f"{bias[0].pointer}[expert * {outputs} + o]" if bias else "0.0f"
    layer.line(f"for (int32_t c = 0; c < {index.shape[0]}; c++) {{")
    layer.line(
        f"    int64_t at = {index.pointer}[c] < 0 ? {index.pointer}[c] + {experts} : {index.pointer}[c];"
    )
    layer.line(f"    int32_t expert = at < 0 ? 0 : at > {experts - 1} ? {experts - 1} : (int32_t)at;")
    layer.line(f"    for (int32_t o = 0; o < {outputs}; o++) {{")
    layer.line(
        f"        const float *row = {weight.pointer} + (expert * {outputs} + o) * {inputs}, *of = {x.pointer}{row};"
    )
    layer.line(f"        float sum = {start};")
    layer.line(f"        for (int32_t k = 0; k < {inputs}; k++)")
    layer.line("            sum += row[k] * of[k];")
    layer.line("        *y++ = sum;")
    layer.line("    }")
    layer.line("}")


FLOAT32: dict[str, Write] = {
    "QuantizeLinear": quantize,
    "DequantizeLinear": dequantize,
    "ExpertGemm": expert_gemm,
}
