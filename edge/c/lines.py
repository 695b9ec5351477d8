"""Loops over the lines of a tensor along one axis, in ONNX order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trine.edge.c.loops import around
from trine.edge.program import Step

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter


def open_lines(layer: LayerWriter, step: Step, axis: int) -> tuple[int, int]:
    """Open the loops over the first input's lines, `at` the index of a line's first value; returns their length and how
    far apart values are. `close_lines` writes the braces."""
    rows, length, apart = around(layer.tensor(step.inputs[0]).shape, axis)
    layer.line(f"for (int32_t row = 0; row < {rows}; row++)")
    layer.line(f"    for (int32_t column = 0; column < {apart}; column++) {{")
    layer.line(f"        int32_t at = row * {length * apart} + column;")
    return length, apart


def close_lines(layer: LayerWriter) -> None:
    layer.line("    }")


def best_of_line(layer: LayerWriter, step: Step, axis: int, least: bool, last: bool) -> None:
    """The place of the greatest or least value of each line, the first or the last of equal ones."""
    sign = ("<" if least else ">") + ("=" if last else "")
    length, apart = open_lines(layer, step, axis)
    layer.line("        int32_t best = 0;")
    layer.line(f"        for (int32_t i = 1; i < {length}; i++)")
    layer.line(f"            best = x0[at + i * {apart}] {sign} x0[at + best * {apart}] ? i : best;")
    layer.line("        *y++ = best;")
    close_lines(layer)


def top_of_line(layer: LayerWriter, step: Step, axis: int, count: int, largest: int) -> None:
    """The best `count` values of each line in order, the lower place first among equals; their places to y1 if it is
    there. Each is the best of those that come after the one before."""
    better, worse = (">", "<") if largest else ("<", ">")
    length, apart = open_lines(layer, step, axis)
    layer.line("        int32_t last = -1;")
    layer.line(f"        for (int32_t j = 0; j < {count}; j++) {{")
    layer.line(f"            int32_t best = -1, to = row * {count * apart} + j * {apart} + column;")
    layer.line(f"            for (int32_t i = 0; i < {length}; i++) {{")
    value, before, chosen = (f"x0[at + {name} * {apart}]" for name in ("i", "last", "best"))
    layer.line(
        f"                if (last >= 0 && !({value} {worse} {before} || ({value} == {before} && i > last)))"
    )
    layer.line("                    continue;")
    layer.line(f"                if (best < 0 || {value} {better} {chosen})")
    layer.line("                    best = i;")
    layer.line("            }")
    layer.line(f"            y[to] = {chosen};")
    if step.also:
        layer.line("            y1[to] = best;")
    layer.line("            last = best;")
    layer.line("        }")
    close_lines(layer)
