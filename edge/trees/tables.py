"""C of a forest as tables: a loop walks splits of a few bytes each. The smaller form."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array
from trine.edge.trees.fixed import Forest

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter

SHARED = 128  # leaves that one byte can number beside splits


@dataclass(frozen=True)
class Ranked:
    """Thresholds by rank among those of their column: `column <= key` becomes `rank(column) <= rank`. Exact.

    keys: every column's distinct thresholds, ascending, one column after the other; starts: [columns + 1].
    rank: [splits].
    """

    keys: NDArray[np.int32]
    starts: NDArray[np.int64]
    rank: NDArray[np.int32]


def ranked(forest: Forest) -> Ranked:
    """Number each column's thresholds."""
    parts, rank = [np.zeros(0, np.int32)], np.zeros(len(forest.split_key), np.int32)
    for column in range(len(forest.column_feature)):
        here = np.flatnonzero(forest.split_column == column)
        distinct, rank[here] = np.unique(forest.split_key[here], return_inverse=True)
        parts.append(distinct)
    starts = np.cumsum([0, *map(len, parts[1:])])
    return Ranked(np.concatenate(parts).astype(np.int32), starts, rank)


@dataclass(frozen=True)
class Numbered:
    """Trees one after the other for tables: children and leaves counted within a tree.

    first, leaf: [trees], where its splits and its leaves begin. order: the split each entry is, -1 for none.
    yes, no: children, `leaf_bit` set for leaves. rows: the row of each leaf; empty where leaves are rows themselves.
    """

    first: list[int]
    leaf: list[int]
    order: list[int]
    yes: list[int]
    no: list[int]
    rows: list[int]
    leaf_bit: int


def numbered(forest: Forest) -> Numbered:
    """Number splits within their tree, depth first; a tree of one leaf becomes a split with twice that leaf."""
    shared = forest.row_count <= SHARED
    plan, most = Numbered([], [], [], [], [], [], 0), 0
    for root in forest.roots.tolist():
        plan.first.append(len(plan.order))
        plan.leaf.append(len(plan.rows))
        place = places(forest, root)
        for at in place or [-1]:
            children = (root, root) if at < 0 else (int(forest.split_yes[at]), int(forest.split_no[at]))
            for side, child in zip((plan.yes, plan.no), children, strict=True):
                if child >= 0 or shared:
                    side.append(place[child] if child >= 0 else child)
                else:
                    side.append(~(len(plan.rows) - plan.leaf[-1]))
                    plan.rows.append(~child)
            plan.order.append(at)
        most = max(most, len(plan.order) - plan.first[-1], len(plan.rows) - plan.leaf[-1])
    bit = 128 if most <= SHARED else 1 << 15 if most <= 1 << 15 else 1 << 31
    yes, no = ([child if child >= 0 else ~child | bit for child in side] for side in (plan.yes, plan.no))
    return replace(plan, yes=yes, no=no, leaf_bit=bit)


def places(forest: Forest, root: int) -> dict[int, int]:
    """Splits of a tree in the order of their entries -> number within the tree."""
    place: dict[int, int] = {}
    waiting = [root]
    while waiting:
        at = waiting.pop()
        if at >= 0 and at not in place:
            place[at] = len(place)
            waiting += [int(forest.split_no[at]), int(forest.split_yes[at])]
    return place


def unsigned(largest: int) -> str:
    """The smallest unsigned C type for numbers up to `largest`."""
    return "uint8_t" if largest < 1 << 8 else "uint16_t" if largest < 1 << 16 else "uint32_t"


def small(values: Array | list[int]) -> Array:
    """Numbers >= 0 in the smallest unsigned type."""
    array = np.asarray(values, np.int64)
    return array.astype(unsigned(int(array.max(initial=0))).removesuffix("_t"))


class Tables:
    """Prints one forest as tables. `ranks`: thresholds by rank, else as keys."""

    def __init__(self, layer: LayerWriter, forest: Forest, ranks: bool) -> None:
        self.layer, self.forest, self.ranks = layer, forest, ranks
        self.ranked = ranked(forest)
        self.plan = numbered(forest)
        most = int(np.diff(self.ranked.starts).max(initial=0))
        self.column = unsigned(most) if ranks else "int32_t"
        self.prefix = f"trine_{layer.source.name}_{layer.label}"

    def columns(self) -> None:
        """Statements that make c[], the column values, of the input."""
        layer, feature, flags = self.layer, self.forest.column_feature, self.forest.column_flags
        at, flag = "i", str(int(flags[0]))
        if not np.array_equal(feature, np.arange(len(feature))):
            at = f"{layer.array('features', small(feature))}[i]"
        if len(set(flags.tolist())) > 1:
            flag = f"{layer.array('flags', flags)}[i]"
        value = f"trine_key(bits[{at}], {flag})"
        if self.ranks:
            keys, starts = (
                layer.array("keys", self.ranked.keys),
                layer.array("starts", small(self.ranked.starts)),
            )
            span = f"(uint32_t)({starts}[i + 1] - {starts}[i])"
            value = f"({self.column})trine_rank({value}, {keys} + {starts}[i], {span})"
        layer.line("const trine_word *bits = (const trine_word *)(const void *)x0;")
        layer.line(f"{self.column} c[{len(feature)}];")
        layer.line(f"for (int32_t i = 0; i < {len(feature)}; i++)")
        layer.line(f"    c[i] = {value};")

    def row(self) -> str:
        """Write the tables and the function that walks them; returns the expression for the row of tree t."""
        plan, forest, layer = self.plan, self.forest, self.layer
        values = self.ranked.rank if self.ranks else forest.split_key
        child = unsigned(plan.leaf_bit)
        column = unsigned(max(len(forest.column_feature) - 1, 0 if child == "uint8_t" else 256))
        split, entries = f"{self.prefix}_split", []
        for at, yes, no in zip(plan.order, plan.yes, plan.no, strict=True):
            value, where = (int(values[at]), int(forest.split_column[at])) if at >= 0 else (0, 0)
            entries.append(f"{{{value}, {where}, {yes}u, {no}u}}")
        lines = ",\n    ".join(", ".join(entries[i : i + 6]) for i in range(0, len(entries), 6))
        layer.source.constants.append(
            f"typedef struct {{\n    {self.column} value;\n    {column} column;\n    {child} yes, no;\n}} {split};\n"
            f"static const {split} {self.prefix}_splits[{len(entries)}] = {{\n    {lines}\n}};\n\n"
            f"TRINE_INLINE uint32_t {self.prefix}_walk(const {self.column} *c, const {split} *tree)\n{{\n"
            f"    uint32_t at = 0;\n    do {{\n        const {split} *s = tree + at;\n"
            f"        at = c[s->column] <= s->value ? s->yes : s->no;\n    }} while (at < {plan.leaf_bit}u);\n"
            f"    return at - {plan.leaf_bit}u;\n}}\n"
        )
        leaf = f"{self.prefix}_walk(c, {self.prefix}_splits + {layer.array('first', small(plan.first))}[t])"
        if not plan.rows:
            return leaf
        leaf = f"{layer.array('leaf', small(plan.leaf))}[t] + {leaf}"
        if plan.rows == list(range(forest.row_count)):
            return leaf
        return f"{layer.array('rows', small(plan.rows))}[{leaf}]"
