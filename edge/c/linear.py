"""C of the layers with weights: conv, depthwise conv, dense, and the product of two activations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trine.compilers.graph import Array
from trine.edge.c.linear16 import (
    conv16_layer,
    conv16_scratch,
    dense16_layer,
    dense16_scratch,
    is_wide,
    matmul16_lines,
)
from trine.edge.c.packing import pack, padded
from trine.edge.c.schedule import Schedule
from trine.edge.lowbit import bits_of
from trine.edge.program import IntegerProgram, Step

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter

KIND = {8: "", 4: "_4", 2: "_2"}  # of the C functions, by the weights' width


def folded_bias(program: IntegerProgram, step: Step) -> Array:
    """bias - zero_point * sum of the row's weights: the kernels multiply raw int8 inputs."""
    weight = step.constants["weight"]
    rows = weight.reshape(weight.shape[0], -1).astype(np.int64)
    zero_point = program.tensors[step.inputs[0]].zero_point
    return np.asarray(step.constants["bias"].astype(np.int64) - zero_point * rows.sum(axis=1))


def linear_fields(layer: LayerWriter, rows: Array, length: int, row: int) -> str:
    """A `trine_linear` initialiser; rows in the order of the kernels, `length` of `row` values of each that count."""
    step = layer.step
    r, bits = step.requantizer, bits_of(step)
    if bits != 8:
        layer.need("copy", "packed")
        rows = pack(rows, bits, layer.source.schedule.paired)
    weight = layer.array("weight", rows)
    channels = layer.channels(r, folded_bias(layer.program, step))
    layer.need("linear", *(["tflite"] if r.rule == "tflite" else []))
    outputs = step.constants["weight"].shape[0] // step.attributes.get("group", 1)
    return f"{{{weight}, {channels}, {row}, {length}, {outputs}, {r.low}, {r.high}, {r.left}}}"


