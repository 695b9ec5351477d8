"""C of what works along axes: reductions, softmax, running sums, arguments of extremes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from trine.edge.c.lines import best_of_line, close_lines, open_lines, top_of_line
from trine.edge.c.literals import c_literal
from trine.edge.c.loops import open_loops, split_axes
from trine.edge.c.writer import C_TYPES
from trine.edge.float32 import Write
from trine.edge.program import Step

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter


class Fold(NamedTuple):
    """A reduction: where it starts, how it takes one value v, what it makes of the sum in the end."""

    start: str
    take: str
    finish: str = "sum"


# {count} is the number of values; integers are summed as unsigned ones, which wrap.
FOLDS: Mapping[str, Fold] = {
    "GlobalAveragePool": Fold("0", "sum += v", "sum / {count}"),
    "ReduceL1": Fold("0", "sum += v < 0 ? -v : v"),
    "ReduceL2": Fold("0", "sum += v * v", "trine_sqrtf(sum)"),
    "ReduceLogSum": Fold("0", "sum += v", "trine_logf(sum)"),
    "ReduceMax": Fold("{least}", "sum = v > sum{unordered} ? v : sum"),
    "ReduceMean": Fold("0", "sum += v", "sum / {count}"),
    "ReduceMin": Fold("{most}", "sum = v < sum{unordered} ? v : sum"),
    "ReduceProd": Fold("1", "sum *= v"),
    "ReduceSum": Fold("0", "sum += v"),
    "ReduceSumSquare": Fold("0", "sum += v * v"),
}
KEEPS_TYPE = ("ReduceMax", "ReduceMin")


def ends(dtype: str) -> tuple[str, str]:
    """The least and greatest value of a type in C."""
    kind = np.dtype(dtype)
    if kind.kind == "b":
        return "0", "1"
    low, high = (-np.inf, np.inf) if kind.kind == "f" else (np.iinfo(kind).min, np.iinfo(kind).max)
    return c_literal(kind.type(low)), c_literal(kind.type(high))


def sum_kind(dtype: str, op: str) -> str:
    """C type of the running sum; of integers the unsigned 64-bit type, cut to the result's in the end."""
    return C_TYPES[dtype] if dtype.startswith("float") or op in KEEPS_TYPE else "uint64_t"


def reduced_axes(layer: LayerWriter, step: Step) -> tuple[int, ...]:
    """The axes that go."""
    if step.attributes["op"] == "GlobalAveragePool":
        return tuple(range(1, len(layer.tensor(step.inputs[0]).shape)))
    return tuple(step.attributes["of"]["axes"])


def reduce_layer(layer: LayerWriter, step: Step) -> None:
    op, x = step.attributes["op"], layer.tensor(step.inputs[0])
    axes = reduced_axes(layer, step)
    kept, gone = split_axes(x.shape, axes)
    least, most = ends(x.dtype)
    words = {
        "count": float(np.prod([x.shape[axis] for axis in axes])), "least": least, "most": most,
        "unordered": " || v != v" if x.dtype.startswith("float") else "",
    }  # fmt: skip
    fold = Fold(*(text.format(**words) for text in FOLDS[op]))
    if "trine_" in fold.finish:
        layer.need("float_math")
    (at,), indent = located(layer, kept, "i")
    layer.line(f"{indent}{{")
    layer.line(f"{indent}    {sum_kind(x.dtype, op)} sum = {fold.start};")
    (within,), inner = located(layer, gone, "j", indent + "    ")
    layer.line(f"{inner}{{")
    layer.line(f"{inner}    {sum_value(x.dtype, op)} v = x0[{at} + {within}];")
    layer.line(f"{inner}    {fold.take};")
    layer.line(f"{inner}}}")
    layer.line(f"{indent}    *y++ = ({layer.kind(step.output)})({fold.finish});")
    layer.line(f"{indent}}}")


def sum_value(dtype: str, op: str) -> str:
    """C type in which one value is taken: signed where its sign is asked for."""
    if dtype.startswith("float") or op in KEEPS_TYPE:
        return C_TYPES[dtype]
    return "int64_t" if op == "ReduceL1" and not dtype.startswith("u") else "uint64_t"


