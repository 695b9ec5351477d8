"""What the normalisations share: groups of values are brought to mean 0 and variance 1, then scaled and moved.

Every one of them is: cut one example's values, in ONNX order, into runs of `length`; subtract the run's mean (where
`centred`); divide by sqrt(variance + epsilon), the variance about 0 where not centred; then multiply by gamma and
add beta, whose entry for the value at place p is (p // inner) % channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from trine.compilers.graph import Array, Node, Shape
from trine.compilers.operators import Spelled


@dataclass(frozen=True)
class Runs:
    """How a normalisation cuts an example: `count` runs of `length` values; gamma's entry turns every `inner`."""

    length: int
    inner: int
    channels: int
    count: int
    centred: bool
    epsilon: float


def runs_of(node: Node, shape: Shape) -> Runs:
    """The runs of a normalisation on one example of the given shape."""
    size, epsilon = int(np.prod(shape)), float(node.attributes["epsilon"])
    spatial = int(np.prod(shape[1:]))
    if node.op == "InstanceNormalization":
        length, inner, channels = spatial, spatial, shape[0]
    elif node.op == "GroupNormalization":
        length, inner, channels = size // node.attributes["num_groups"], spatial, shape[0]
    else:
        length = int(np.prod(shape[len(shape) - node.attributes["last"] :]))
        inner, channels = 1, length
    return Runs(length, inner, channels, size // length, node.op != "RMSNormalization", epsilon)


def entries(values: Array, runs: Runs) -> Array:
    """gamma or beta [channels], one entry for each value: [count, length]."""
    every = (np.arange(runs.count * runs.length) // runs.inner) % runs.channels
    return np.asarray(values.reshape(-1)[every].reshape(runs.count, runs.length))


def statistics(x: Array, runs: Runs) -> tuple[Array, Array, Array]:
    """(centred values [n, count, length], mean and 1 / deviation [n, count, 1]) of x [n, *shape], in double."""
    rows = x.reshape(len(x), runs.count, runs.length).astype(np.float64)
    mean = rows.mean(axis=2, keepdims=True) if runs.centred else np.zeros((len(x), runs.count, 1))
    centred = rows - mean
    return centred, mean, 1.0 / np.sqrt((centred**2).mean(axis=2, keepdims=True) + runs.epsilon)


def normalised(x: Array, gamma: Array, beta: Array | None, runs: Runs) -> Array:
    """The whole operator on x [n, *shape]."""
    centred, _, inverse = statistics(x, runs)
    y = centred * inverse * entries(gamma, runs)
    if beta is not None:
        y = y + entries(beta, runs)
    return np.asarray(y.reshape(x.shape), x.dtype)


def by_parts(node: Node, opset: int) -> list[Spelled]:
    """LayerNormalization or RMSNormalization spelled with means, for opsets that lack them (one output only)."""
    name, x = node.name, node.inputs[0]
    axes = list(range(-node.attributes["last"], 0))
    made: dict[str, Array] = {f"{name}.epsilon": np.array(node.attributes["epsilon"], np.float32)}
    mean_axes: dict[str, object] = {"axes": axes} if opset < 18 else {}
    extra = [] if opset < 18 else [f"{name}.axes"]
    if extra:
        made[extra[0]] = np.array(axes, np.int64)
    spelled = []

    def add(op: str, inputs: list[str], role: str, **attributes: object) -> str:
        result = f"{name}.{role}" if role else node.outputs[0]
        spelled.append(Spelled(op, inputs, [result], attributes, used(inputs, made)))
        return result

    centred = x
    if node.op == "LayerNormalization":
        centred = add("Sub", [x, add("ReduceMean", [x, *extra], "mean", **mean_axes)], "centred")
    square = add("Mul", [centred, centred], "square")
    variance = add("ReduceMean", [square, *extra], "variance", **mean_axes)
    deviation = add("Sqrt", [add("Add", [variance, f"{name}.epsilon"], "moved")], "deviation")
    scaled = [add("Div", [centred, deviation], "normal"), node.inputs[1]]
    if len(node.inputs) > 2:
        add("Add", [add("Mul", scaled, "scaled"), node.inputs[2]], "")
    else:
        add("Mul", scaled, "")
    return spelled


def groups_by_parts(node: Node) -> list[Spelled]:
    """GroupNormalization spelled with InstanceNormalization, for opsets that lack it."""
    name, a = node.name, node.attributes
    groups, channels = a["num_groups"], a["channels"]
    roles = {
        "groups": np.array([0, groups, -1], np.int64), "channels": np.array([0, channels, -1], np.int64),
        "column": np.array([-1, 1], np.int64),
        "ones": np.ones(groups, np.float32), "zeros": np.zeros(groups, np.float32),
    }  # fmt: skip
    at = {
        role: f"{name}.{role}"
        for role in (*roles, "x", "y", "z", "shape", "gamma", "beta", "scaled", "moved")
    }
    made = {at[role]: value for role, value in roles.items()}
    x, gamma, beta = node.inputs
    nodes = [
        Spelled("Shape", [x], [at["shape"]]),
        Spelled("Reshape", [x, at["groups"]], [at["x"]]),
        Spelled(
            "InstanceNormalization", [at["x"], at["ones"], at["zeros"]], [at["y"]], {"epsilon": a["epsilon"]}
        ),
        Spelled("Reshape", [at["y"], at["channels"]], [at["z"]]),
        Spelled("Reshape", [gamma, at["column"]], [at["gamma"]]),
        Spelled("Reshape", [beta, at["column"]], [at["beta"]]),
        Spelled("Mul", [at["z"], at["gamma"]], [at["scaled"]]),
        Spelled("Add", [at["scaled"], at["beta"]], [at["moved"]]),
        Spelled("Reshape", [at["moved"], at["shape"]], node.outputs),
    ]
    return [replace(one, constants=used(one.inputs, made)) for one in nodes]


def used(inputs: Sequence[str], made: Mapping[str, Array]) -> dict[str, Array]:
    """The new constants that a node reads."""
    return {name: made[name] for name in inputs if name in made}
