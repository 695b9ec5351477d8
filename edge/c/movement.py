"""C of the kernels that only move bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trine.compilers.graph import Shape
from trine.edge.c.layout import LaidOut, is_relabel, same_bytes
from trine.edge.program import Step

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter


def is_alias(laid_out: LaidOut, step: Step) -> bool:
    """Whether a step's output is its input's bytes, so that no code is needed."""
    source = laid_out.program.tensors[step.inputs[0]]
    if step.kernel == "reshape":
        return True
    if step.kernel == "relayout":
        return same_bytes(source.shape)
    return step.kernel == "transpose" and is_relabel(step, laid_out.last[step.inputs[0]])


def view_at(laid_out: LaidOut, step: Step) -> int | None:
    """Where in its input's bytes a step's output lies in one piece, as it is; None where it has to be made."""
    if is_alias(laid_out, step):
        return 0
    if step.kernel != "move" or step.attributes["op"] != "Slice" or "table" in step.constants:
        return None
    if laid_out.last[step.inputs[0]] != laid_out.last[step.output]:
        return None
    of, shape = step.attributes["of"], laid_out.program.tensors[step.inputs[0]].shape
    axes = [*range(1, len(shape)), 0] if laid_out.last[step.output] else list(range(len(shape)))
    # From the last axis in memory on: all of it, until the first that is cut; then single places.
    at, inside = 0, True
    stride = np.dtype(laid_out.program.tensors[step.output].dtype).itemsize
    for axis in reversed(axes):
        if (not inside and of["counts"][axis] != 1) or (of["steps"][axis] != 1 and of["counts"][axis] > 1):
            return None
        at += of["starts"][axis] * stride
        inside = inside and of["counts"][axis] == shape[axis]
        stride *= shape[axis]
    return at


def copy_line(layer: LayerWriter, step: Step) -> None:
    """A plain copy, for an alias whose two ends are both the caller's."""
    layer.need("copy")
    layer.line(f"trine_copy((int8_t *)y, (const int8_t *)x0, {layer.tensor(step.output).bytes});")


def reshape_layer(layer: LayerWriter, step: Step) -> None:
    copy_line(layer, step)


def permute(layer: LayerWriter, shape: Shape, perm: tuple[int, ...]) -> None:
    """y = x of a stored shape with its axes permuted."""
    strides = [int(np.prod(shape[i + 1 :])) for i in range(len(shape))]
    for k, axis in enumerate(perm):
        layer.line(f"{'    ' * k}for (int32_t i{k} = 0; i{k} < {shape[axis]}; i{k}++)")
    at = " + ".join(f"i{k} * {strides[axis]}" for k, axis in enumerate(perm))
    layer.line(f"{'    ' * len(perm)}*y++ = x0[{at}];")


def transpose_layer(layer: LayerWriter, step: Step) -> None:
    if is_alias(layer.source.laid_out, step):
        copy_line(layer, step)
        return
    permute(layer, layer.tensor(step.inputs[0]).shape, step.attributes["perm"])


def relayout_layer(layer: LayerWriter, step: Step) -> None:
    """ONNX order to channels last, or back: one block of a matrix transposed."""
    if is_alias(layer.source.laid_out, step):
        copy_line(layer, step)
        return
    tensor = layer.tensor(step.output)
    places, channels = layer.number("places", tensor.size // tensor.shape[0]), tensor.shape[0]
    to_last = layer.source.laid_out.last[step.output]
    outer, inner = (places, channels) if to_last else (channels, places)
    layer.line(f"for (int32_t i = 0; i < {outer}; i++)")
    layer.line(f"    for (int32_t j = 0; j < {inner}; j++)")
    layer.line(f"        *y++ = x0[i + j * {outer}];")


def stored_axis(layer: LayerWriter, step: Step) -> int:
    """The concatenation axis as it lies in memory."""
    axis, rank = step.attributes["axis"], len(layer.tensor(step.output).shape)
    if not layer.source.laid_out.last[step.output]:
        return int(axis)
    return rank - 1 if axis == 0 else int(axis) - 1


def concat_layer(layer: LayerWriter, step: Step) -> None:
    """Concat: every input's run of bytes, as it is or through its table, next to each other."""
    axis, shape = stored_axis(layer, step), layer.stored_shape(step.output)
    outer, row = int(np.prod(shape[:axis])), int(np.prod(shape[axis:]))
    start = 0
    for i, name in enumerate(step.inputs):
        run = int(np.prod(layer.stored_shape(name)[axis:]))
        to = f"y + o * {row} + {start}"
        if name in layer.placed:
            start += run
            continue
        layer.line(f"for (int32_t o = 0; o < {outer}; o++)")
        if f"table{i}" in step.constants:
            layer.need("elementwise")
            table = layer.array(f"table{i}", step.constants[f"table{i}"])
            layer.line(f"    trine_table(x{i} + o * {run}, {to}, {table}, {run});")
        else:
            layer.need("copy")
            layer.line(f"    {copied(layer, step, to, f'x{i} + o * {run}', run)}")
        start += run


def copied(layer: LayerWriter, step: Step, to: str, source: str, count: int) -> str:
    """A statement that copies `count` values."""
    size = np.dtype(layer.tensor(step.output).dtype).itemsize
    if size == 1:
        return f"trine_copy({to}, {source}, {count});"
    return f"trine_copy((int8_t *)({to}), (const int8_t *)({source}), {count * size});"


def placed_parts(laid_out: LaidOut, step: Step) -> tuple[tuple[str, int], ...]:
    """(input, byte offset) of inputs that may be written straight into the output: contiguous, no table."""
    if step.kernel != "concat":
        return ()
    axis, rank = step.attributes["axis"], len(laid_out.program.tensors[step.output].shape)
    if laid_out.last[step.output]:
        axis = rank - 1 if axis == 0 else axis - 1
    if int(np.prod(laid_out.stored_shape(step.output)[:axis])) != 1:
        return ()
    parts, start = [], 0
    for i, name in enumerate(step.inputs):
        if f"table{i}" not in step.constants and step.inputs.count(name) == 1:
            parts.append((name, start))
        start += laid_out.program.tensors[name].bytes
    return tuple(parts)
