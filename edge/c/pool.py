"""C of pooling and means."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trine.edge.c.linear import image
from trine.edge.c.literals import c_literal
from trine.edge.program import Step

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter


def pool_text(layer: LayerWriter, step: Step) -> str:
    """A `trine_pool` initialiser; the cells that count are those of the image, or of the padding too."""
    x, a = layer.tensor(step.inputs[0]), step.attributes
    rank = len(a["kernel_shape"])
    begins, ends = a["pads"][:rank], a["pads"][rank:]
    reach = [
        s + b + e - (k - 1) * d - 1
        for s, b, e, k, d in zip(x.shape[1:], begins, ends, a["kernel_shape"], a["dilations"], strict=True)
    ]
    positions = tuple(r // s + 1 for r, s in zip(reach, a["strides"], strict=True))
    low, high = (0,) * rank, x.shape[1:]
    if a.get("count_include_pad"):
        low = tuple(-b for b in begins)
        high = tuple(s + e - u for s, e, u in zip(x.shape[1:], ends, a["uncounted"], strict=True))
    values = (
        *image(x.shape[1:], 1), x.shape[0], *image(a["kernel_shape"], 1), *image(a["strides"], 1),
        *image(a["dilations"], 1), *image(begins, 0), *image(positions, 1),
        *image(low, 0), *image(high, 1), x.zero_point,
    )  # fmt: skip
    return "{" + ", ".join(map(str, values)) + "}"


def width_of(layer: LayerWriter, step: Step) -> str:
    """What names of the functions for int16 end in; asks for those of the step's width."""
    wide = layer.tensor(step.output).dtype == "int16"
    layer.need(*(("int16", "pool16") if wide else ("pool",)))
    return "16" if wide else ""


def max_pool_layer(layer: LayerWriter, step: Step) -> None:
    width = width_of(layer, step)
    shape = layer.passed(f"trine_pool{width}", "shape", pool_text(layer, step))
    layer.line(f"trine_max_pool{width}(x0, y, {shape});")


def mean_layer(layer: LayerWriter, step: Step) -> None:
    """AveragePool, GlobalAveragePool, ReduceMean over the spatial axes."""
    width, r = width_of(layer, step), step.requantizer
    shape = layer.passed(f"trine_pool{width}", "shape", pool_text(layer, step))
    channels = layer.channels(r, [0] * len(r.ratio))
    # One count for all windows: entry 0 serves it, whatever the count.
    least = step.attributes["least"] if len(r.ratio) > 1 else "INT32_MAX"
    layer.line(f"trine_mean{width}(x0, y, {shape}, {channels}, {least}, {2**r.left}, {r.low}, {r.high});")


def stated_mean_layer(layer: LayerWriter, step: Step) -> None:
    """AveragePool in float32, as a model that arrives quantised states it."""
    layer.need("pool", "mean_stated")
    x, y, a = layer.tensor(step.inputs[0]), layer.tensor(step.output), step.attributes
    reals = [c_literal(np.float32(v)) for v in (x.scale, y.scale, y.zero_point + a["raised"])]
    numbers = [str(a[name]) for name in ("raised", "low", "high")]
    shape = layer.structure("trine_pool", "shape", pool_text(layer, step))
    stated = layer.structure("trine_stated", "stated", "{" + ", ".join([*reals, *numbers]) + "}")
    layer.line(f"trine_mean_stated(x0, y, &{shape}, &{stated});")


def mean_axes_layer(layer: LayerWriter, step: Step) -> None:
    """ReduceMean over any axes: loops over what stays, then over what is averaged."""
    x, r, axes = layer.tensor(step.inputs[0]), step.requantizer, step.attributes["axes"]
    strides = [int(np.prod(x.shape[i + 1 :])) for i in range(len(x.shape))]
    kept = [i for i in range(len(x.shape)) if i not in axes]
    channel = layer.channels(r, [-x.zero_point * step.attributes["most"]])
    width = "16" if layer.tensor(step.output).dtype == "int16" else ""
    layer.need(*(["int16"] if width else []))
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
    layer.line(
        f"{indent}    *y++ = trine_requantize{width}(sum * {2**r.left}, {channel}, {r.low}, {r.high});"
    )
    layer.line(f"{indent}}}")