def located(
    layer: LayerWriter, axes: list[tuple[int, tuple[int, ...]]], name: str, indent: str = ""
) -> tuple[list[str], str]:
    """Loops over the axes of one operand; where it stands is 0 without any."""
    places, indent = open_loops(layer, axes, name, indent)
    return places or ["0"], indent


def log_sum_exp_layer(layer: LayerWriter, step: Step) -> None:
    """The greatest value first, so that no exponential overflows."""
    layer.need("float_math")
    kept, gone = split_axes(layer.tensor(step.inputs[0]).shape, step.attributes["of"]["axes"])
    (at,), indent = located(layer, kept, "i")
    layer.line(f"{indent}{{")
    layer.line(f"{indent}    float most = -TRINE_INFINITY, sum = 0.0f;")
    (within,), inner = located(layer, gone, "j", indent + "    ")
    layer.line(f"{inner}most = x0[{at} + {within}] > most ? x0[{at} + {within}] : most;")
    layer.line(f"{indent}    most = most - most == 0.0f ? most : 0.0f;")
    (within,), inner = located(layer, gone, "j", indent + "    ")
    layer.line(f"{inner}sum += trine_expf(x0[{at} + {within}] - most);")
    layer.line(f"{indent}    *y++ = trine_logf(sum) + most;")
    layer.line(f"{indent}}}")


def softmax_layer(layer: LayerWriter, step: Step) -> None:
    """Softmax or LogSoftmax."""
    layer.need("float_math")
    length, apart = open_lines(layer, step, step.attributes["of"]["axis"])
    loop, value = f"        for (int32_t i = 0; i < {length}; i++)", f"at + i * {apart}"
    layer.line("        float most = -TRINE_INFINITY, sum = 0.0f;")
    layer.line(loop)
    layer.line(f"            most = x0[{value}] > most ? x0[{value}] : most;")
    if step.attributes["op"] == "Softmax":
        layer.line(f"{loop} {{")
        layer.line(f"            y[{value}] = trine_expf(x0[{value}] - most);")
        layer.line(f"            sum += y[{value}];")
        layer.line("        }")
        layer.line(loop)
        layer.line(f"            y[{value}] /= sum;")
    else:
        layer.line(loop)
        layer.line(f"            sum += trine_expf(x0[{value}] - most);")
        layer.line("        sum = trine_logf(sum);")
        layer.line(loop)
        layer.line(f"            y[{value}] = x0[{value}] - most - sum;")
    close_lines(layer)


def argument_layer(layer: LayerWriter, step: Step) -> None:
    of = step.attributes["of"]
    best_of_line(layer, step, of["axis"], step.attributes["op"] == "ArgMin", bool(of["select_last_index"]))


def running_sum_layer(layer: LayerWriter, step: Step) -> None:
    """CumSum; integers wrap."""
    of, kind = step.attributes["of"], layer.kind(step.output)
    total = sum_kind(layer.tensor(step.output).dtype, "CumSum")
    length, apart = open_lines(layer, step, of["axis"])
    layer.line(f"        {total} sum = 0;")
    layer.line(f"        for (int32_t i = 0; i < {length}; i++) {{")
    index = f"{length - 1} - i" if of["reverse"] else "i"
    layer.line(f"            int32_t place = at + ({index}) * {apart};")
    before = [f"            {kind} v = x0[place];"]
    add, store = f"            sum += ({total})v;", f"            y[place] = ({kind})sum;"
    for text in [*before, *([store, add] if of["exclusive"] else [add, store])]:
        layer.line(text)
    layer.line("        }")
    close_lines(layer)


def top_layer(layer: LayerWriter, step: Step) -> None:
    of = step.attributes["of"]
    top_of_line(layer, step, of["axis"], of["k"], of["largest"])


FLOAT32: Mapping[str, Write] = {
    **dict.fromkeys(FOLDS, reduce_layer),
    **dict.fromkeys(("ArgMax", "ArgMin"), argument_layer),
    **dict.fromkeys(("LogSoftmax", "Softmax"), softmax_layer),
    "CumSum": running_sum_layer,
    "ReduceLogSumExp": log_sum_exp_layer,
    "TopK": top_layer,
}
IN_PLACE = frozenset({"CumSum", "LogSoftmax", "Softmax"})
