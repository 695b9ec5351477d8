"""C of pooling and means."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trine.edge.c.linear import image
from trine.edge.program import Step

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter


def pool_text(layer: LayerWriter, step: Step) -> str:
    """A `trine_pool` initialiser."""
    x, a = layer.tensor(step.inputs[0]), step.attributes
    kernel = a["kernel_shape"]
    rank = len(kernel)
    if step.kernel == "max_pool" or a["op"] == "AveragePool":
        positions = layer.tensor(step.output).shape[1:]
    else:
        positions = (1,) * rank
    values = (
        *image(x.shape[1:], 1), x.shape[0], *image(kernel, 1), *image(a["strides"], 1),
        *image(a.get("dilations", (1,) * rank), 1), *image(a["pads"][:rank], 0), *image(positions, 1),
    )  # fmt: skip
    return "{" + ", ".join(map(str, values)) + "}"


def max_pool_layer(layer: LayerWriter, step: Step) -> None:
    layer.need("pool")
    shape = layer.structure("trine_pool", "shape", pool_text(layer, step))
    layer.line(f"trine_max_pool(x0, y, &{shape});")


def mean_layer(layer: LayerWriter, step: Step) -> None:
    """AveragePool, GlobalAveragePool, ReduceMean over the spatial axes."""
    layer.need("pool")
    r = step.requantizer
    zero_point, most = layer.tensor(step.inputs[0]).zero_point, step.attributes["most"]
    counts = range(1, most + 1) if len(r.ratio) > 1 else [most]
    shape = layer.structure("trine_pool", "shape", pool_text(layer, step))
    channels = layer.channels(r, [-zero_point * count for count in counts])
    layer.line(f"trine_mean(x0, y, &{shape}, {channels}, {len(r.ratio)}, {r.left}, {r.low}, {r.high});")


def mean_axes_layer(layer: LayerWriter, step: Step) -> None:
    """ReduceMean over any axes: loops over what stays, then over what is averaged."""
    x, r, axes = layer.tensor(step.inputs[0]), step.requantizer, step.attributes["axes"]
    strides = [int(np.prod(x.shape[i + 1 :])) for i in range(len(x.shape))]
    kept = [i for i in range(len(x.shape)) if i not in axes]
    channel = layer.channels(r, [-x.zero_point * step.attributes["most"]])
    indent = ""
    for axis in kept:
        layer.line(f"{indent}for (int32_t i{axis} = 0; i{axis} < {x.shape[axis]}; i{axis}++)")
        indent += "    "
    layer.line(f"{indent}{{")
    layer.line(f"{indent}    int32_t sum = {channel}[0].bias;")
    inner = indent + "    "
    for axis in axes:
        layer.line(f"{inner}for (int32_t i{axis} = 0; i{axis} < {x.shape[axis]}; i{axis}++)")
        inner += "    "
    at = " + ".join(f"i{axis} * {strides[axis]}" for axis in range(len(x.shape)))
    layer.line(f"{inner}sum += x0[{at}];")
    layer.line(f"{indent}    *y++ = trine_requantize(sum * (1 << {r.left}), {channel}, {r.low}, {r.high});")
    layer.line(f"{indent}}}")
