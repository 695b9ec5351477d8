"""C of a forest as nested branches. The faster form.

x <= t of two floats is a comparison of their bits as they are: signed where t >= 0, unsigned and turned round where
t < 0. Only NaN is not where it should be; where the input has any, a copy with NaN settled is read instead. A core
that compares floats in hardware needs no copy, and an instruction more a split: small forests are printed so there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from trine.edge.trees.choice import in_float
from trine.edge.trees.fixed import COMPLEMENT, NAN_HOLDS, Forest, number
from trine.edge.trees.tables import places, small

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter

NEAR_FLOATS = 250


class Branches:
    """Prints one forest as branches."""

    def __init__(self, layer: LayerWriter, forest: Forest) -> None:
        self.layer, self.forest = layer, forest
        schedule = layer.source.schedule
        self.floats = schedule.floats and in_float(forest)
        self.near = NEAR_FLOATS if self.floats else schedule.near  # words that one load reaches
        self.word = "float" if self.floats else "int32_t"
        flags = forest.column_flags
        low = ((flags & NAN_HOLDS) > 0) ^ ((flags & COMPLEMENT) > 0)  # NaN must compare below
        pairs = list(zip(forest.column_feature.tolist(), low.tolist(), strict=True))
        self.read = sorted(set(pairs))
        features = [feature for feature, _ in self.read]
        self.direct = self.floats or len(set(features)) == len(features)
        self.place = [feature if self.direct else self.read.index((feature, low)) for feature, low in pairs]
        self.second = max(self.place) >= self.near
        self.prefix = f"trine_{layer.source.name}_{layer.label}"
        self.bounds: dict[int, int] = {}

    def columns(self) -> None:
        """Statements that make c: the input, its bits, or a copy of them with NaN settled."""
        if self.floats:
            self.layer.line("const float *c = x0, *bounds;")
        else:
            self.settle()
            self.layer.line("const int32_t *bounds;")
        if self.second:
            self.layer.line(f"const {self.word} *d = c + {self.near};")

    def settle(self) -> None:
        """Statements that make c of the input's bits."""
        layer, count = self.layer, len(self.read)
        features = [feature for feature, _ in self.read]
        lows = {low for _, low in self.read}
        at = "i" if features == list(range(count)) else f"{layer.array('features', small(features))}[i]"
        nan = "-1" if lows == {True} else "0x7fffffff"
        if len(lows) > 1:
            nan = f"{layer.array('lows', small([int(low) for _, low in self.read]))}[i] ? -1 : 0x7fffffff"
        size = features[-1] + 1 if self.direct else count
        layer.line("const trine_word *bits = (const trine_word *)(const void *)x0;")
        layer.line(f"int32_t settled[{size}];")
        to = at if self.direct else "i"
        settle = [
            f"for (int32_t i = 0; i < {count}; i++)",
            f"    settled[{to}] = trine_settled(bits[{at}], {nan});",
        ]
        if not self.direct:
            for line in settle:
                layer.line(line)
            layer.line("const int32_t *c = settled;")
            return
        layer.line("const int32_t *c = (const int32_t *)(const void *)x0;")
        layer.line(f"if (trine_any_nan(x0, {size}u)) {{")
        for line in [*settle, "c = settled;"]:
            layer.line(f"    {line}")
        layer.line("}")

    def trees(self, kind: str, leaf: Callable[[int], str], more: str) -> list[tuple[list[str], str]]:
        """Write a function for each tree, which returns `leaf` of the row it reaches, a `kind`.

        more: type of its third argument, "" for none. Returns for each tree statements to be run before it and the
        expression that calls it. Thresholds lie in tables, each within reach of one load.
        """
        calls = list[tuple[list[str], str]]()
        for group in self.groups():
            self.bounds = {}
            names = [self.function(t, kind, leaf, more) for t in group]
            bits = np.array([*self.bounds, 0], np.int64).astype(np.uint32)
            table = self.layer.array(
                f"thresholds_{group[0]}", bits.view(np.float32 if self.floats else np.int32)
            )
            for i, name in enumerate(names):
                before = [
                    "TRINE_OPAQUE(c);",
                    *(["TRINE_OPAQUE(d);"] if self.second else []),
                    *([] if i else [f"bounds = {table};"]),
                    "TRINE_OPAQUE(bounds);",
                ]
                calls.append(
                    (before, f"{name}(c, bounds{', d' if self.second else ''}{', leaves' if more else ''})")
                )
        return calls

    def groups(self) -> list[list[int]]:
        """Trees whose thresholds share a table."""
        groups, shared = list[list[int]](), set[int]()
        for t, root in enumerate(self.forest.roots.tolist()):
            own = {self.threshold(split) for split in places(self.forest, root)}
            if not groups or len(shared | own) > self.near:
                groups.append([])
                shared = set()
            groups[-1].append(t)
            shared |= own
        return groups

    def function(self, tree: int, kind: str, leaf: Callable[[int], str], more: str) -> str:
        """Write the function of a tree; returns its name."""
        name, root = f"{self.prefix}_tree_{tree}", int(self.forest.roots[tree])
        body = "\n".join(self.branch(root, 1, leaf))
        names = ["c", "bounds", *(["d"] if self.second else [])]
        unused = "".join(f"    (void){n};\n" for n in names if f"{n}[" not in body)
        parameters = ", ".join(
            [*(f"const {self.word} *{n}" for n in names), *([f"{more}leaves"] if more else [])]
        )
        self.layer.source.constants.append(
            f"TRINE_INLINE {kind} {name}({parameters})\n{{\n{unused}{body}\n}}\n"
        )
        return name

    def branch(self, child: int, level: int, leaf: Callable[[int], str]) -> list[str]:
        """Statements of a subtree."""
        pad = "    " * level
        if child < 0:
            return [f"{pad}return {leaf(~child)};"]
        yes, no = (int(side[child]) for side in (self.forest.split_yes, self.forest.split_no))
        test, turned = self.test(child)
        first, second = (no, yes) if turned else (yes, no)
        return [
            f"{pad}if ({test}) {{", *self.branch(first, level + 1, leaf), f"{pad}}}",
            *self.branch(second, level, leaf),
        ]  # fmt: skip

    def test(self, split: int) -> tuple[str, bool]:
        """(comparison with a threshold, whether it holds where the split's does not)."""
        column = int(self.forest.split_column[split])
        flags = int(self.forest.column_flags[column])
        bits = self.threshold(split)
        bound = f"bounds[{self.bounds.setdefault(bits, len(self.bounds))}]"
        turned = bool(flags & COMPLEMENT)
        if self.floats:  # with NaN, every comparison is false
            value = self.value(int(self.forest.column_feature[column]))
            signs = (">", "<") if flags & NAN_HOLDS else ("<=", ">=")
            return f"{value} {signs[turned]} {bound}", bool(flags & NAN_HOLDS)
        value = self.value(self.place[column])
        if bits < 1 << 31:
            return f"{value} <= {bound}", turned
        return f"(uint32_t){value} >= (uint32_t){bound}", turned

    def value(self, place: int) -> str:
        """Where a column lies: behind c, or behind d where that is too far."""
        return f"d[{place - self.near}]" if self.second and place >= self.near else f"c[{place}]"

    def threshold(self, split: int) -> int:
        """The bits a split compares with."""
        column, key = int(self.forest.split_column[split]), int(self.forest.split_key[split])
        turned = bool(self.forest.column_flags[column] & COMPLEMENT)
        if self.floats:
            return int(number(~key if turned else key).view(np.uint32))  # ~x <= key is x >= ~key
        bound = ~key - 1 if turned else key  # and not x <= ~key - 1
        return bound if bound >= 0 else (bound ^ 0x7FFFFFFF) % 2**32
