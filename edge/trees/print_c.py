"""The C of a trees step: columns, sums, label, scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from trine.compilers.ml_models import TRANSFORMS
from trine.edge.program import Step
from trine.edge.trees.branches import Branches
from trine.edge.trees.choice import FORMS, PUTS
from trine.edge.trees.sums import Sums
from trine.edge.trees.tables import Tables

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter


def identifier(name: str) -> str:
    """A name with nothing but letters, digits and underscores."""
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in name)


class Printer:
    """Prints label and scores of sums[]."""

    def __init__(self, layer: LayerWriter, step: Step, sums: Sums) -> None:
        self.layer, self.p, self.sums = layer, step.attributes, sums
        self.transform = TRANSFORMS[self.p["transform"]]

    def lines(self, statements: Sequence[str]) -> None:
        for statement in statements:
            self.layer.line(statement)

    def label(self, y: str) -> None:
        """Statements that put the label out."""
        layer, classes = self.layer, self.p["classes"]
        if self.sums.floats:
            self.by_floats("sums", "int32_t ", "")
        elif len(classes) == 2:
            threshold = f" - {self.p['threshold']}" if self.p["threshold"] else ""
            layer.line(f"int32_t gap = sums[{1 - self.p['binary']}]{threshold}, best = gap > 0;")
            layer.line(f"if (gap <= {self.p['band']} && gap >= -{self.p['band']}) {{")
        else:
            self.lines([
                "int32_t best = 0, second = -INT32_MAX - 1;", f"for (int32_t k = 1; k < {len(classes)}; k++) {{",
                "    if (sums[k] > sums[best]) {", "        second = sums[best];", "        best = k;",
                "    } else if (sums[k] > second) {", "        second = sums[k];", "    }", "}",
                f"if ((uint32_t)sums[best] - (uint32_t)second <= {self.p['band']}u) {{",
            ])  # fmt: skip
        if not self.sums.floats:
            self.sums.again("close")
            self.by_floats("close", "", "    ")
            layer.line("}")
        plain = tuple(classes) == tuple(range(len(classes)))
        kind = np.int32 if max(map(abs, classes)) < 2**31 else np.int64
        layer.line(
            f"*{y} = {'best' if plain else layer.array('labels', np.array(classes, kind)) + '[best]'};"
        )

    def by_floats(self, sums: str, declared: str, pad: str) -> None:
        """Statements that decide the class by float32 sums."""
        classes = len(self.p["classes"])
        if classes == 2:
            half = "0.5f" if self.p["half"] else "0.0f"
            self.layer.line(f"{pad}{declared}best = {sums}[{1 - self.p['binary']}] > {half};")
            return
        self.layer.line(f"{pad}{declared}best = 0;")
        self.layer.line(f"{pad}for (int32_t k = 1; k < {classes}; k++)")
        self.layer.line(f"{pad}    best = {sums}[k] > {sums}[best] ? k : best;")

    def scores(self, y: str) -> None:
        """Statements that put the scores out."""
        layer, p, k = self.layer, self.p, self.sums.outputs
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
        k, zero = self.sums.outputs, self.p["zero"]
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
    sums = Sums(layer, step)
    printer = Printer(layer, step, sums)
    form = FORMS[step.attributes["form"]]
    note_names(layer, step)
    if form == "branches":
        branches = Branches(layer, sums.forest)
        branches.columns()
        sums.branched(branches)
    else:
        tables = Tables(layer, sums.forest, form == "ranks")
        tables.columns()
        sums.walked(tables.row())
    for put, pointer in zip(step.attributes["puts"], ("y", "y1"), strict=False):
        if PUTS[put] == "label":
            printer.label(pointer)
        else:
            printer.scores(pointer)
