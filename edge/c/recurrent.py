"""C of the recurrent kernels: for each direction the states it starts from, and a loop over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from trine.edge.c.linear import pack_rows
from trine.edge.c.linear16 import is_wide, pack_rows_16
from trine.edge.c.packing import padded
from trine.edge.c.schedule import Schedule
from trine.edge.int16 import chunk_of
from trine.edge.program import IntegerProgram, Step
from trine.edge.weights import wide_sum_bound

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter

KEPT = ("trine_requantize({}, -128, 127)", "trine_requantize16({}, -32768, 32767)")
BLOCKS = {"lstm": 4, "gru": 4, "rnn": 1}  # of gates in scratch; a GRU keeps both parts of its last gate


def sections(program: IntegerProgram, step: Step) -> dict[str, tuple[int, int]]:
    """Parts of the scratch, (offset, bytes): gates int32, carried int16, h and kept as x, x where rows are padded."""
    hidden, inputs = step.attributes["hidden"], program.tensors[step.inputs[0]].shape[-1]
    size = 2 if is_wide(program, step) else 1
    sizes = {
        "gates": 4 * BLOCKS[step.kernel] * hidden,
        "carried": padded(2 * hidden) if "c_start" in step.constants else 0,
        "h": size * padded(hidden),
        "kept": size * padded(hidden)
        if step.kernel == "gru" and not step.attributes["linear_before_reset"]
        else 0,
        "x": size * padded(inputs) if inputs % 4 else 0,
    }
    ends = np.cumsum([0, *sizes.values()])
    return {name: (int(at), size) for (name, size), at in zip(sizes.items(), ends, strict=False)}


def recurrent_scratch(program: IntegerProgram, step: Step, schedule: Schedule) -> int:
    """Gates, states and a padded row."""
    return sum(size for _, size in sections(program, step).values())


def rows_text(layer: LayerWriter, role: str, direction: int, zero_point: int, rows: slice, label: str) -> str:
    """A `trine_linear`, of int16 a `trine_linear16`, of some rows of one direction; returns its symbol."""
    c = layer.step.constants
    weight = c[role][direction, rows]
    bias = c[f"{role}_bias"][direction, rows].astype(np.int64) - zero_point * weight.astype(np.int64).sum(
        axis=1
    )
    multiplier, shift = (c[f"{role}_{what}"][direction, rows] for what in ("multiplier", "shift"))
    entries = zip(bias, multiplier, 1 << (shift.astype(np.int64) - 1), shift, strict=True)
    text = ",\n    ".join("{" + ", ".join(str(int(v)) for v in entry) + "}" for entry in entries)
    channels = layer.structure("trine_channel", f"{label}_channels", "{" + text + "}")
    count, length = weight.shape
    left = int(c[f"{role}_left"][0])
    if is_wide(layer.program, layer.step):
        packed = layer.array(f"{label}_weight", pack_rows_16(weight, 1, layer.source.schedule))
        chunk = chunk_of(weight) if gates_64(layer.step) else padded(length)
        fields = (
            f"{{{packed}, {channels}, {padded(length)}, {length}, {count}, -32768, 32767, {left}, {chunk}}}"
        )
        return layer.structure("trine_linear16", label, fields)
    packed = layer.array(f"{label}_weight", pack_rows(weight, 1, layer.source.schedule.paired))
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
    if any(s.kernel in BLOCKS and is_wide(layer.program, s) for s in layer.program.steps):
        fields.append(int(is_wide(layer.program, step)))
    return layer.structure("trine_recurrent", f"cell{direction}", "{" + ", ".join(map(str, fields)) + "}")


def start_lines(layer: LayerWriter, direction: int, role: str, target: str) -> None:
    """Set a state before the first step."""
    step, hidden = layer.step, layer.step.attributes["hidden"]
    codes, source = step.constants[f"{role}_start"], step.attributes[f"{role}_from"]
    each = f"for (int32_t j = 0; j < {hidden}; j++)"
    if step.attributes.get("resumed"):
        layer.line(f"{each} {target}[j] = x{source}[{direction * hidden} + j];")
    elif line := step.attributes.get(f"{role}_line"):
        multiplier, shift = line
        layer.line(f"{each} {{")
        product = f"x{source}[{direction * hidden} + j] * (int64_t){multiplier}"
        layer.line(f"    int64_t q = ({product} + ((int64_t)1 << {shift - 1})) >> {shift};")
        layer.line(f"    {target}[j] = (int16_t)(q < -32768 ? -32768 : q > 32767 ? 32767 : q);")
        layer.line("}")
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
    wide = is_wide(layer.program, step)
    kind, size = ("int16_t", 2) if wide else ("int8_t", 1)
    layer.need("copy", "linear", "recurrent", *(["tflite"] if layer.program.requantize == "tflite" else []))
    layer.need(*(["int16", "linear16"] if wide else []))
    places = sections(layer.program, step)
    time, inputs = layer.tensor(step.inputs[0]).shape
    hidden, count, length = a["hidden"], len(a["directions"]), a["length"]
    layer.line("int32_t *gates = (int32_t *)(void *)scratch;")
    if places["carried"][1]:
        layer.line(f"int16_t *carried = (int16_t *)(void *)(scratch + {places['carried'][0]});")
    for name in ("h", "kept"):
        if places[name][1]:
            cast = "(int16_t *)(void *)(scratch + {})" if wide else "scratch + {}"
            layer.line(f"{kind} *{name} = {cast.format(places[name][0])};")
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
        layer.line(f"    const {kind} *x = x0 + ({f'{length - 1} - s' if reverse else 's'}) * {inputs};")
        if places["x"][1]:
            at = f"scratch + {places['x'][0]}"
            layer.line(f"    {copied(kind, at, 'x', size * inputs)}")
            layer.line(f"    x = {f'(const int16_t *)(void *)({at})' if wide else at};")
        for call in calls[d]:
            layer.line(f"    {call}")
        if written[0]:
            row = f"({f'{length - 1} - s' if reverse else 's'}) * {count * hidden} + {d * hidden}"
            layer.line(f"    {copied(kind, f'y + {row}', 'h', size * hidden)}")
        layer.line("}")
        finish_lines(layer, d, written)


def copied(kind: str, target: str, source: str, size: int) -> str:
    """A call that copies `size` bytes."""
    if kind == "int8_t":
        return f"trine_copy({target}, {source}, {size});"
    return f"trine_copy((int8_t *)(void *)({target}), (const int8_t *)(const void *){source}, {size});"


def finish_lines(layer: LayerWriter, direction: int, written: Sequence[str]) -> None:
    """Hand out the last states."""
    from trine.edge.recurrent import UNIT_BITS, state_requantizer

    step, hidden = layer.step, layer.step.attributes["hidden"]
    wide = is_wide(layer.program, step)
    if written[1]:
        kind, size = ("int16_t", 2 * hidden) if wide else ("int8_t", hidden)
        layer.line(copied(kind, f"{written[1]} + {direction * hidden}", "h", size))
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
                   f"{KEPT[wide].format(f'carried[j] * 32768, &{channel}')};")  # fmt: skip


def gates_64(step: Step) -> bool:
    """Whether sums of int16 inputs or states may leave 32 bits."""
    c = step.constants
    return any(
        int(c[f"{role}_left"][0]) < 0 or wide_sum_bound(weight, bias.astype(np.int64)) >= 2**31
        for role in ("w", "r")
        for weight, bias in zip(c[role], c[f"{role}_bias"], strict=True)
    )


EVERY = slice(None)


def zero_points(layer: LayerWriter) -> tuple[int, int]:
    """Of the inputs and of the state."""
    return layer.tensor(layer.step.inputs[0]).zero_point, layer.step.requantizer.zero_point


def lstm_layer(layer: LayerWriter, step: Step) -> None:
    calls = []
    project = "trine_project16" if is_wide(layer.program, step) else "trine_project"
    (zero_x, zero_h), coupled = zero_points(layer), step.attributes["coupled"]
    for d in range(len(step.attributes["directions"])):
        w = rows_text(layer, "w", d, zero_x, EVERY, f"w{d}")
        r = rows_text(layer, "r", d, zero_h, EVERY, f"r{d}")
        cell = recurrent_text(layer, d, coupled)
        calls.append([
            f"{project}(x, &{w}, gates, 0);", f"{project}(h, &{r}, gates, -1);",
            f"trine_lstm_step(&{cell}, gates, carried, h);",
        ])  # fmt: skip
    over_time(layer, calls)


def gru_layer(layer: LayerWriter, step: Step) -> None:
    calls = []
    project = "trine_project16" if is_wide(layer.program, step) else "trine_project"
    hidden, late = step.attributes["hidden"], step.attributes["linear_before_reset"]
    zero_x, zero_h = zero_points(layer)
    for d in range(len(step.attributes["directions"])):
        w = rows_text(layer, "w", d, zero_x, EVERY, f"w{d}")
        r = rows_text(layer, "r", d, zero_h, slice(0, 2 * hidden), f"r{d}")
        n = rows_text(layer, "r", d, zero_h, slice(2 * hidden, None), f"n{d}")
        cell = recurrent_text(layer, d, late)
        calls.append([
            f"{project}(x, &{w}, gates, 0);", f"{project}(h, &{r}, gates, -1);",
            f"trine_gru_reset(&{cell}, gates, carried, {'0' if late else 'kept'});",
            f"{project}({'h' if late else 'kept'}, &{n}, gates + {3 * hidden}, 0);",
            f"trine_gru_step(&{cell}, gates, carried, h);",
        ])  # fmt: skip
    over_time(layer, calls)


def rnn_layer(layer: LayerWriter, step: Step) -> None:
    calls = []
    project = "trine_project16" if is_wide(layer.program, step) else "trine_project"
    zero_x, zero_h = zero_points(layer)
    for d in range(len(step.attributes["directions"])):
        w = rows_text(layer, "w", d, zero_x, EVERY, f"w{d}")
        r = rows_text(layer, "r", d, zero_h, EVERY, f"r{d}")
        cell = recurrent_text(layer, d, 0)
        calls.append([
            f"{project}(x, &{w}, gates, 0);", f"{project}(h, &{r}, gates, -1);",
            f"trine_rnn_step(&{cell}, gates, h);",
        ])  # fmt: skip
    over_time(layer, calls)
