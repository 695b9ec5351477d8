"""The C of a trees step: columns, rows, sums, label, scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trine.compilers.ml_models import AGGREGATES, TRANSFORMS
from trine.edge.program import Step
from trine.edge.trees.branches import Branches
from trine.edge.trees.choice import FORMS, PUTS
from trine.edge.trees.fixed import forest_of
from trine.edge.trees.tables import Tables, small, unsigned

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter


def identifier(name: str) -> str:
    """A name with nothing but letters, digits and underscores."""
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in name)


class Printer:
    """Prints one trees layer. Rows add to sums in one of three ways: each tree to one sum, all to all, or by lists."""

    def __init__(self, layer: LayerWriter, step: Step) -> None:
        self.layer, self.p, self.forest = layer, step.attributes, forest_of(step.constants)
        self.puts = [PUTS[at] for at in step.attributes["puts"]]
        self.transform = TRANSFORMS[self.p["transform"]]
        self.outputs, self.trees = len(self.forest.base), len(self.forest.roots)
        self.single = self.forest.tree_outputs()
        dense = np.tile(np.arange(self.outputs), self.forest.row_count)
        self.dense = np.array_equal(self.forest.row_output, dense)

    def add(self, sums: str, values: str, row: str, tree: int | str, least: str = "") -> list[str]:
        """Statements that add a row to sums; least: "<" or ">" to keep the smaller or greater instead."""
        layer, k = self.layer, self.outputs
        if self.single is not None and not least:
            if len(set(self.single)) == 1:
                at: Any = self.single[0]
            elif isinstance(tree, int):
                at = self.single[tree]
            else:
                at = f"{layer.array('outputs', small(self.single))}[{tree}]"
            return [f"{sums}[{at}] += {values}[{row}];"]
        kind = "float" if sums == "close" else "int32_t"
        if self.dense:
            to = f"row[k] {least} {sums}[k] ? row[k] : {sums}[k]" if least else f"{sums}[k] + row[k]"
            head = f"const {kind} *row = {values} + {f'{k}u * ' if k > 1 else ''}({row});"
            return [
                "{",
                f"    {head}",
                f"    for (int32_t k = 0; k < {k}; k++)",
                f"        {sums}[k] = {to};",
                "}",
            ]
        starts = layer.array("row_start", small(self.forest.row_start))
        outputs = layer.array("row_output", small(self.forest.row_output))
        return [
            "{", f"    uint32_t at = {row};", f"    for (uint32_t i = {starts}[at]; i < {starts}[at + 1]; i++)",
            f"        {sums}[{outputs}[i]] += {values}[i];", "}",
        ]  # fmt: skip

    def keep(self) -> bool:
        """Whether the rows are needed once more, to decide a class in float32."""
        return "label" in self.puts

    def sums(self, rows: Sequence[str]) -> None:
        """Statements that make sums[]; rows: the expression of every tree's row, or the one of tree t."""
        layer, aggregate = self.layer, AGGREGATES[self.p["aggregate"]]
        least = {"MIN": "<", "MAX": ">"}.get(aggregate, "")
        base = self.forest.base.tolist()
        start = {"MIN": ["INT32_MAX"], "MAX": ["-INT32_MAX - 1"]}.get(aggregate, [])
        layer.line(f"int32_t sums[{self.outputs}] = {{{', '.join(start * self.outputs or map(str, base))}}};")
        values = layer.array("leaves", self.forest.row_value)
        if self.keep():
            layer.line(f"{unsigned(self.forest.row_count - 1)} reached[{self.trees}];")
        if len(rows) == self.trees and self.trees > 1:
            for t, row in enumerate(rows):
                row = (
                    f"(reached[{t}] = ({unsigned(self.forest.row_count - 1)})({row}))" if self.keep() else row
                )
                self.lines(self.add("sums", values, row, t, least))
        else:
            row = rows[0]
            row = f"(reached[t] = ({unsigned(self.forest.row_count - 1)})({row}))" if self.keep() else row
            layer.line(f"for (uint32_t t = 0; t < {self.trees}u; t++)")
            self.lines(self.add("sums", values, row, "t", least), "    ")
        if least:
            self.lines([f"sums[{i}] += {value};" for i, value in enumerate(base) if value])

    def lines(self, statements: Sequence[str], pad: str = "") -> None:
        for statement in statements:
            self.layer.line(pad + statement)

    def close(self) -> None:
        """Statements that add the leaves again in float32, in the order of the trees, into close[]."""
        values = self.layer.array("float_leaves", self.forest.row_float)
        self.layer.line(f"    float close[{self.outputs}] = {{{', '.join(['0.0f'] * self.outputs)}}};")
        self.layer.line(f"    for (uint32_t t = 0; t < {self.trees}u; t++)")
        self.lines(self.add("close", values, "reached[t]", "t"), "        ")
        self.lines(
            [f"    close[{i}] += {float(v).hex()}f;" for i, v in enumerate(self.forest.float_base) if v]
        )

    def label(self, y: str) -> None:
        """Statements that put the label out."""
        layer, p, classes = self.layer, self.p, self.p["classes"]
        if len(classes) == 2:
            which = 0 if p["binary"] else 1
            threshold = f" - {p['threshold']}" if p["threshold"] else ""
            layer.line(f"int32_t gap = sums[{which}]{threshold}, best = gap > 0;")
            layer.line(f"if (gap <= {p['band']} && gap >= -{p['band']}) {{")
            self.close()
            layer.line(f"    best = close[{which}] > {'0.5f' if p['half'] else '0.0f'};")
        else:
            self.lines([
                "int32_t best = 0, second = -INT32_MAX - 1;", f"for (int32_t k = 1; k < {len(classes)}; k++) {{",
                "    if (sums[k] > sums[best]) {", "        second = sums[best];", "        best = k;",
                "    } else if (sums[k] > second) {", "        second = sums[k];", "    }", "}",
                f"if ((uint32_t)sums[best] - (uint32_t)second <= {p['band']}u) {{",
            ])  # fmt: skip
            self.close()
            layer.line("    best = 0;")
            layer.line(f"    for (int32_t k = 1; k < {len(classes)}; k++)")
            layer.line("        best = close[k] > close[best] ? k : best;")
        layer.line("}")
        plain = tuple(classes) == tuple(range(len(classes)))
        kind = np.int32 if max(map(abs, classes)) < 2**31 else np.int64
        layer.line(
            f"*{y} = {'best' if plain else layer.array('labels', np.array(classes, kind)) + '[best]'};"
        )

    def scores(self, y: str) -> None:
        """Statements that put the scores out."""
        layer, p, k = self.layer, self.p, self.outputs
        unit, share, shift = f"{float(2.0 ** -p['bits']).hex()}f", "0x1p-30f", p["bits"] + 4
        if p["binary"] and self.transform == "LOGISTIC":
            layer.line(f"uint32_t p = trine_sigmoid(sums[0], {shift});")
            layer.line(f"{y}[0] = (float)(int32_t)(0x40000000u - p) * {share};")
            layer.line(f"{y}[1] = (float)(int32_t)p * {share};")
        elif p["binary"]:
            first = f"{1 << p['bits']} - sums[0]" if p["half"] else "-sums[0]"
            layer.line(f"{y}[0] = (float)({first}) * {unit};")
            layer.line(f"{y}[1] = (float)sums[0] * {unit};")
        elif self.transform in ("SOFTMAX", "SOFTMAX_ZERO"):
            self.softmax(y, shift, share)
        else:
            value = f"(float)sums[k] * {unit}"
            if self.transform == "LOGISTIC":
                value = f"(float)(int32_t)trine_sigmoid(sums[k], {shift}) * {share}"
            layer.line(f"for (int32_t k = 0; k < {k}; k++)")
            layer.line(f"    {y}[k] = {value};")

    def softmax(self, y: str, shift: int, share: str) -> None:
        k, zero = self.outputs, self.p["zero"]
        room = max(k - 1, 0).bit_length()
        self.lines([
            f"uint32_t e[{k}], whole = 0;", "int32_t greatest = sums[0];", f"for (int32_t k = 1; k < {k}; k++)",
            "    greatest = sums[k] > greatest ? sums[k] : greatest;", f"for (int32_t k = 0; k < {k}; k++) {{",
            f"    e[k] = trine_decay((uint32_t)greatest - (uint32_t)sums[k], {shift}) >> {room};",
        ])  # fmt: skip
        if self.transform == "SOFTMAX_ZERO":
            self.layer.line(f"    e[k] = sums[k] <= {zero} && sums[k] >= -{zero} ? 0 : e[k];")
        self.lines([
            "    whole += e[k];", "}", f"for (int32_t k = 0; k < {k}; k++)",
            f"    {y}[k] = (float)(int32_t)trine_share(e[k], whole) * {share};",
        ])  # fmt: skip


def note_names(layer: LayerWriter, step: Step) -> None:
    """Labels that were text, as a comment: whatever is no plain character is left out."""
    if "names" in step.constants:
        names = bytes(step.constants["names"]).decode("utf-8", "replace").split("\0")
        plain = [
            "".join(c for c in name if c.isascii() and (c.isalnum() or c in " _.,:+-()")) for name in names
        ]
        listed = ", ".join(f"{i} {name}" for i, name in enumerate(plain))
        layer.source.constants.append(f"/* Labels of {identifier(step.name)}: {listed}. */\n")


def trees_layer(layer: LayerWriter, step: Step) -> None:
    """Append the statements of a trees step."""
    layer.need("trees")
    printer = Printer(layer, step)
    form = FORMS[step.attributes["form"]]
    note_names(layer, step)
    if form == "branches":
        branches = Branches(layer, printer.forest)
        branches.columns()
        printer.sums(branches.trees())
    else:
        tables = Tables(layer, printer.forest, form == "ranks")
        tables.columns()
        printer.sums([tables.row()])
    for role, pointer in zip(printer.puts, ("y", "y1"), strict=False):
        if role == "label":
            printer.label(pointer)
        else:
            printer.scores(pointer)
