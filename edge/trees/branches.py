"""C of a forest as nested branches on the bits of the input. The faster form.

x <= t of two floats is a comparison of their bits as they are: signed where t >= 0, unsigned and turned round where
t < 0. Only NaN is not where it should be; where the input has any, a copy with NaN settled is read instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trine.edge.trees.fixed import COMPLEMENT, NAN_HOLDS, Forest
from trine.edge.trees.tables import small

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter


class Branches:
    """Prints one forest as branches."""

    def __init__(self, layer: LayerWriter, forest: Forest) -> None:
        self.layer, self.forest = layer, forest
        flags = forest.column_flags
        low = ((flags & NAN_HOLDS) > 0) ^ ((flags & COMPLEMENT) > 0)  # NaN must compare below
        pairs = list(zip(forest.column_feature.tolist(), low.tolist(), strict=True))
        self.read = sorted(set(pairs))
        features = [feature for feature, _ in self.read]
        self.direct = len(set(features)) == len(features)
        self.place = [feature if self.direct else self.read.index((feature, low)) for feature, low in pairs]
        self.prefix = f"trine_{layer.source.name}_{layer.label}"
        self.bounds: dict[int, int] = {}

    def columns(self) -> None:
        """Statements that make c: the input's bits, or a copy with NaN settled."""
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

    def trees(self) -> list[str]:
        """Write a function for each tree; returns the expressions for their rows."""
        names = []
        for t, root in enumerate(self.forest.roots.tolist()):
            names.append(f"{self.prefix}_tree_{t}")
            body = "\n".join(self.branch(root, 1))
            unused = "    (void)c;\n    (void)bounds;\n" if root < 0 else ""
            self.layer.source.constants.append(
                f"TRINE_INLINE uint32_t {names[-1]}(const int32_t *c, const int32_t *bounds)\n{{\n{unused}{body}\n}}\n"
            )
        bounds = self.layer.array(
            "thresholds", np.array([*self.bounds, 0], np.int64).astype(np.uint32).view(np.int32)
        )
        self.layer.line(f"const int32_t *bounds = {bounds};")
        self.layer.line("TRINE_OPAQUE(bounds);")
        return [f"{name}(c, bounds)" for name in names]

    def branch(self, child: int, level: int) -> list[str]:
        """Statements of a subtree."""
        pad = "    " * level
        if child < 0:
            return [f"{pad}return {~child}u;"]
        yes, no = (int(side[child]) for side in (self.forest.split_yes, self.forest.split_no))
        test, turned = self.test(child)
        first, second = (no, yes) if turned else (yes, no)
        return [
            f"{pad}if ({test}) {{", *self.branch(first, level + 1), f"{pad}}}", *self.branch(second, level)
        ]  # fmt: skip

    def test(self, split: int) -> tuple[str, bool]:
        """(comparison of the bits, whether it holds where the split's does not)."""
        column, key = int(self.forest.split_column[split]), int(self.forest.split_key[split])
        turned = bool(self.forest.column_flags[column] & COMPLEMENT)
        bound = ~key - 1 if turned else key  # ~x <= key is not x <= ~key - 1
        value = f"c[{self.place[column]}]"
        if bound >= 0:
            return f"{value} <= {self.bound(bound)}", turned
        return f"(uint32_t){value} >= (uint32_t){self.bound((bound ^ 0x7FFFFFFF) % 2**32)}", turned

    def bound(self, bits: int) -> str:
        """A threshold's bits, out of a table."""
        return f"bounds[{self.bounds.setdefault(bits, len(self.bounds))}]"
