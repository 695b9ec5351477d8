"""Selective state-space models: a Scan with their recurrence as its body becomes one `SelectiveScan`.

Bodies are compared as polynomials over what they read, so that the order of factors, terms and nodes does not matter.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array, Graph, Tensor

SCANNED = 4  # inputs that a step takes its rows from: x, delta, b, c
LAST, MIDDLE = -1, -2
MOST_TERMS = 8  # of a sum; a body that is a state-space model has two
SPREAD = 6  # powers of two between the finest and the coarsest unit of a state
# A sum of products of factors, each in one order. Factors: ("value", name, axes added to it), ("exp", sum),
# ("sum", sum) over the last axis.
Factor = tuple[Any, ...]
Product = tuple[Factor, ...]
Sum = tuple[Product, ...]


class _Other(Exception):
    """A body that is no state-space model."""


def state_exponents(a: Array) -> NDArray[np.int8]:
    """e of each state, 0 to 6: 2^e h is of one size for all of them, a slowly fed h being about x b / |a|."""
    size = np.abs(a.astype(np.float64))
    largest = max(float(size.max(initial=0.0)), 2.0**-60)
    return np.asarray(
        np.clip(np.rint(np.log2(np.maximum(size / largest, 2.0**-60))) + SPREAD, 0, SPREAD), np.int8
    )


def scan_body(name: str, unit: Array | None = None) -> Any:
    """The GraphProto of a step; a and d are `name`.a and `name`.d outside. unit: what h is rounded to, as int16."""
    from onnx import TensorProto, helper, numpy_helper

    def node(op: str, inputs: Sequence[str], output: str, **attributes: Any) -> Any:
        return helper.make_node(op, list(inputs), [output], **attributes)

    free = "h_next" if unit is None else "h_free"
    nodes = [
        node("Unsqueeze", ("delta", "last"), "delta_column"), node("Unsqueeze", ("x", "last"), "x_column"),
        node("Unsqueeze", ("b", "middle"), "b_row"), node("Unsqueeze", ("c", "middle"), "c_row"),
        node("Mul", ("delta_column", f"{name}.a"), "rate"), node("Exp", ("rate",), "decay"),
        node("Mul", ("decay", "h"), "kept"), node("Mul", ("delta_column", "x_column"), "weight"),
        node("Mul", ("weight", "b_row"), "given"), node("Add", ("kept", "given"), free),
    ]  # fmt: skip
    constants = {"last": np.array([LAST]), "middle": np.array([MIDDLE])}
    if unit is not None:
        nodes += [
            node("Div", ("h_free", "unit"), "h_units"), node("Round", ("h_units",), "h_whole"),
            node("Clip", ("h_whole", "least", "most"), "h_codes"), node("Mul", ("h_codes", "unit"), "h_next"),
        ]  # fmt: skip
        ends = {"least": np.array(-32768, np.float32), "most": np.array(32767, np.float32)}
        constants |= {"unit": unit.astype(np.float32), **ends}
    nodes += [
        node("Mul", ("h_next", "c_row"), "read"), node("ReduceSum", ("read", "last"), "sum", keepdims=0),
        node("Mul", ("x", f"{name}.d"), "skip"), node("Add", ("sum", "skip"), "y"),
    ]  # fmt: skip
    infos = [
        [helper.make_tensor_value_info(value, TensorProto.FLOAT, None) for value in values]
        for values in (("h", "x", "delta", "b", "c"), ("h_next", "y"))
    ]
    arrays = [numpy_helper.from_array(value, role) for role, value in constants.items()]
    return helper.make_graph(nodes, "step", *infos, arrays)


# The algebra.


def value(name: str, axes: tuple[int, ...] = ()) -> Sum:
    """Something read, with axes added behind (-1) or before the last (-2)."""
    return ((("value", name, axes),),)


def plus(left: Sum, right: Sum) -> Sum:
    return tuple(sorted((*left, *right)))


def times(left: Sum, right: Sum) -> Sum:
    if len(left) * len(right) > MOST_TERMS:
        raise _Other
    return tuple(sorted(tuple(sorted((*one, *other))) for one in left for other in right))


def function(kind: str, argument: Sum) -> Sum:
    return (((kind, argument),),)


def widened(sums: Sum, axis: int) -> Sum:
    """Unsqueeze of every value in it."""

    def factor(one: Factor) -> Factor:
        if one[0] != "value":
            raise _Other
        return ("value", one[1], (*one[2], axis))

    return tuple(sorted(tuple(sorted(factor(one) for one in product)) for product in sums))


def model(x: str, delta: str, b: str, c: str, h: str, a: str, d: str) -> tuple[Sum, Sum]:
    """h and y of a step; d is "" where y has no such term."""
    step = value(delta, (LAST,))
    kept = times(function("exp", times(step, value(a))), value(h))
    after = plus(kept, times(times(step, value(x, (LAST,))), value(b, (MIDDLE,))))
    y = function("sum", times(after, value(c, (MIDDLE,))))
    return after, plus(y, times(value(d), value(x))) if d else y


@dataclass
class Body:
    """Values of a Scan's body as sums. constants: what it may read of arrays; rank: of a scanned row."""

    constants: Mapping[str, Array]
    rank: int
    values: dict[str, Sum]

    def of(self, name: str) -> Sum:
        """What a name stands for; a float constant stands for itself."""
        if name not in self.values and name not in self.constants:
            raise _Other
        return self.values.get(name) or value(name)

    def axis(self, node: Any) -> int:
        """The one axis of an Unsqueeze or ReduceSum, from the end of a value of rank + 1."""
        found = [a.ints[0] for a in node.attribute if a.name == "axes" and len(a.ints) == 1]
        if (
            len(node.input) > 1
            and node.input[1] in self.constants
            and self.constants[node.input[1]].size == 1
        ):
            found = [int(self.constants[node.input[1]].reshape(-1)[0])]
        if len(found) != 1:
            raise _Other
        return int(found[0] if found[0] < 0 else found[0] - self.rank - 1)

    def take(self, node: Any) -> None:
        """One node."""
        op, attributes = node.op_type, {a.name: a for a in node.attribute}
        arguments = [self.of(name) for name in node.input[: 1 if op in ("Unsqueeze", "ReduceSum") else None]]
        if op == "Identity":
            (found,) = arguments
        elif op in ("Add", "Mul"):
            found = (plus if op == "Add" else times)(*arguments)
        elif op == "Exp":
            found = function("exp", arguments[0])
        elif op == "Unsqueeze" and self.axis(node) in (LAST, MIDDLE):
            found = widened(arguments[0], self.axis(node))
        elif (
            op == "ReduceSum"
            and self.axis(node) == LAST
            and "keepdims" in attributes
            and not attributes["keepdims"].i
        ):
            found = function("sum", arguments[0])
        else:
            raise _Other
        self.values[node.output[0]] = found


