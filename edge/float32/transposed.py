"""C of ConvTranspose in float: every output gathers the taps that meet an input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from trine.edge.c.linear import image
from trine.edge.float32 import Write, operands
from trine.edge.program import Step

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter


def conv_transpose_layer(layer: LayerWriter, step: Step) -> None:
    layer.need("float_transposed")
    of, y = step.attributes["of"], layer.tensor(step.output)
    x, weight, *bias = (value for value in operands(layer, step) if value is not None)
    rank = len(weight.shape) - 2
    values = (
        *image(x.shape[1:], 1), x.shape[0] // of["group"], *image(weight.shape[2:], 1), *image(of["strides"], 1),
        *image(of["dilations"], 1), *image(of["pads"][:rank], 0), *image(y.shape[1:], 1), of["group"], weight.shape[1],
    )  # fmt: skip
    shape = layer.structure("trine_float_transposed", "shape", "{" + ", ".join(map(str, values)) + "}")
    offsets = bias[0].pointer if bias else "0"
    layer.line(f"trine_conv_transpose_float({x.pointer}, y, {weight.pointer}, {offsets}, &{shape});")


FLOAT32: Mapping[str, Write] = {"ConvTranspose": conv_transpose_layer}
