"""C of the normalisations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trine.compilers.graph import Node
from trine.compilers.normalisation import runs_of
from trine.edge.c.linear16 import is_wide
from trine.edge.program import Step

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter


def normalise_layer(layer: LayerWriter, step: Step) -> None:
    """One structure, one call; the entries of the channels as those of a layer with weights, the bias unused."""
    wide = is_wide(layer.program, step)
    layer.need("normalise", *(["int16", "normalise16"] if wide else []))
    a, c = step.attributes, step.constants
    node = Node(a["op"], step.name, step.inputs, (step.output,), a["of"])
    x = layer.tensor(step.inputs[0])
    runs = runs_of(node, x.shape)
    entries = zip(c["multiplier"], c["addend"], c["shift"], strict=True)
    rows = ",\n    ".join(f"{{0, {int(m)}, {int(n)}, {int(s)}}}" for m, n, s in entries)
    channels = layer.structure("trine_channel", "channels", f"{{{rows}}}")
    values = (
        channels, f"INT64_C({a['epsilon']})", runs.count, runs.length, runs.inner, runs.channels, int(runs.centred),
        x.zero_point, a["narrowing"], a["fraction"], a["low"], a["high"],
    )  # fmt: skip
    norm = layer.structure("trine_norm", "norm", "{" + ", ".join(map(str, values)) + "}")
    layer.line(f"trine_normalise{'16' if wide else ''}(x0, y, &{norm});")
