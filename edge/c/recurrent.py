"""C of the recurrent kernels: for each direction the states it starts from, and a loop over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from trine.edge.c.linear import pack_rows
from trine.edge.c.packing import padded
from trine.edge.c.schedule import Schedule
from trine.edge.program import IntegerProgram, Step

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter

BLOCKS = {"lstm": 4, "gru": 4, "rnn": 1}  # of gates in scratch; a GRU keeps both parts of its last gate


def sections(program: IntegerProgram, step: Step) -> dict[str, tuple[int, int]]:
    """Parts of the scratch, (offset, bytes): gates int32, carried int16, h and kept int8, x where rows are padded."""
    hidden, inputs = step.attributes["hidden"], program.tensors[step.inputs[0]].shape[-1]
    sizes = {
        "gates": 4 * BLOCKS[step.kernel] * hidden,
        "carried": padded(2 * hidden) if "c_start" in step.constants else 0,
        "h": padded(hidden),
        "kept": padded(hidden) if step.kernel == "gru" and not step.attributes["linear_before_reset"] else 0,
        "x": padded(inputs) if inputs % 4 else 0,
    }
    ends = np.cumsum([0, *sizes.values()])
    return {name: (int(at), size) for (name, size), at in zip(sizes.items(), ends, strict=False)}


def recurrent_scratch(program: IntegerProgram, step: Step, schedule: Schedule) -> int:
    """Gates, states and a padded row."""
    return sum(size for _, size in sections(program, step).values())


def rows_text(layer: LayerWriter, role: str, direction: int, zero_point: int, rows: slice, label: str) -> str:
    """A `trine_linear` of some rows of one direction; returns its symbol."""
    c = layer.step.constants
    weight = c[role][direction, rows]
    bias = c[f"{role}_bias"][direction, rows].astype(np.int64) - zero_point * weight.astype(np.int64).sum(
        axis=1
    )
    multiplier, shift = (c[f"{role}_{what}"][direction, rows] for what in ("multiplier", "shift"))
    entries = zip(bias, multiplier, 1 << (shift.astype(np.int64) - 1), shift, strict=True)
    text = ",\n    ".join("{" + ", ".join(str(int(v)) for v in entry) + "}" for entry in entries)
    channels = layer.structure("trine_channel", f"{label}_channels", "{" + text + "}")
    packed = layer.array(f"{label}_weight", pack_rows(weight, 1, layer.source.schedule.paired))
    count, length = weight.shape
    left = int(c[f"{role}_left"][0])
    fields = f"{{{packed}, {channels}, {padded(length)}, {length}, {count}, -128, 127, {left}}}"
    return layer.structure("trine_linear", label, fields)


def recurrent_text(layer: LayerWriter, direction: int, choice: int) -> str:
    """The `trine_recurrent` of one direction; choice: coupled or linear_before_reset. Returns its symbol."""
    step, c, a = layer.step, layer.step.constants, layer.step.attributes
    tables = [layer.array(f"table{i}", table) for i, table in enumerate(c["tables"])]
    functions = [
        f"{{{tables[number]}, {offset}}}"
        for number, offset in zip(a["functions"][direction], a["offsets"][direction], strict=True)
    ]
    functions += [functions[0]] * (3 - len(functions))
    r = step.requantizer
    state = f"{{0, {int(r.multiplier[0])}, {int(r.addend[0])}, {int(r.shift[0])}}}"
    peephole, shift = "0", 0
    if "p" in c:
        peephole = layer.array(f"peephole{direction}", c["p"][direction])
        shift = int(c["p_bits"][0]) + a["bits"] - 12
    fields = [a["hidden"], a["bits"], a["clip"], choice, peephole, shift, *functions, state]
    return layer.structure("trine_recurrent", f"cell{direction}", "{" + ", ".join(map(str, fields)) + "}")


def start_lines(layer: LayerWriter, direction: int, role: str, target: str) -> None:
    """Set a state before the first step."""
    step, hidden = layer.step, layer.step.attributes["hidden"]
    codes, source = step.constants[f"{role}_start"], step.attributes[f"{role}_from"]
    each = f"for (int32_t j = 0; j < {hidden}; j++)"
    if step.attributes.get("resumed"):
        layer.line(f"{each} {target}[j] = x{source}[{direction * hidden} + j];")
    elif source != -1:
        table = layer.array(f"{role}_start", codes)
        layer.line(f"{each} {target}[j] = {table}[x{source}[{direction * hidden} + j] + 128];")
    elif (codes[direction] == codes[direction].flat[0]).all():
        layer.line(f"{each} {target}[j] = {int(codes[direction].flat[0])};")
    else:
        layer.line(f"{each} {target}[j] = {layer.array(f'{role}_start{direction}', codes[direction])}[j];")


def over_time(layer: LayerWriter, calls: Sequence[Sequence[str]]) -> None:
    """The loops; calls: for each direction the statements of a step, after `x` points at its row of inputs."""
    step, a = layer.step, layer.step.attributes
    layer.need("copy", "linear", "recurrent", *(["tflite"] if layer.program.requantize == "tflite" else []))
    places = sections(layer.program, step)
    time, inputs = layer.tensor(step.inputs[0]).shape
    hidden, count, length = a["hidden"], len(a["directions"]), a["length"]
    layer.line("int32_t *gates = (int32_t *)(void *)scratch;")
    if places["carried"][1]:
        layer.line(f"int16_t *carried = (int16_t *)(void *)(scratch + {places['carried'][0]});")
    for name in ("h", "kept"):
        if places[name][1]:
            layer.line(f"int8_t *{name} = scratch + {places[name][0]};")
    targets = iter(["y", "y1", "y2"])
    written = [next(targets) if flag else "" for flag in a["written"]]
    if written[0] and length < time:
        rest = (time - length) * count * hidden
        layer.line(f"for (int32_t i = 0; i < {rest}; i++) y[{length * count * hidden} + i] = "
                   f"{layer.step.requantizer.zero_point};")  # fmt: skip
    for d, reverse in enumerate(a["directions"]):
        start_lines(layer, d, "h", "h")
        if places["carried"][1]:
            start_lines(layer, d, "c", "carried")
        layer.line(f"for (int32_t s = 0; s < {length}; s++) {{")
        layer.line(f"    const int8_t *x = x0 + ({f'{length - 1} - s' if reverse else 's'}) * {inputs};")
        if places["x"][1]:
            layer.line(f"    trine_copy(scratch + {places['x'][0]}, x, {inputs});")
            layer.line(f"    x = scratch + {places['x'][0]};")
        for call in calls[d]:
            layer.line(f"    {call}")
        if written[0]:
            row = f"({f'{length - 1} - s' if reverse else 's'}) * {count * hidden} + {d * hidden}"
            layer.line(f"    trine_copy(y + {row}, h, {hidden});")
        layer.line("}")
        finish_lines(layer, d, written)


def finish_lines(layer: LayerWriter, direction: int, written: Sequence[str]) -> None:
    """Hand out the last states."""
    from trine.edge.recurrent import UNIT_BITS, state_requantizer

    step, hidden = layer.step, layer.step.attributes["hidden"]
    if written[1]:
        layer.line(f"trine_copy({written[1]} + {direction * hidden}, h, {hidden});")
    if written[2] and step.attributes.get("resumed"):
        layer.line(
            f"for (int32_t j = 0; j < {hidden}; j++) {written[2]}[{direction * hidden} + j] = carried[j];"
        )
    elif written[2]:
        tensor = layer.tensor(step.outputs[-1])
        r = state_requantizer(step.attributes["bits"] + UNIT_BITS, tensor)
        fields = f"{{0, {int(r.multiplier[0])}, {int(r.addend[0])}, {int(r.shift[0])}}}"
        channel = layer.structure("trine_channel", f"cells{direction}", fields)
        layer.line(f"for (int32_t j = 0; j < {hidden}; j++)")
        layer.line(f"    {written[2]}[{direction * hidden} + j] = "
                   f"trine_requantize(carried[j] * 32768, &{channel}, -128, 127);")  # fmt: skip


EVERY = slice(None)


def zero_points(layer: LayerWriter) -> tuple[int, int]:
    """Of the inputs and of the state."""
    return layer.tensor(layer.step.inputs[0]).zero_point, layer.step.requantizer.zero_point


def lstm_layer(layer: LayerWriter, step: Step) -> None:
    calls = []
    (zero_x, zero_h), coupled = zero_points(layer), step.attributes["coupled"]
    for d in range(len(step.attributes["directions"])):
        w = rows_text(layer, "w", d, zero_x, EVERY, f"w{d}")
        r = rows_text(layer, "r", d, zero_h, EVERY, f"r{d}")
        cell = recurrent_text(layer, d, coupled)
        calls.append([
            f"trine_project(x, &{w}, gates, 0);", f"trine_project(h, &{r}, gates, -1);",
            f"trine_lstm_step(&{cell}, gates, carried, h);",
        ])  # fmt: skip
    over_time(layer, calls)


def gru_layer(layer: LayerWriter, step: Step) -> None:
    calls = []
    hidden, late = step.attributes["hidden"], step.attributes["linear_before_reset"]
    zero_x, zero_h = zero_points(layer)
    for d in range(len(step.attributes["directions"])):
        w = rows_text(layer, "w", d, zero_x, EVERY, f"w{d}")
        r = rows_text(layer, "r", d, zero_h, slice(0, 2 * hidden), f"r{d}")
        n = rows_text(layer, "r", d, zero_h, slice(2 * hidden, None), f"n{d}")
        cell = recurrent_text(layer, d, late)
        calls.append([
            f"trine_project(x, &{w}, gates, 0);", f"trine_project(h, &{r}, gates, -1);",
            f"trine_gru_reset(&{cell}, gates, carried, {'0' if late else 'kept'});",
            f"trine_project({'h' if late else 'kept'}, &{n}, gates + {3 * hidden}, 0);",
            f"trine_gru_step(&{cell}, gates, carried, h);",
        ])  # fmt: skip
    over_time(layer, calls)


def rnn_layer(layer: LayerWriter, step: Step) -> None:
    calls = []
    zero_x, zero_h = zero_points(layer)
    for d in range(len(step.attributes["directions"])):
        w = rows_text(layer, "w", d, zero_x, EVERY, f"w{d}")
        r = rows_text(layer, "r", d, zero_h, EVERY, f"r{d}")
        cell = recurrent_text(layer, d, 0)
        calls.append([
            f"trine_project(x, &{w}, gates, 0);", f"trine_project(h, &{r}, gates, -1);",
            f"trine_rnn_step(&{cell}, gates, h);",
        ])  # fmt: skip
    over_time(layer, calls)
