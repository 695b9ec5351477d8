"""C of SelectiveScan: a loop over time, the state in scratch or handed from call to call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trine.edge.c.packing import padded
from trine.edge.c.schedule import Schedule
from trine.edge.program import IntegerProgram, Step

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter


def scan_scratch(program: IntegerProgram, step: Step, schedule: Schedule) -> int:
    """Two rows of int32, and the state where it is not handed in."""
    channels, states = step.constants["exponent"].shape
    return int(8 * states + (0 if step.attributes["resumed"] else padded(2 * channels * states)))


def scan_layer(layer: LayerWriter, step: Step) -> None:
    layer.need("state_space")
    a, k = step.attributes, step.constants
    channels, states = k["exponent"].shape
    arrays = [
        layer.array(role, k[role].reshape(-1)) for role in ("delta", "decay", "rate", "skip", "exponent")
    ]
    zeros = [layer.tensor(step.inputs[i]).zero_point for i in (0, 2, 3)]
    r = step.requantizer
    channel = f"{{0, {int(r.multiplier[0])}, {int(r.addend[0])}, {int(r.shift[0])}}}"
    numbers = [channels, states, a["rate_shift"], a["gain"], a["in_shift"], a["out_shift"], *zeros]
    fields = ", ".join([*arrays, *map(str, numbers), channel])
    scan = layer.structure("trine_scan", "scan", f"{{{fields}}}")
    layer.line("int32_t *rows = (int32_t *)(void *)scratch;")
    every = f"for (int32_t i = 0; i < {channels * states}; i++)"
    if a["resumed"]:
        layer.line("int16_t *state = y1;")
        layer.line(f"{every} state[i] = x4[i];")
    else:
        layer.line(f"int16_t *state = (int16_t *)(void *)(scratch + {8 * states});")
        layer.line(f"{every} state[i] = 0;")
    layer.line(f"for (int32_t t = 0; t < {a['length']}; t++)")
    wide, narrow = f"t * {channels}", f"t * {states}"
    layer.line(f"    trine_scan_step(&{scan}, x0 + {wide}, x1 + {wide}, x2 + {narrow}, x3 + {narrow}, rows, state, "
               f"y + {wide});")  # fmt: skip
