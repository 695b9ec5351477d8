"""C of the normalisations in float: mean and variance of every run in two walks, and BatchNormalization."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from trine.compilers.normalisation import runs_of
from trine.edge.c.literals import c_literal
from trine.edge.float32 import Write, node_of, operands
from trine.edge.program import Step

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter


def normalise_layer(layer: LayerWriter, step: Step) -> None:
    layer.need("float_math", "float_normalise")
    x, gamma, *beta = (value for value in operands(layer, step) if value is not None)
    runs = runs_of(node_of(step), x.shape)
    values = (
        c_literal(np.float32(runs.epsilon)), runs.count, runs.length, runs.inner, runs.channels, int(runs.centred),
    )  # fmt: skip
    shape = layer.structure("trine_float_norm", "norm", "{" + ", ".join(map(str, values)) + "}")
    further = [f"y{i}" if i < len(step.outputs) else "0" for i in (1, 2)]
    pointers = ", ".join([x.pointer, "y", *further, gamma.pointer, beta[0].pointer if beta else "0"])
    layer.line(f"trine_normalise_float({pointers}, &{shape});")


def channel_layer(layer: LayerWriter, step: Step) -> None:
    x, scale, offset = (value for value in operands(layer, step) if value is not None)
    each = int(np.prod(x.shape[1:]))
    layer.line(f"for (int32_t c = 0; c < {x.shape[0]}; c++)")
    layer.line(f"    for (int32_t i = 0; i < {each}; i++)")
    layer.line(f"        *y++ = *{x.pointer}++ * {scale.pointer}[c] + {offset.pointer}[c];")


FLOAT32: Mapping[str, Write] = {
    **dict.fromkeys(
        ("LayerNormalization", "RMSNormalization", "InstanceNormalization", "GroupNormalization"),
        normalise_layer,
    ),
    "BatchNormalization": channel_layer,
}
IN_PLACE = frozenset(FLOAT32)