@dataclass(frozen=True)
class Recognised:
    """A Scan as a SelectiveScan: its node, and new initialisers."""

    node: Any
    constants: tuple[Any, ...]


def recognised(
    node: Any, constants: Mapping[str, Array], shapes: Mapping[str, tuple[int, ...]], read: Collection[str]
) -> Recognised | None:
    """The SelectiveScan that an ONNX Scan is, None where it is something else.

    constants, shapes: of the values outside, by name. read: names that somebody reads. The state must begin with zeros,
    its last value must not be read, and all must be scanned forwards along one axis.
    """
    from onnx import helper, numpy_helper

    given: dict[str, Any] = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    body, axes = given["body"], {*given.get("scan_input_axes", [0]), *given.get("scan_output_axes", [0])}
    shape = shapes.get(node.input[-1], ())
    start = constants.get(node.input[0])
    plain = not any([*given.get("scan_input_directions", []), *given.get("scan_output_directions", [])])
    fits = given["num_scan_inputs"] == SCANNED and len(node.input) == len(body.input) == SCANNED + 1
    if not (fits and plain and len(node.output) == 2 and len({a % max(len(shape), 1) for a in axes}) == 1):
        return None
    if node.output[0] in read or start is None or start.any() or len(shape) not in (2, 3):
        return None
    inner = {t.name: numpy_helper.to_array(t) for t in body.initializer}
    inner |= {
        one.output[0]: numpy_helper.to_array(one.attribute[0].t)
        for one in body.node
        if one.op_type == "Constant" and one.attribute[0].HasField("t")
    }
    every = {**constants, **inner}
    try:
        roles = _roles(body, every, len(shape) - 1)
    except (_Other, ValueError, TypeError, RecursionError):
        return None
    if roles is None:
        return None
    order, a, d = roles
    name = node.name or node.output[1]
    channels, states = start.shape[-2:]
    real = every[a], every[d] if d else np.zeros(channels)
    if any(array.size != size for array, size in zip(real, (channels * states, channels), strict=True)):
        return None
    made = [numpy_helper.from_array(array.astype(np.float32).reshape(shape), f"{name}.{role}")
            for array, shape, role in zip(real, ((channels, states), (channels,)), "ad", strict=True)]  # fmt: skip
    scanned = [node.input[1 + i] for i in order]
    axis = next(iter(axes)) % len(shape)
    inputs = [*scanned, *(tensor.name for tensor in made)]
    return Recognised(
        helper.make_node("SelectiveScan", inputs, [node.output[1]], name, axis=axis), tuple(made)
    )


