"""LSTM, GRU and RNN in NumPy: the loop over time that the three operators share (ONNX LSTM-22, GRU-22, RNN-22).

Normal form: inputs (x, w, r, b, lengths, initial_h[, initial_c, p]), "" where absent, in ONNX's gate order;
attributes directions (0 forward, 1 in reverse, one an entry of w's first axis), hidden, activations (for each
direction, for each function: name, alpha, beta), clip (0: none), batch_axis: -1 where an example is one sequence
[time, inputs], else the axis of x on which a graph read whole has its batch. LSTM: coupled (1: f = 1 - i); GRU:
linear_before_reset. Outputs (y, y_h), LSTM (y, y_h, y_c), "" where nobody reads them. `watched` gives an LSTM a fourth:
the cell states of all times, which ONNX does not give.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array, Graph, Node, Shape, Tensor
from trine.compilers.operators import floats

Floats = NDArray[np.float32]
Function = tuple[str, float, float]  # name, alpha, beta
X, W, R, B, LENGTHS, INITIAL_H, INITIAL_C, P = range(8)


@dataclass(frozen=True)
class Activation:
    """f(x, alpha, beta) float32; defaults: alpha and beta where ONNX states them, None where the file must."""

    run: Callable[[Any, np.float32, np.float32], Any]
    defaults: tuple[float | None, ...] = ()


# ONNX's list (LSTM-22, "Activation functions"); the defaults are those of the ONNX operators of the same names.
ACTIVATIONS: Mapping[str, Activation] = {
    "Affine": Activation(lambda x, a, b: a * x + b, (None, None)),
    "Elu": Activation(lambda x, a, b: np.where(x < 0, a * np.expm1(np.minimum(x, 0)), x), (1.0,)),
    "HardSigmoid": Activation(lambda x, a, b: np.clip(a * x + b, np.float32(0), np.float32(1)), (0.2, 0.5)),
    "LeakyRelu": Activation(lambda x, a, b: np.where(x < 0, a * x, x), (0.01,)),
    "Relu": Activation(lambda x, a, b: np.maximum(x, np.float32(0))),
    "ScaledTanh": Activation(lambda x, a, b: a * np.tanh(b * x), (None, None)),
    "Sigmoid": Activation(lambda x, a, b: np.float32(0.5) + np.float32(0.5) * np.tanh(np.float32(0.5) * x)),
    "Softplus": Activation(lambda x, a, b: np.logaddexp(x, np.float32(0))),
    "Softsign": Activation(lambda x, a, b: x / (1 + np.abs(x))),
    "Tanh": Activation(lambda x, a, b: np.tanh(x)),
    "ThresholdedRelu": Activation(lambda x, a, b: np.where(x > a, x, np.float32(0)), (1.0,)),
}


def activate(function: Function, x: Array, clip: float) -> Floats:
    """One activation function on float32 values, clipped to +-clip first where clip is not 0."""
    name, alpha, beta = function
    bounded = np.clip(x, np.float32(-clip), np.float32(clip)) if clip else x
    return floats(ACTIVATIONS[name].run(bounded, np.float32(alpha), np.float32(beta)))


@dataclass(frozen=True)
class Direction:
    """What one direction computes with: float32 weights [m, gates * hidden, ...] with m = 1 or one set an example.

    wb, rb: [m, gates * hidden]. p: [m, 3 * hidden] or None. functions: its activations, in ONNX's order.
    """

    w: Floats
    r: Floats
    wb: Floats
    rb: Floats
    p: Floats | None
    functions: tuple[Function, ...]
    node: Node

    @property
    def hidden(self) -> int:
        """Size of the state."""
        return int(self.r.shape[2])

    def activate(self, number: int, x: Array) -> Floats:
        """The number-th activation function."""
        return activate(self.functions[number], x, self.node.attributes["clip"])


State = tuple[Floats, ...]  # h, and c where there is one: [n, batch, hidden]
Cell = Callable[[Direction, Floats, State], State]


def product(x: Array, w: Array) -> Floats:
    """x [n, ..., k] times w [m, j, k] transposed: [n, ..., j]; m is 1 or n."""
    if len(w) == 1:
        return floats((x.reshape(-1, x.shape[-1]) @ w[0].T).reshape(*x.shape[:-1], w.shape[1]))
    return floats(np.matmul(x, np.swapaxes(w, 1, 2).reshape(len(w), *(1,) * (x.ndim - 3), *w.shape[:0:-1])))


def blocks(values: Array, count: int) -> list[Array]:
    """The last axis cut into equal parts, one a gate."""
    return np.split(values, count, axis=-1)


def per_example(value: Array | None, rank: int, shape: Shape = ()) -> Array:
    """A constant (of the given rank) with an axis of one example before it; zeros of `shape` for an absent one."""
    if value is None:
        return np.zeros((1, *shape), np.float32)
    return value[None] if value.ndim == rank else value


def run_recurrent(node: Node, arguments: Sequence[Any], gates: int, cell: Cell, states: int) -> list[Array]:
    """The definition of the three operators: y, y_h (, y_c (, cells)) for arguments in normal form."""
    given: list[Any] = [*arguments, *[None] * (P + 1 - len(arguments))]
    attributes = node.attributes
    axis, hidden, directions = attributes["batch_axis"], attributes["hidden"], attributes["directions"]
    x = given[X][:, :, None] if axis == -1 else np.moveaxis(given[X], 1 + axis, 2)  # [n, time, batch, inputs]
    n, time, batch = x.shape[:3]
    bias = per_example(given[B], 2, (len(directions), 2 * gates * hidden))
    peepholes = None if given[P] is None else per_example(given[P], 2)
    initial = [initial_state(given[INITIAL_H + k], node, (n, batch)) for k in range(states)]
    lengths = np.broadcast_to(time if given[LENGTHS] is None else per_example(given[LENGTHS], 1), (n, batch))
    found = []
    for d, reverse in enumerate(directions):
        b = bias[:, d]
        direction = Direction(
            per_example(given[W], 3)[:, d], per_example(given[R], 3)[:, d], b[:, : gates * hidden],
            b[:, gates * hidden :], None if peepholes is None else peepholes[:, d], attributes["activations"][d], node,
        )  # fmt: skip
        found.append(over_time(direction, cell, x, tuple(s[:, d] for s in initial), lengths, bool(reverse)))
    sequences = [np.stack([f[0][k] for f in found], axis=2) for k in range(states)]
    last = [np.stack([f[1][k] for f in found], axis=1) for k in range(states)]
    results = [sequences[0], *last, *sequences[1:]]
    return [floats(batch_placed(values, axis)) for values in results[: len(node.outputs)]]


def batch_placed(values: Array, axis: int) -> Array:
    """[n, ..., batch, hidden] with the batch where the operator's layout has it."""
    return values[..., 0, :] if axis == -1 else np.moveaxis(values, -2, 1) if axis == 0 else values


