"""C that adds the leaves of a forest.

The label alone, on a core that adds floats: float32, in the order of the trees, which decides the class by itself. Else
int32; for a label the rows are kept, so that a close decision can be made in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from trine.compilers.ml_models import AGGREGATES
from trine.edge.program import Step
from trine.edge.trees.branches import Branches
from trine.edge.trees.choice import PUTS
from trine.edge.trees.fixed import forest_of
from trine.edge.trees.tables import small, unsigned

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter

LEAST = {"MIN": ("<", "INT32_MAX"), "MAX": (">", "-INT32_MAX - 1")}


class Sums:
    """Prints sums[]. A row adds to one sum, to the same one whatever the row, to all, or to those of a list."""

    def __init__(self, layer: LayerWriter, step: Step) -> None:
        self.layer, self.forest = layer, forest_of(step.constants)
        roles = [PUTS[at] for at in step.attributes["puts"]]
        self.floats = roles == ["label"] and layer.source.schedule.floats
        self.kept = "label" in roles and not self.floats
        self.aggregate = AGGREGATES[step.attributes["aggregate"]]
        self.outputs, self.trees = len(self.forest.base), len(self.forest.roots)
        self.single = self.forest.tree_outputs()
        every = np.tile(np.arange(self.outputs), self.forest.row_count)
        self.dense = np.array_equal(self.forest.row_output, every)
        self.alone = int(
            (np.diff(self.forest.row_start) == 1).sum()
        )  # rows that add to one sum; they come first
        self.index = unsigned(self.forest.row_count - 1)
        self.listed: set[str] = set()

    @property
    def kind(self) -> str:
        """C type of the sums."""
        return "float" if self.floats else "int32_t"

    def values(self, floats: bool) -> str:
        """The table of what leaves add."""
        if floats:
            return self.layer.array("float_leaves", self.forest.row_float)
        return self.layer.array("leaves", self.forest.row_value)

    def start(self) -> None:
        """Statements that declare sums[] and reached[]."""
        base = ["0.0f"] * self.outputs if self.floats else [str(v) for v in self.forest.base.tolist()]
        if self.aggregate in LEAST:
            base = [LEAST[self.aggregate][1]] * self.outputs
        self.layer.line(f"{self.kind} sums[{self.outputs}] = {{{', '.join(base)}}};")
        if self.kept:
            self.layer.line(f"{self.index} reached[{self.trees}];")

    def finish(self) -> None:
        """Statements that add the base where it was not there from the start."""
        if self.floats:
            self.lines(self.float_base("sums"))
        elif self.aggregate in LEAST:
            self.lines([f"sums[{i}] += {v};" for i, v in enumerate(self.forest.base.tolist()) if v])

    def float_base(self, sums: str) -> list[str]:
        """Statements that add the base in float32."""
        return [f"{sums}[{i}] += {float(v).hex()}f;" for i, v in enumerate(self.forest.float_base) if v]

    def walked(self, row: str) -> None:
        """Statements that add all trees; row: expression of the row of tree t."""
        self.start()
        self.layer.line(f"for (uint32_t t = 0; t < {self.trees}u; t++)")
        self.lines(self.add("sums", self.keep(row, "t"), "t", self.floats), "    ")
        self.finish()

    def branched(self, branches: Branches) -> None:
        """Statements that add all trees, each a function."""
        by_value = self.single is not None and not self.kept and self.aggregate not in LEAST
        self.start()
        if by_value and self.floats:  # literals: a core loads one as it loads from a table
            calls = branches.trees("float", lambda row: f"{float(self.forest.row_float[row]).hex()}f", "")
        elif by_value:
            self.layer.line(f"const int32_t *leaves = {self.values(False)};")
            calls = branches.trees("int32_t", lambda row: f"leaves[{row}]", "const int32_t *")
        else:
            calls = branches.trees("uint32_t", lambda row: f"{row}u", "")
        for t, (before, call) in enumerate(calls):
            self.lines(before)
            if not by_value:
                self.lines(self.add("sums", self.keep(call, t), t, self.floats))
                continue
            to = f"sums[{self.single[t] if self.single else 0}]"
            opaque = "TRINE_OPAQUE_FLOAT" if self.floats else "TRINE_OPAQUE"
            self.lines(
                [*([] if self.floats else ["TRINE_OPAQUE(leaves);"]), f"{to} += {call};", f"{opaque}({to});"]
            )
        self.finish()

    def again(self, sums: str) -> None:
        """Statements that add the rows kept once more, in float32, in the order of the trees."""
        self.layer.line(f"    float {sums}[{self.outputs}] = {{{', '.join(['0.0f'] * self.outputs)}}};")
        self.layer.line(f"    for (uint32_t t = 0; t < {self.trees}u; t++)")
        self.lines(self.add(sums, "reached[t]", "t", True), "        ")
        self.lines(self.float_base(sums), "    ")

    def keep(self, row: str, tree: int | str) -> str:
        """The row, noted where it is needed once more."""
        return f"(reached[{tree}] = ({self.index})({row}))" if self.kept else row

    def add(self, sums: str, row: str, tree: int | str, floats: bool) -> list[str]:
        """Statements that add a row of `tree` to sums, or keep the smaller or greater."""
        values = self.values(floats)
        least = LEAST[self.aggregate][0] if self.aggregate in LEAST else ""
        if self.single is not None and not least:
            return [f"{sums}[{self.sum_of(self.single, tree)}] += {values}[{row}];"]
        kind = "float" if floats else "int32_t"
        if self.dense:
            to = f"row[k] {least} {sums}[k] ? row[k] : {sums}[k]" if least else f"{sums}[k] + row[k]"
            head = (
                f"const {kind} *row = {values} + {f'{self.outputs}u * ' if self.outputs > 1 else ''}({row});"
            )
            loop = f"for (int32_t k = 0; k < {self.outputs}; k++)"
            return ["{", f"    {head}", f"    {loop}", f"        {sums}[k] = {to};", "}"]
        outputs = self.layer.array("row_output", small(self.forest.row_output))
        one = [f"    {sums}[{outputs}[at]] += {values}[at];"]
        if self.alone == self.forest.row_count:
            return ["{", f"    uint32_t at = {row};", *one, "}"]
        many = [f"    {self.adder(kind, outputs, values)}({sums}, at);"]
        if self.alone:
            many = [f"    if (at < {self.alone}u)", f"    {one[0]}", "    else", f"    {many[0]}"]
        return ["{", f"    uint32_t at = {row};", *many, "}"]

    def adder(self, kind: str, outputs: str, values: str) -> str:
        """The function that adds a row of several sums."""
        starts = self.layer.array("row_start", small(self.forest.row_start[self.alone :]))
        name = f"trine_{self.layer.source.name}_{self.layer.label}_add_{kind}"
        at = f"at - {self.alone}u" if self.alone else "at"
        if kind not in self.listed:
            self.listed.add(kind)
            self.layer.source.constants.append(
                f"TRINE_NOINLINE static void {name}({kind} *sums, uint32_t at)\n{{\n"
                f"    const {unsigned(len(self.forest.row_output))} *start = {starts} + ({at});\n"
                f"    for (uint32_t i = start[0]; i < start[1]; i++)\n"
                f"        sums[{outputs}[i]] += {values}[i];\n}}\n"
            )
        return name

    def sum_of(self, single: list[int], tree: int | str) -> str:
        """Where a tree's rows add."""
        if len(set(single)) == 1:
            return str(single[0])
        if isinstance(tree, int):
            return str(single[tree])
        return f"{self.layer.array('outputs', small(single))}[{tree}]"

    def lines(self, statements: Sequence[str], pad: str = "") -> None:
        """Append statements."""
        for statement in statements:
            self.layer.line(pad + statement)
