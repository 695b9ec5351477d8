"""C of attention in float32: one pass over the keys with a running maximum, so that no row of scores is stored.

Online softmax: Milakov & Gimelshein 2018 (arXiv 1805.02867); the output row is the accumulator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trine.edge.c.literals import c_literal
from trine.edge.float32 import Operand, Write, operands
from trine.edge.program import Step

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter


def attention(layer: LayerWriter, step: Step) -> None:
    layer.need("float_math")
    a, b, v, *masks = (operand for operand in operands(layer, step) if operand)
    (rows, depth), keys, values = a.shape[-2:], b.shape[-1], v.shape[-1]
    stack, scale = int(np.prod(a.shape[:-2])), c_literal(np.float32(step.attributes["of"]["scale"]))
    shown = mask_lines(masks[0], stack, rows, keys) if masks else []
    for line in (
        f"for (int32_t g = 0; g < {stack}; g++)",
        f"    for (int32_t i = 0; i < {rows}; i++, y += {values}) {{",
        f"        const float *query = {a.pointer} + (g * {rows} + i) * {depth};",
        "        float greatest = 0.0f, total = 0.0f;",
        f"        for (int32_t c = 0; c < {values}; c++)",
        "            y[c] = 0.0f;",
        f"        for (int32_t j = 0; j < {keys}; j++) {{",
        *shown,
        f"            const float *value = {v.pointer} + (g * {keys} + j) * {values};",
        "            float score = 0.0f;",
        f"            for (int32_t k = 0; k < {depth}; k++)",
        f"                score += query[k] * {b.pointer}[(g * {depth} + k) * {keys} + j];",
        f"            score *= {scale};",
        "            float most = total == 0.0f || score > greatest ? score : greatest;",
        "            float kept = total == 0.0f ? 0.0f : trine_expf(greatest - most);",
        "            float weight = trine_expf(score - most);",
        "            total = total * kept + weight;",
        f"            for (int32_t c = 0; c < {values}; c++)",
        "                y[c] = y[c] * kept + weight * value[c];",
        "            greatest = most;",
        "        }",
        f"        for (int32_t c = 0; c < {values}; c++)",
        "            y[c] /= total > 0.0f ? total : 1.0f;",
        "    }",
    ):
        layer.line(line)


def mask_lines(mask: Operand, stack: int, rows: int, keys: int) -> list[str]:
    """Leave out a key that is masked."""
    size = int(np.prod(mask.shape[-2:]))
    every = f"g * {size} + " if stack > 1 and int(np.prod(mask.shape[:-2])) == stack else ""
    row = f"i * {keys} + " if mask.shape[-2] > 1 else ""
    return [f"            if (!{mask.pointer}[{every}{row}j])", "                continue;"]


FLOAT32: dict[str, Write] = {"RowAttention": attention}