def initial_state(value: Array | None, node: Node, counts: tuple[int, int]) -> Floats:
    """An initial state as [n, directions, batch, hidden]; zeros where it is absent."""
    axis, directions = node.attributes["batch_axis"], len(node.attributes["directions"])
    shape = (counts[0], directions, counts[1], node.attributes["hidden"])
    if value is None:
        return np.zeros(shape, np.float32)
    whole = per_example(value, 2 if axis == -1 else 3)
    placed = whole[:, :, None] if axis == -1 else np.moveaxis(whole, 1, 2) if axis == 0 else whole
    return floats(np.broadcast_to(placed, shape))


def over_time(
    direction: Direction, cell: Cell, x: Array, state: State, lengths: Array, reverse: bool
) -> tuple[list[Array], State]:
    """All states [n, time, batch, hidden], and the last ones [n, batch, hidden].

    x [n, time, batch, inputs]; lengths [n, batch]: beyond them the output is zero and the state stands still.
    """
    time = x.shape[1]
    steps = np.arange(time)[None, :, None]
    order = np.where(steps < lengths[:, None], lengths[:, None] - 1 - steps, steps)[..., None]
    if reverse:
        x = np.take_along_axis(x, order, axis=1)
    seen = product(x, direction.w) + direction.wb[:, None, None]
    kept: list[list[Array]] = [[] for _ in state]
    for t in range(time):
        active = (t < lengths)[..., None]
        after = cell(direction, seen[:, t], state)
        state = tuple(np.where(active, new, old) for new, old in zip(after, state, strict=True))
        for values, new in zip(kept, state, strict=True):
            values.append(np.where(active, new, np.float32(0)))
    whole = [np.stack(values, axis=1) for values in kept]
    return [np.take_along_axis(values, order, axis=1) for values in whole] if reverse else whole, state


def recurrent_shapes(node: Node, inputs: Sequence[Shape], states: int) -> list[Shape]:
    """Shapes of y, y_h (, y_c (, cells))."""
    axis, x = node.attributes["batch_axis"], inputs[X]
    directions, hidden = len(node.attributes["directions"]), int(node.attributes["hidden"])
    sequence: Shape = (x[0], directions, hidden)
    last: Shape = (directions, hidden)
    if axis == 0:
        sequence, last = (*x[:2], directions, hidden), (x[0], directions, hidden)
    elif axis == 1:
        sequence, last = (x[0], directions, x[1], hidden), (directions, x[1], hidden)
    return [sequence, *[last] * states, *[sequence] * (states - 1)][: len(node.outputs)]


def recurrent_macs(node: Node, inputs: Sequence[Shape], gates: int) -> int:
    """Products of one example: every gate of every time reads the inputs and the state."""
    hidden, count = int(node.attributes["hidden"]), int(np.prod(inputs[X][:-1]))
    return count * len(node.attributes["directions"]) * gates * hidden * (inputs[X][-1] + hidden)


def watched(graph: Graph) -> Graph:
    """The same network with the states of every recurrent node named as outputs, so that their ranges are observed."""
    from trine.compilers.operators import operators

    nodes, tensors = [], dict(graph.tensors)
    for node in graph.nodes:
        if node.op in ("LSTM", "GRU", "RNN"):
            cells = (f"{node.name}.cells",) if node.op == "LSTM" and len(node.outputs) == 3 else ()
            named = (node.outputs[0] or f"{node.name}.states", *node.outputs[1:], *cells)
            node = replace(node, outputs=named)
            shapes = operators()[node.op].shapes(node, [graph.shape(name) for name in node.inputs])
            tensors |= {n: Tensor(n, s) for n, s in zip(named, shapes, strict=True) if n and n not in tensors}
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes), tensors=tensors)