def pack_rows(rows: Array, groups: int, paired: bool, bits: int = 8) -> Array:
    """Rows [outputs, length] as the kernels read them: padded with zeros, to an even number in each group.

    paired: two neighbouring rows interleaved, four bytes of the one, four of the other.
    """
    outputs, length = rows.shape[0] // groups, padded(rows.shape[1], bits)
    packed = np.zeros((groups, outputs + outputs % 2, length), np.int8)
    packed[:, :outputs, : rows.shape[1]] = rows.reshape(groups, outputs, -1)
    if paired:
        packed = packed.reshape(groups, -1, 2, length // 4, 4).swapaxes(2, 3)
    return np.ascontiguousarray(packed)


def block_channels(rows: Array) -> Array:
    """Depthwise weights [channels, taps] by blocks of 4 channels, tap after tap; the last channels one by
    one."""
    whole = rows.shape[0] // 4 * 4
    blocks = rows[:whole].reshape(-1, 4, rows.shape[1]).swapaxes(1, 2)
    return np.concatenate([blocks.ravel(), rows[whole:].ravel()])


def is_depthwise(step: Step) -> bool:
    """One filter a channel: the depthwise kernel serves it."""
    weight, group = step.constants["weight"], int(step.attributes["group"])
    return bool(group > 1 and weight.shape[:2] == (group, 1))


def image(values: tuple[int, ...], fill: int) -> tuple[int, int]:
    """Spatial values of a signal or an image as (height, width)."""
    return (fill, values[0]) if len(values) == 1 else (values[0], values[1])


def shape_text(layer: LayerWriter) -> str:
    """A `trine_shape` initialiser of a conv step."""
    step = layer.step
    x, y = layer.tensor(step.inputs[0]), layer.tensor(step.output)
    a, weight = step.attributes, step.constants["weight"]
    rank = weight.ndim - 2
    (in_h, in_w), (out_h, out_w) = image(x.shape[1:], 1), image(y.shape[1:], 1)
    taps, strides = image(weight.shape[2:], 1), image(a["strides"], 1)
    dilations, pads = image(a["dilations"], 1), image(a["pads"][:rank], 0)
    direct = int(a["group"] == 1 and taps[0] == 1 and (dilations[1] == 1 or taps[1] == 1))
    row = int(np.prod(weight.shape[1:]))
    if bits_of(step) == 2 and padded(row, 2) != row:
        direct = 0  # weights of 2 bits have no zero: what is behind a window must be
    inputs = x.shape[0] if is_depthwise(step) else weight.shape[1]
    values = (
        in_h, in_w, x.shape[0], inputs, *taps, *strides, *dilations, *pads,
        out_h, out_w, y.shape[0], a["group"], x.zero_point, direct,
    )  # fmt: skip
    return "{" + ", ".join(map(str, values)) + "}"


def conv_layer(layer: LayerWriter, step: Step) -> None:
    """Conv: windows in pairs through the linear kernel; depthwise has a kernel of its own."""
    if is_wide(layer.program, step):
        conv16_layer(layer, step)
        return
    weight = step.constants["weight"]
    last = np.moveaxis(weight, 1, -1)  # [out, *kernel, in/group]: the order of a channels-last window
    layer.need("copy", "conv")
    shape = layer.passed("trine_shape", "shape", shape_text(layer))
    rows, bits = last.reshape(weight.shape[0], -1), bits_of(step)
    if is_depthwise(step):
        depthwise_layer(layer, step, rows, shape)
        return
    packed = pack_rows(rows, step.attributes["group"], layer.source.schedule.paired, bits)
    fields = linear_fields(layer, packed, rows.shape[1], padded(rows.shape[1], bits))
    linear = layer.structure("trine_linear", "linear", fields)
    if bits != 8:
        layer.need("packed_conv")
    layer.line(f"trine_conv{KIND[bits]}(x0, y, scratch, {shape}, {linear});")


def depthwise_layer(layer: LayerWriter, step: Step, rows: Array, shape: str) -> None:
    """Depthwise conv; packed weights are unpacked first, all of them, since there are few."""
    bits, taps = bits_of(step), rows.shape[1]
    layer.need("depthwise")
    stream, size = block_channels(rows), unpacked_bytes(rows.size, bits)
    if bits != 8:
        stream = np.pad(stream, (0, size - stream.size))
    linear = layer.structure("trine_linear", "linear", linear_fields(layer, stream, taps, taps))
    layer.line(f"const int8_t *taps[{taps}];")
    if bits != 8:
        at = padded(rows.shape[0])
        layer.line(f"trine_linear unpacked = {linear};")
        layer.line(f"unpacked.weight = scratch + {at};")
        layer.line(f"trine_unpack{KIND[bits]}({linear}.weight, scratch + {at}, {size * bits // 32});")
        linear = "unpacked"
    layer.line(f"trine_depthwise(x0, y, scratch, taps, {shape}, &{linear});")


def unpacked_bytes(weights: int, bits: int) -> int:
    """Room for depthwise weights that are unpacked two words at a time."""
    return padded(weights, bits // 2)


def stored_weight_bytes(step: Step, schedule: Schedule) -> int:
    """Flash of a conv's or dense layer's weights, padding included."""
    weight, bits = step.constants["weight"], bits_of(step)
    if step.kernel == "conv" and is_depthwise(step):
        return int(weight.size if bits == 8 else unpacked_bytes(weight.size, bits) * bits // 8)
    rows = weight.reshape(weight.shape[0], -1)
    packed = pack_rows(rows, step.attributes.get("group", 1), schedule.paired, bits)
    return int(packed.size * bits // 8)


def conv_scratch(program: IntegerProgram, step: Step, schedule: Schedule) -> int:
    """Two gathered windows, and both expanded to halfwords where the schedule is wide; for depthwise the
    zero points of a tap."""
    if is_wide(program, step):
        return conv16_scratch(step, schedule)
    weight, bits = step.constants["weight"], bits_of(step)
    if is_depthwise(step):
        channels = int(weight.shape[0])
        return channels if bits == 8 else padded(channels) + unpacked_bytes(weight.size, bits)
    return rows_of_scratch(schedule, bits) * padded(int(np.prod(weight.shape[1:])), bits)


def rows_of_scratch(schedule: Schedule, bits: int) -> int:
    """Rows of working memory: two windows, then both expanded to halfwords (wide), or the rows unpacked at a time."""
    if schedule.wide:
        return 6
    return 2 if bits == 8 else 6 if schedule.paired else 10


def dense_layer(layer: LayerWriter, step: Step) -> None:
    """Gemm or MatMul: rows of x in pairs, or alone."""
    if is_wide(layer.program, step):
        dense16_layer(layer, step)
        return
    weight = step.constants["weight"]
    length = weight.shape[1]
    x = layer.tensor(step.inputs[0])
    rows, bits = x.size // length, bits_of(step)
    packed = pack_rows(weight, 1, layer.source.schedule.paired, bits)
    fields = linear_fields(layer, packed, length, padded(length, bits))
    linear = layer.structure("trine_linear", "linear", fields)
    if bits != 8:
        layer.line(f"trine_dense{KIND[bits]}(x0, y, scratch, {rows}, {linear});")
        return
    if rows == 1 and length % 4 == 0:
        layer.line(f"trine_one_window(x0, y, &{linear});")
        return
    layer.need("copy")
    if rows == 1:
        layer.line(f"trine_copy(scratch, x0, {length});")
        layer.line(f"trine_one_window(scratch, y, &{linear});")
        return
    outputs, stride = weight.shape[0], padded(length)
    layer.line(f"for (int32_t i = 0; i < {rows}; i += 2) {{")
    layer.line(f"    int32_t next = i + 1 < {rows} ? i + 1 : i;")
    windows = f"x0 + i * {length}, x0 + next * {length}"
    if length % 4 != 0:
        layer.line(f"    trine_copy(scratch, x0 + i * {length}, {length});")
        layer.line(f"    trine_copy(scratch + {stride}, x0 + next * {length}, {length});")
        windows = f"scratch, scratch + {stride}"
    targets = f"y + i * {outputs}, y + next * {outputs}"
    layer.line(f"    trine_two_windows({windows}, {targets}, scratch + {2 * stride}, &{linear});")
    layer.line("}")


def dense_scratch(program: IntegerProgram, step: Step, schedule: Schedule) -> int:
    """Rows whose length is no multiple of 4 are copied, so that a kernel never reads past them."""
    if is_wide(program, step):
        return dense16_scratch(program, step, schedule)
    length, bits = step.constants["weight"].shape[1], bits_of(step)
    row, several = padded(length, bits), program.tensors[step.inputs[0]].size > length
    if bits == 8:
        return rows_of_scratch(schedule, 8) * row if several else 0 if length == row else row
    room = (
        rows_of_scratch(schedule, bits) - 2 if several else 2
    )  # without DSP instructions a wide layer unpacks rows
    return (room + (0 if length == row else 2)) * row


def expert_layer(layer: LayerWriter, step: Step) -> None:
    """The dense layers of the chosen experts; an index beyond them counts as the nearest."""
    weight, experts = step.constants["weight"], step.attributes["group"]
    length, outputs = weight.shape[1], weight.shape[0] // experts
    stride = padded(length)
    packed = pack_rows(weight, experts, layer.source.schedule.paired)
    linear = layer.structure("trine_linear", "linear", linear_fields(layer, packed, length, stride))
    chosen = layer.tensor(step.output).shape[0]
    layer.line(f"for (int32_t i = 0; i < {chosen}; i++) {{")
    layer.line(f"    int64_t at = x1[i] < 0 ? x1[i] + {experts} : x1[i];")
    layer.line(f"    int32_t expert = at < 0 ? 0 : at > {experts - 1} ? {experts - 1} : (int32_t)at;")
    layer.line(f"    trine_linear of = {linear};")
    layer.line(f"    of.weight += expert * {packed[0].size};")
    layer.line(f"    of.channel += expert * {outputs};")
    window = "x0" if step.attributes["shared"] else f"x0 + i * {length}"
    if length % 4:
        layer.need("copy")
        layer.line(f"    trine_copy(scratch, {window}, {length});")
        window = "scratch"
    layer.line(f"    trine_one_window({window}, y + i * {outputs}, &of);")
    layer.line("}")


def expert_scratch(program: IntegerProgram, step: Step, schedule: Schedule) -> int:
    """A vector whose length is no multiple of 4 is copied, so that a kernel never reads past it."""
    length = step.constants["weight"].shape[1]
    return 0 if length % 4 == 0 else padded(length)


def matmul_layer(layer: LayerWriter, step: Step) -> None:
    """A product of stacks of matrices, value by value of the result; an axis of the stack may be repeated."""
    sources, shapes, place = [], [], step.attributes["constant"]
    for i, name in enumerate(step.inputs):
        sources.append(f"x{i}")
        shapes.append(layer.tensor(name).shape)
    if place is not None:
        constant = step.constants["constant"]
        sources.insert(place, layer.array("constant", constant))
        shapes.insert(place, constant.shape)
    # A vector is a matrix of one row on the left, of one column on the right (NumPy's matmul).
    a = shapes[0] if len(shapes[0]) > 1 else (1, *shapes[0])
    b = shapes[1] if len(shapes[1]) > 1 else (*shapes[1], 1)
    (m, k), n = a[-2:], b[-1]
    stack = np.broadcast_shapes(a[:-2], b[:-2])
    places = []
    for matrix, size in ((a, m * k), (b, k * n)):
        full = (1,) * (len(stack) - len(matrix) + 2) + tuple(matrix[:-2])
        strides = [size * int(np.prod(full[i + 1 :])) if full[i] > 1 else 0 for i in range(len(full))]
        places.append(" + ".join(f"g{i} * {stride}" for i, stride in enumerate(strides) if stride) or "0")
    for i, size in enumerate(stack):
        layer.line(f"for (int32_t g{i} = 0; g{i} < {size}; g{i}++)")
    if is_wide(layer.program, step):
        ends = (f"{sources[0]} + {places[0]}", f"{sources[1]} + {places[1]}")
        matmul16_lines(layer, step, m, n, k, ends)
        return
    channel, r = layer.channels(step.requantizer, [0]), step.requantizer
    layer.line(f"for (int32_t i = 0; i < {m}; i++)")
    layer.line(f"    for (int32_t j = 0; j < {n}; j++) {{")
    layer.line(f"        const int8_t *a = {sources[0]} + {places[0]} + i * {k};")
    layer.line(f"        const int8_t *b = {sources[1]} + {places[1]} + j;")
    layer.line("        int32_t sum = 0;")
    layer.line(f"        for (int32_t k = 0; k < {k}; k++)")
    zeros = [step.attributes[side][1] for side in "ab"]
    layer.line(f"            sum += (int32_t)(a[k] - ({zeros[0]})) * (b[k * {n}] - ({zeros[1]}));")
    layer.line(f"        *y++ = trine_requantize(sum * {2**r.left}, {channel}, {r.low}, {r.high});")
    layer.line("    }")
