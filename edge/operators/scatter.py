"""ScatterElements and ScatterND in integers: codes are written where the indices say.

Data and updates go to the output's scale through a table each, where they have another. Reductions by the greatest or
least work on codes. Added updates are summed exactly for each place and rounded once with its datum: (d' md + sum mu +
half) >> shift in 64 bits. Products are m 2^e (see `edge.products`), begun with the datum. onnxruntime adds and
multiplies in float32, in the same order: one step apart at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from trine.compilers.graph import Array, Node
from trine.compilers.onnx_writer import spelled
from trine.compilers.operators import operators
from trine.edge.c.indexed import Place, scatter_elements_lines, scatter_nd_lines
from trine.edge.c.schedule import Schedule
from trine.edge.c.writer import LayerWriter
from trine.edge.lower import Lowering
from trine.edge.operators import Kernel
from trine.edge.operators.table import table_of
from trine.edge.products import fixed, rounded, times
from trine.edge.program import QMAX, QMIN, IntegerProgram, QuantizedTensor, Step
from trine.edge.qdq import OPSET, QdqWriter
from trine.edge.weights import LARGEST_SUM

WORDS = 62  # bits of the sum that is rounded


def lower(lowering: Lowering, node: Node) -> Step:
    if any(node.attributes["constant"]):
        raise ValueError(f"{node.name}: an input is a constant; int8 takes computed ones only")
    data, updates = lowering.tensors[node.inputs[0]], lowering.tensors[node.inputs[2]]
    y = (lowering.add_ranged if data.quantized else lowering.add_plain)(node.outputs[0])
    attributes: dict[str, Any] = {"op": node.op, "of": dict(node.attributes)}
    tables, how = dict[str, Array](), node.attributes["reduction"]
    if how == "add":
        attributes |= sum_rule(node, data, updates, y, most_updates(lowering, node))
    elif how == "mul":
        ends = fixed(float(data.scale) / float(y.scale)), fixed(float(updates.scale))
        attributes |= dict(zip(("md", "ed", "mu", "eu"), (*ends[0], *ends[1]), strict=True))
    else:
        tables = {
            f"table{i}": table_of(lambda v: v, x, y)
            for i, x in ((0, data), (2, updates))
            if (x.scale, x.zero_point) != (y.scale, y.zero_point)
        }
    return Step("scatter", node.name, tuple(node.inputs[:3]), y.name, tables, attributes)


def most_updates(lowering: Lowering, node: Node) -> int:
    """How many updates one place may have."""
    indices = lowering.graph.shape(node.inputs[1])
    return indices[node.attributes["axis"]] if node.op == "ScatterElements" else int(np.prod(indices[:-1]))


def sum_rule(
    node: Node, data: QuantizedTensor, updates: QuantizedTensor, y: QuantizedTensor, most: int
) -> dict[str, int]:
    """Multipliers and shift of a datum and of a sum of up to `most` updates."""
    if most * 255 > LARGEST_SUM:
        raise ValueError(f"{node.name}: sums of {most} updates could leave int32")
    ratios = [float(t.scale) / float(y.scale) for t in (data, updates)]
    reach = 255 * ratios[0] + 255 * most * ratios[1]
    shift = min(int(WORDS - 1 - np.ceil(np.log2(reach))), int(30 - np.ceil(np.log2(max(ratios)))))
    md, mu = (round(ratio * 2.0**shift) for ratio in ratios)
    return {"md": md, "mu": mu, "shift": shift}


def node_of(step: Step) -> Node:
    """The operator that a step stands for."""
    return Node(step.attributes["op"], step.name, step.inputs, (step.output,), step.attributes["of"])


def run(program: IntegerProgram, step: Step, inputs: Sequence[Array]) -> Array:
    how = step.attributes["of"]["reduction"]
    if how in ("add", "mul"):
        return (run_sums if how == "add" else run_products)(program, step, inputs)
    values = list(inputs)
    for i in (0, 2):
        if f"table{i}" in step.constants:
            values[i] = step.constants[f"table{i}"][values[i].astype(np.int16) - QMIN]
    return operators()[step.attributes["op"]].run(node_of(step), values)[0]


def run_sums(program: IntegerProgram, step: Step, inputs: Sequence[Array]) -> Array:
    """With reduction "add"."""
    p, (x, _, u) = step.attributes, (program.tensors[name] for name in step.inputs)
    updates = inputs[2].astype(np.int64) - u.zero_point
    nothing = np.zeros(inputs[0].shape, np.int64)
    (sums,) = operators()[p["op"]].run(node_of(step), [nothing, inputs[1], updates])
    real = (inputs[0].astype(np.int64) - x.zero_point) * p["md"] + sums * p["mu"]
    q = ((real + (1 << (p["shift"] - 1))) >> p["shift"]) + program.tensors[step.output].zero_point
    return np.asarray(np.clip(q, QMIN, QMAX), np.int8)


def run_products(program: IntegerProgram, step: Step, inputs: Sequence[Array]) -> Array:
    """With reduction "mul": the updates of all examples, each in its turn."""
    p, (x, _, u) = step.attributes, (program.tensors[name] for name in step.inputs)
    count = len(inputs[0])
    data = inputs[0].reshape(count, -1).astype(np.int64) - x.zero_point
    m, e = times(data, np.zeros_like(data), p["md"], p["ed"])
    factors = inputs[2].reshape(count, -1).astype(np.int64) - u.zero_point
    places, rows = places_of(step, inputs), np.arange(count)
    for k in range(factors.shape[1]):
        at = (rows, places[:, k])
        one = times(m[at], e[at], factors[:, k])
        m[at], e[at] = times(*one, p["mu"], p["eu"])
    q = rounded(m, e) + program.tensors[step.output].zero_point
    return np.clip(q, QMIN, QMAX).astype(np.int8).reshape(inputs[0].shape)


def places_of(step: Step, inputs: Sequence[Array]) -> Array:
    """Where in its example each update goes, [n, updates]."""
    flat = np.arange(inputs[0][0].size).reshape(1, *inputs[0].shape[1:])
    numbers = np.broadcast_to(flat, inputs[0].shape)
    op, of = step.attributes["op"], step.attributes["of"]
    names = {"ScatterElements": "GatherElements", "ScatterND": "GatherND"}
    attributes = {"constant": (False, False), "axis": of.get("axis"), "batch_dims": 0}
    node = Node(names[op], step.name, ("x", "i"), ("y",), attributes)
    return operators()[names[op]].run(node, [numbers, inputs[1]])[0].reshape(len(inputs[0]), -1)


def qdq(writer: QdqWriter, step: Step) -> None:
    real = f"{step.output}_real"
    part = replace(step, output=real, constants={})
    writer.spell(part, spelled(replace(node_of(step), outputs=(real,)), OPSET))
    writer.output(step, writer.value(real))


def write_c(layer: LayerWriter, step: Step) -> None:
    y, of = layer.tensor(step.output), step.attributes["of"]
    if of["reduction"] in ("add", "mul"):
        write_computed(layer, step)
        return
    if "table0" in step.constants:
        layer.need("elementwise")
        table = layer.array("table0", step.constants["table0"])
        layer.line(f"trine_table(x0, y, {table}, {y.size});")
    else:
        layer.need("copy")
        layer.line(f"trine_copy((int8_t *)y, (const int8_t *)x0, {y.bytes});")
    update = "x2[j]"
    if "table2" in step.constants:
        update = f"{layer.array('table2', step.constants['table2'])}[x2[j] + 128]"
    scatter_lines(layer, step, update, of["reduction"])


def scatter_lines(layer: LayerWriter, step: Step, update: str, write: str) -> None:
    """The loops over the indices."""
    y, of = layer.tensor(step.output), step.attributes["of"]
    indices = Place("x1", layer.tensor(step.inputs[1]).shape)
    if step.attributes["op"] == "ScatterElements":
        scatter_elements_lines(layer, y.shape, indices, update, of["axis"], write)
    else:
        scatter_nd_lines(layer, y.shape, indices, update, write)


def write_computed(layer: LayerWriter, step: Step) -> None:
    """Sums or products in the scratch memory, then a rounding for each place."""
    layer.need("sums", "products")
    p, y = step.attributes, layer.tensor(step.output)
    x, u = layer.tensor(step.inputs[0]), layer.tensor(step.inputs[2])
    datum, update = f"(x0[at] - ({x.zero_point}))", f"x2[j] - ({u.zero_point})"
    each = f"for (int32_t at = 0; at < {y.size}; at++)"
    if p["of"]["reduction"] == "add":
        layer.line("int32_t *sums = (int32_t *)(void *)scratch;")
        layer.line(each)
        layer.line("    sums[at] = 0;")
        scatter_lines(layer, step, update, "sums[at] += {v};")
        real = (
            f"(int64_t){datum} * {p['md']} + (int64_t)sums[at] * {p['mu']} + INT64_C({1 << (p['shift'] - 1)})"
        )
        layer.line(each)
        layer.line(f"    y[at] = trine_clamp_wide((({real}) >> {p['shift']}) + ({y.zero_point}));")
        return
    layer.line("trine_real *products = (trine_real *)(void *)scratch;")
    layer.line(f"const trine_real unit = {{{p['md']}, {p['ed']}}};")
    layer.line(each)
    layer.line(f"    products[at] = trine_times(unit, {datum}, 0);")
    scale = f"{p['mu']}, {p['eu']}"
    scatter_lines(
        layer, step, update, f"products[at] = trine_times(trine_times(products[at], {{v}}, 0), {scale});"
    )
    layer.line(each)
    layer.line(f"    y[at] = trine_real_code(products[at], {y.zero_point});")


def scratch_of(program: IntegerProgram, step: Step, schedule: Schedule) -> int:
    """A sum (4 bytes) or a product (8 bytes) for every place."""
    size = {"add": 4, "mul": 8}.get(step.attributes["of"]["reduction"], 0)
    return size * program.tensors[step.output].size


KERNEL = Kernel(
    "scatter",
    ("ScatterElements", "ScatterND"),
    lower,
    run,
    qdq,
    write_c,
    layout="row",
    scratch=scratch_of,
    apart=1,
)
