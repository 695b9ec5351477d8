"""C of conv, depthwise conv, dense layers and products of int16 activations with weights of 8, 4 or 2 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trine.compilers.graph import Array
from trine.edge.c.packing import pack, padded
from trine.edge.c.schedule import Schedule
from trine.edge.int16 import chunk_of
from trine.edge.lowbit import bits_of
from trine.edge.program import IntegerProgram, Step

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter

ORDER = [0, 2, 1, 3]  # of the taps in a word, where the schedule is wide: sxtb16 takes bytes 0 and 2


def is_wide(program: IntegerProgram, step: Step) -> bool:
    """Whether a layer reads int16."""
    return program.tensors[step.inputs[0]].dtype == "int16"


def sums_64(step: Step) -> bool:
    """Whether its sums may leave 32 bits."""
    return step.requantizer.left < 0 or int(step.attributes["largest_sum"]) >= 2**31


def pack_rows_16(rows: Array, groups: int, schedule: Schedule, bits: int = 8) -> Array:
    """Rows [outputs, length] as the kernels read them: as `pack_rows`, words in the order of the schedule; packed."""
    from trine.edge.c.linear import pack_rows

    stored = pack_rows(rows, groups, schedule.paired, bits)
    if schedule.wide:
        stored = np.ascontiguousarray(stored.reshape(-1, 4)[:, ORDER])
    return stored if bits == 8 else pack(stored, bits, schedule.paired)


def linear16_text(layer: LayerWriter, stored: Array, rows: Array, row: int) -> str:
    """A `trine_linear16` initialiser; rows [outputs, length] in the order of the sum, `stored` as they are kept."""
    step, r = layer.step, layer.step.requantizer
    layer.need("copy", "int16", "linear16")
    weight = layer.array("weight", stored)
    channels = layer.channels(r, step.constants["bias"])
    outputs = rows.shape[0] // step.attributes.get("group", 1)
    chunk = chunk_of(rows) if sums_64(step) else row
    return (
        f"{{{weight}, {channels}, {row}, {rows.shape[1]}, {outputs}, {r.low}, {r.high}, {r.left}, {chunk}}}"
    )


def shape16_text(layer: LayerWriter) -> str:
    """A `trine_shape16` initialiser of a conv step."""
    from trine.edge.c.linear import image, is_depthwise

    step = layer.step
    x, y = layer.tensor(step.inputs[0]), layer.tensor(step.output)
    a, weight = step.attributes, step.constants["weight"]
    rank = weight.ndim - 2
    taps, dilations = image(weight.shape[2:], 1), image(a["dilations"], 1)
    direct = int(a["group"] == 1 and taps[0] == 1 and (dilations[1] == 1 or taps[1] == 1))
    inputs = x.shape[0] if is_depthwise(step) else weight.shape[1]
    values = (
        *image(x.shape[1:], 1), x.shape[0], inputs, *taps, *image(a["strides"], 1), *dilations,
        *image(a["pads"][:rank], 0), *image(y.shape[1:], 1), y.shape[0], a["group"], direct,
    )  # fmt: skip
    return "{" + ", ".join(map(str, values)) + "}"


def by_channel_16(step: Step) -> bool:
    """Whether the depthwise kernel serves a conv; its sums have 32 bits."""
    from trine.edge.c.linear import is_depthwise

    return is_depthwise(step) and not sums_64(step)


def conv16_layer(layer: LayerWriter, step: Step) -> None:
    """Conv of int16: windows in pairs; depthwise has a kernel of its own."""
    weight, bits = step.constants["weight"], bits_of(step)
    rows = np.moveaxis(weight, 1, -1).reshape(weight.shape[0], -1)
    layer.need("copy", "int16", "linear16", "conv16")
    shape = layer.passed("trine_shape16", "shape", shape16_text(layer))
    if by_channel_16(step):
        depthwise16_layer(layer, step, rows, shape)
        return
    row = padded(rows.shape[1], bits)
    stored = pack_rows_16(rows, step.attributes["group"], layer.source.schedule, bits)
    linear = layer.structure("trine_linear16", "linear", linear16_text(layer, stored, rows, row))
    room = "(int16_t *)(void *)scratch"
    if bits == 8:
        layer.line(f"trine_conv16(x0, y, {room}, {shape}, {linear});")
        return
    layer.need("linear", "packed", "packed16")
    layer.line(f"trine_conv16_packed(x0, y, {room}, scratch + {4 * row}, {shape}, {linear}, {bits});")


def depthwise16_layer(layer: LayerWriter, step: Step, rows: Array, shape: str) -> None:
    """Depthwise conv of int16; packed weights are unpacked first, all of them, since there are few."""
    from trine.edge.c.linear import KIND, block_channels, unpacked_bytes

    bits, taps = bits_of(step), rows.shape[1]
    layer.need("depthwise16")
    stored, size = block_channels(rows), unpacked_bytes(rows.size, bits)
    if bits != 8:
        layer.need("linear", "packed")
        stored = pack(np.pad(stored, (0, size - stored.size)), bits, layer.source.schedule.paired)
    linear = layer.structure("trine_linear16", "linear", linear16_text(layer, stored, rows, taps))
    layer.line(f"const int16_t *taps[{taps}];")
    if bits != 8:
        at = padded(2 * len(rows))
        layer.line(f"trine_linear16 unpacked = {linear};")
        layer.line(f"unpacked.weight = scratch + {at};")
        layer.line(f"trine_unpack{KIND[bits]}({linear}.weight, scratch + {at}, {size * bits // 32});")
        linear = "unpacked"
    layer.line(f"trine_depthwise16(x0, y, (int16_t *)(void *)scratch, taps, {shape}, &{linear});")


def dense16_layer(layer: LayerWriter, step: Step) -> None:
    """Gemm or MatMul of int16 with constant weights."""
    rows, bits = step.constants["weight"], bits_of(step)
    row = padded(rows.shape[1], bits)
    stored = pack_rows_16(rows, 1, layer.source.schedule, bits)
    linear = layer.structure("trine_linear16", "linear", linear16_text(layer, stored, rows, row))
    count, room = layer.tensor(step.inputs[0]).size // rows.shape[1], "(int16_t *)(void *)scratch"
    if bits == 8:
        layer.line(f"trine_dense16(x0, y, {room}, {count}, {len(rows)}, &{linear});")
        return
    layer.need("linear", "conv16", "packed", "packed16")
    at = f"scratch + {2 * row * min(count, 2)}"
    layer.line(f"trine_dense16_packed(x0, y, {room}, {at}, {count}, {linear}, {bits});")


def unpacked_rows(step: Step, row: int, schedule: Schedule) -> int:
    """Bytes of the rows that are unpacked at a time: 4 where they lie in pairs, else 8."""
    return 0 if bits_of(step) == 8 else (4 if schedule.paired else 8) * row


def conv16_scratch(step: Step, schedule: Schedule) -> int:
    """Two gathered windows, and rows of packed weights; for depthwise the zeros of a tap, and all weights."""
    from trine.edge.c.linear import unpacked_bytes

    weight, bits = step.constants["weight"], bits_of(step)
    if by_channel_16(step):
        zeros = 2 * len(weight)
        return zeros if bits == 8 else padded(zeros) + unpacked_bytes(weight.size, bits)
    row = padded(int(np.prod(weight.shape[1:])), bits)
    return 4 * row + unpacked_rows(step, row, schedule)


def dense16_scratch(program: IntegerProgram, step: Step, schedule: Schedule) -> int:
    """Two rows, for those that do not lie at whole words or whose padding would reach behind the input; and weights."""
    length = int(step.constants["weight"].shape[1])
    row = padded(length, bits_of(step))
    return 2 * row * (1 + (program.tensors[step.inputs[0]].size > length)) + unpacked_rows(
        step, row, schedule
    )


def matmul16_lines(layer: LayerWriter, step: Step, m: int, n: int, k: int, places: tuple[str, str]) -> None:
    """The loops of a product of int16 matrices: sums of 64 bits."""
    r, channel = step.requantizer, layer.channels(step.requantizer, [0])
    layer.need("int16")
    kinds = ["int8_t" if step.attributes["constant"] == i else "int16_t" for i in range(2)]
    layer.line(f"for (int32_t i = 0; i < {m}; i++)")
    layer.line(f"    for (int32_t j = 0; j < {n}; j++) {{")
    layer.line(f"        const {kinds[0]} *a = {places[0]} + i * {k};")
    layer.line(f"        const {kinds[1]} *b = {places[1]} + j;")
    layer.line("        int64_t sum = 0;")
    layer.line(f"        for (int32_t k = 0; k < {k}; k++)")
    layer.line(f"            sum += (int32_t)a[k] * b[k * {n}];")
    whole = f"sum * {2**r.left}" if r.left >= 0 else f"sum >> {-r.left}"
    layer.line(f"        *y++ = trine_requantize16((int32_t)({whole}), {channel}, {r.low}, {r.high});")
    layer.line("    }")