def _roles(body: Any, constants: Mapping[str, Array], rank: int) -> tuple[tuple[int, ...], str, str] | None:
    """Which scanned input is x, delta, b, c; the names of a and d ("" for none)."""
    names = [one.name for one in body.input]
    found = Body(constants, rank, {name: value(name) for name in names})
    for node in body.node:
        if node.op_type != "Constant":
            found.take(node)
    after, y = (found.of(one.name) for one in body.output)
    used = [sorted(n for n in names_in(part) if n in constants) for part in (after, y)]
    if len(used[0]) != 1 or len(rest := [n for n in used[1] if n != used[0][0]]) > 1:
        return None
    a, d = used[0][0], rest[0] if rest else ""
    for order in permutations(range(SCANNED)):
        x, delta, b, c = (names[1 + i] for i in order)
        if model(x, delta, b, c, names[0], a, d) == (after, y):
            return order, a, d
    return None


def names_in(sums: Sum) -> set[str]:
    """The values that a sum is made of."""
    found: set[str] = set()
    for factor in (factor for product in sums for factor in product):
        found |= {factor[1]} if factor[0] == "value" else names_in(factor[1])
    return found


def fuse_softplus(graph: Graph) -> Graph:
    """A Softplus that a SelectiveScan alone reads as its delta, transposed perhaps, becomes part of it: 8 bits then
    hold its argument, and small steps keep their precision."""
    made, readers = graph.producers(), graph.consumers()
    renamed: dict[str, str] = {}
    fused = set()
    for node in graph.nodes:
        if node.op != "SelectiveScan" or node.attributes["softplus"]:
            continue
        before, name = made.get(node.inputs[1]), node.inputs[1]
        while before is not None and len(readers[name]) == 1 and name not in graph.outputs:
            if before.op == "Softplus" and list(node.inputs).count(name) < 2:
                renamed[name] = before.inputs[0]
                fused.add(node.name)
            if before.op != "Transpose":
                break
            name = before.inputs[0]
            before = made.get(name)
    nodes = [
        replace(
            node, inputs=tuple(renamed.get(n, n) for n in node.inputs),
            attributes={**node.attributes, "softplus": 1} if node.name in fused else node.attributes,
        )
        for node in graph.nodes
        if not renamed.keys() & set(node.outputs)
    ]  # fmt: skip
    kept = {name: tensor for name, tensor in graph.tensors.items() if name not in renamed}
    return replace(graph, nodes=tuple(nodes), tensors=kept)


def watched_states(graph: Graph) -> Graph:
    """The same network with the states of every SelectiveScan named as an output, so that their range is observed."""
    nodes, tensors = [], dict(graph.tensors)
    for node in graph.nodes:
        if node.op == "SelectiveScan" and len(node.outputs) == 1:
            name = f"{node.name}.states"
            node = replace(node, outputs=(*node.outputs, name))
            tensors[name] = Tensor(name, (*graph.shape(node.inputs[0]), graph.shape(node.inputs[4])[1]))
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes), tensors=tensors)
