"""How many bytes a layer's C reads and writes of each tensor and of its scratch: modelled from its loops.

Only plans over several banks look at it, to choose what lies in the fast one. Layers with weights read a window once
for every two output channels (edge/kernels/linear.c, conv.c); where the schedule expands windows to halfwords, a window
is read once and its expansion, in scratch, for every pair. All others touch what they read and write once.
"""

from __future__ import annotations

import numpy as np

from trine.edge.c.linear import image, is_depthwise
from trine.edge.c.schedule import Schedule
from trine.edge.program import IntegerProgram, Step


def traffic_of(program: IntegerProgram, step: Step, schedule: Schedule) -> dict[str, int]:
    """Bytes read or written of inputs, outputs and scratch (""), of those that are not touched just once."""
    if step.kernel in ("max_pool", "mean") and "kernel_shape" in step.attributes:
        taps = int(np.prod(step.attributes["kernel_shape"]))
        return {step.inputs[0]: program.tensors[step.output].bytes * taps}
    if step.kernel not in ("conv", "dense"):
        return {}
    x, y, weight = program.tensors[step.inputs[0]], program.tensors[step.output], step.constants["weight"]
    item = np.dtype(x.dtype).itemsize
    row = int(np.prod(weight.shape[1:])) * item
    if step.kernel == "conv" and is_depthwise(step):
        return {x.name: y.size * row}
    group = step.attributes.get("group", 1)
    windows = y.size // weight.shape[0] * group
    pairs = -(-weight.shape[0] // group // 2)
    gathered = not lies_in_one_piece(step, row)
    return window_traffic(x.name, windows * row, pairs, gathered, schedule.wide and item == 1)


def lies_in_one_piece(step: Step, row: int) -> bool:
    """Whether a window inside the image is read where it lies."""
    if step.kernel == "dense":
        return row % 4 == 0
    weight, a = step.constants["weight"], step.attributes
    taps, dilations = image(weight.shape[2:], 1), image(a["dilations"], 1)
    return bool(a["group"] == 1 and taps[0] == 1 and (dilations[1] == 1 or taps[1] == 1))


def window_traffic(name: str, windows: int, pairs: int, gathered: bool, wide: bool) -> dict[str, int]:
    """Traffic of all windows, `windows` bytes together, each used for `pairs` pairs of output channels."""
    uses = 1 if wide else pairs
    scratch = windows * gathered * (1 + uses) + wide * (2 * windows * (1 + pairs))
    return {name: windows * (1 if gathered else uses), "": scratch}
