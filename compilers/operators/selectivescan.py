"""SelectiveScan: a diagonal state-space model whose step size, input and output maps follow the signal.

No operator of ONNX: `compilers.state_space` makes it of a Scan with exactly this body, and it is spelled like that
again. Normal form: inputs (x (time, channels), delta (time, channels), b (time, states), c (time, states), constants a
(channels, states), d (channels,)); attribute softplus: delta is its argument. From h = 0, for every t
h = exp(delta a) h + delta x b, y = sum over states of h c, plus d x (Gu & Dao 2023, arXiv 2312.00752, equations 2 and 3
with the discretisation of their algorithm 2). A second output, where it is named: 2^exponent h of all times (time,
channels, states), see `state_exponents`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trine.compilers.graph import Array, Node, Shape
from trine.compilers.operators import Case, Operator, SourceNode, Spelled, Unsupported, floats
from trine.compilers.state_space import SCANNED, scan_body, state_exponents


def read(source: SourceNode) -> Node:
    """What `state_space.recognised` left: its scanned axis must be the first of an example."""
    axis = source.integer("axis", 0)
    if any(source.axis(axis, name) != 0 for name in source.inputs[:SCANNED]):
        raise Unsupported("is scanned along an axis that is not the first of an example")
    shapes = [source.shape(i) for i in range(6)]
    if [len(shape) for shape in shapes] != [2] * 5 + [1]:
        raise Unsupported(f"its inputs are {shapes}; their axes are time or channels, and states")
    (time, channels), (_, states) = shapes[0], shapes[4]
    fit = [(time, channels)] * 2 + [(time, states)] * 2 + [(channels, states), (channels,)]
    if shapes != fit or {source.type(i) for i in range(6)} != {"float32"}:
        raise Unsupported(f"its float32 inputs are {shapes}; {fit} fit each other")
    return Node("SelectiveScan", source.name, source.inputs, source.outputs, {"softplus": 0})


def shapes(node: Node, inputs: Sequence[Shape]) -> list[Shape]:
    return [inputs[0], (*inputs[0], inputs[4][1])][: len(node.outputs)]


def run(node: Node, arguments: Sequence[Any]) -> list[Array]:
    x, delta, b, c, a, d = arguments
    delta = np.logaddexp(delta, np.float32(0)) if node.attributes["softplus"] else delta
    h, y = np.zeros((len(x), *a.shape), np.float32), np.empty_like(x)
    every, scale = [], np.exp2(state_exponents(a)).astype(np.float32)
    for t in range(x.shape[1]):
        step = delta[:, t, :, None]
        h = np.exp(step * a) * h + step * x[:, t, :, None] * b[:, t, None]
        y[:, t] = (h * c[:, t, None]).sum(axis=2) + d * x[:, t]
        if len(node.outputs) > 1:
            every.append(h * scale)
    return [floats(y), *([floats(np.stack(every, axis=1))] if every else [])]


def macs(node: Node, inputs: Sequence[Shape], output: Shape) -> int:
    """Decay, input and answer of every state; d of every channel."""
    return int(np.prod(output)) * (3 * inputs[4][1] + 1)


def spell(node: Node, opset: int) -> list[Spelled]:
    """Softplus where it belongs to it; zeros of the batch's size; the Scan."""
    name, (x, delta, b, c, a, d) = node.name, node.inputs
    made = []
    if node.attributes["softplus"]:
        made.append(Spelled("Softplus", (delta,), (f"{name}.delta",)))
        delta = f"{name}.delta"
    # Bodies see values by the outer names: these stay when a printer renames the node's inputs.
    made += [Spelled("Identity", (value,), (f"{name}.{role}",)) for role, value in (("a", a), ("d", d))]
    made += [
        Spelled("Shape", (x,), (f"{name}.shape",)),
        Spelled("Slice", (f"{name}.shape", f"{name}.zero", f"{name}.one"), (f"{name}.batch",),
                constants={f"{name}.zero": np.array([0]), f"{name}.one": np.array([1])}),
        Spelled("Shape", (a,), (f"{name}.sizes",)),
        Spelled("Concat", (f"{name}.batch", f"{name}.sizes"), (f"{name}.start_shape",), {"axis": 0}),
        Spelled("ConstantOfShape", (f"{name}.start_shape",), (f"{name}.start",)),
        Spelled("Scan", (f"{name}.start", x, delta, b, c), (f"{name}.last", node.outputs[0]),
                {"body": scan_body(name), "num_scan_inputs": SCANNED, "scan_input_axes": [1] * SCANNED,
                 "scan_output_axes": [1]}),
    ]  # fmt: skip
    return made


def _case(name: str, time: int, channels: int, states: int, skip: bool = True, **attributes: int) -> Case:
    rng = np.random.default_rng(sum(map(ord, name)))
    a = -np.exp(rng.uniform(-2, 2, (channels, states)))
    d = rng.normal(0, 1, channels) * skip
    given = ((time, channels),) * 2 + ((time, states),) * 2
    return Case(name, given, {"softplus": 0, **attributes}, (floats(a), floats(d)))


OPERATOR = Operator(
    "SelectiveScan", read, shapes, run,
    (
        _case("channels", 12, 5, 4),
        _case("softplus", 20, 4, 8, softplus=1),
        _case("one_state_no_skip", 7, 3, 1, skip=False, softplus=1),
        _case("one_of_each", 1, 1, 1),
    ),
    macs, spell=spell, reals={1: (0.0, 3.0)},
)  # fmt: skip
