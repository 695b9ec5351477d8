"""What operators that work element by element share: reading, broadcasting, shapes, types, spelling.

Normal form of an operator on several values: its inputs in ONNX order, at least one of them an activation; constants
carry no batch axis. Where the activations' ranks differ, attribute `align` says, operand by operand, how many axes of
one are inserted before the first axis of one example.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from trine.compilers.graph import Array, Node, Shape
from trine.compilers.operators import (
    Case,
    Form,
    Operator,
    SourceNode,
    Spelled,
    Unsupported,
    same_batch,
    same_type,
)

Function = Callable[..., Array]
NO_REALS: Mapping[int, tuple[float, float]] = {}
VECTOR, SIGNAL, IMAGE = (37,), (4, 9), (3, 5, 4)


def same_shape(node: Node, inputs: Sequence[Shape]) -> list[Shape]:
    """Element by element: the output has the input's shape."""
    return [inputs[0]]


def to_bool(node: Node, inputs: Sequence[str]) -> list[str]:
    """The output is a truth value."""
    return ["bool"]


def require(source: SourceNode, kinds: str, index: int = 0) -> None:
    """Unsupported where an input's type is none of NumPy's kinds: "f" float, "i" and "u" integer, "b" bool."""
    if np.dtype(source.type(index)).kind not in kinds:
        raise Unsupported(f"{source.inputs[index]} is {source.type(index)}")


def apply(function: Function, dtype: Any, *operands: Array, **parameters: Any) -> Array:
    """The function in its operands' own type, without NumPy's warnings: infinities and NaN are answers."""
    with np.errstate(all="ignore"):
        return np.asarray(function(*operands, **parameters)).astype(dtype, copy=False)


def spell_aligned(node: Node, opset: int) -> list[Spelled]:
    """The node with operands of fewer axes widened behind the batch axis (`align`)."""
    align = node.attributes.get("align", (0,) * len(node.inputs))
    before, inputs = [], list(node.inputs)
    for i, count in enumerate(align):
        if count:
            axes, inputs[i] = f"{node.name}.axes{i}", f"{node.name}.operand{i}"
            constants = {axes: np.arange(1, count + 1, dtype=np.int64)}
            before.append(Spelled("Unsqueeze", [node.inputs[i], axes], [inputs[i]], {}, constants))
    attributes = {name: value for name, value in node.attributes.items() if name != "align"}
    return [*before, Spelled(node.op, inputs, node.outputs, attributes)]


def unary(
    name: str,
    function: Function,
    defaults: Mapping[str, float] | None = None,
    *,
    kinds: str = "f",
    reals: Mapping[int, tuple[float, float]] = NO_REALS,
    others: tuple[Mapping[str, float], ...] = (),
    first_opset: int = 13,
    to_truth: bool = False,
    spell: Callable[[Node, int], list[Spelled]] | None = None,
) -> Operator:
    """The record of an operator that maps each value by itself: function(x, **attributes).

    defaults: its float attributes and what ONNX gives them. kinds: of input types. reals: see `Operator`. others:
    attributes that get a case of their own. first_opset: that knows the operator. to_truth: the answer is a bool.
    """
    known = dict(defaults or {})

    def read(source: SourceNode) -> Node:
        require(source, kinds)
        attributes = {key: float(source.attributes.get(key, value)) for key, value in known.items()}
        return Node(name, source.name, source.inputs[:1], source.outputs[:1], attributes)

    def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
        x = arguments[0]
        return [apply(function, bool if to_truth else x.dtype, x, **node.attributes)]

    cases = [Case(label, (shape,), known) for label, shape in
             (("vector", VECTOR), ("signal", SIGNAL), ("image", IMAGE))]  # fmt: skip
    cases += [Case(f"attributes_{i}", (SIGNAL,), {**known, **other}) for i, other in enumerate(others)]
    forms = (
        [Form("plain", ((),), opsets=(first_opset, 999))]
        if first_opset > 13
        else [Form("scalar_an_example", ((),))]
    )
    forms += [
        Form(f"attributes_{i}", (SIGNAL,), other, opsets=(first_opset, 999)) for i, other in enumerate(others)
    ]
    return Operator(
        name, read, same_shape, run, tuple(cases), forms=tuple(forms), types=to_bool if to_truth else same_type,
        spell=spell, reals=reals,
    )  # fmt: skip


def operand(source: SourceNode, index: int) -> str:
    """Name of an operand less its batch axis. Raises Unsupported where a constant differs between examples."""
    name = source.inputs[index]
    if not source.is_constant(index):
        return name
    value, place = source.constants[name], example_axis(source)
    if place is None or value.ndim < place:
        return name
    axis = value.ndim - place
    if value.shape[axis] != 1:
        raise Unsupported(f"constant {name} {value.shape} differs between examples")
    return source.define(f"operand{index}", np.squeeze(value, axis))


def example_axis(source: SourceNode) -> int | None:
    """The batch axis of the operands counted from the end (1 is the last); None in a graph without one."""
    places = {
        None if (place := source.batch_of(name)) is None else len(source.shapes[name]) + 1 - place
        for name in source.inputs
        if name and name not in source.constants
    }
    if len(places) > 1:
        raise Unsupported("its inputs carry the batch on different axes")
    return places.pop()


def read_operands(source: SourceNode, first: int = 0) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Names of the operands from input `first` on in normal form, and the attribute `align` where it is needed.

    Raises Unsupported where the operands do not broadcast.
    """
    positions = range(first, len(source.inputs))
    activations = [i for i in positions if not source.is_constant(i)]
    if not activations:
        raise Unsupported("all its operands are constants")
    names = tuple(operand(source, i) for i in positions)
    shapes = [source.defined[n].shape if n in source.defined else source.shapes[n] for n in names]
    try:
        rank = len(np.broadcast_shapes(*shapes))
    except ValueError:
        raise Unsupported(f"shapes {' and '.join(map(str, shapes))} do not broadcast") from None
    align = tuple(
        0 if source.is_constant(i) else rank - len(shape) for i, shape in zip(positions, shapes, strict=True)
    )
    if example_axis(source) is not None and rank > max(len(source.shape(i)) for i in activations):
        raise Unsupported(f"shapes {' and '.join(map(str, shapes))} would broadcast over the batch axis")
    return names, {"align": align} if any(align) else {}


def aligned(node: Node, arguments: Sequence[Array]) -> list[Array]:
    """The operands [n, ...] of one rank, so that NumPy broadcasts them."""
    align = node.attributes.get("align", (0,) * len(arguments))
    return [
        x.reshape(x.shape[0], *(1,) * k, *x.shape[1:]) if k else x
        for x, k in zip(arguments, align, strict=True)
    ]


def joint_shape(node: Node, inputs: Sequence[Shape]) -> list[Shape]:
    """The shape operands broadcast to."""
    return [tuple(np.broadcast_shapes(*inputs))]


def widest_batch(source: SourceNode) -> list[int | None]:
    """The batch axis of the result: that of the operand with most axes."""
    same_batch(source)
    activations = [name for name in source.inputs if name and name not in source.constants]
    return [source.batch_of(max(activations, key=lambda name: len(source.shapes[name])))] * len(
        source.outputs
    )


def channel(seed: int = 3, low: float = -2.0, high: float = 2.0) -> Array:
    """A constant for cases: one value a channel."""
    return np.random.default_rng(seed).uniform(low, high, (4, 1)).astype(np.float32)


def operand_cases(low: float = -2.0) -> tuple[Case, ...]:
    """Cases of an operator on two values: every way of broadcasting, a constant on either side."""
    return (
        Case("same_shape", ((4, 9), (4, 9))),
        Case("one_a_channel", ((4, 9), (4, 1))),
        Case("both_broadcast", ((4, 1), (1, 9))),
        Case("lower_rank", ((3, 4, 9), (9,)), {"align": (0, 2)}),
        Case("constant_a_channel", ((4, 9),), constants=(channel(low=low),)),
        Case("constant_scalar", ((4, 9),), constants=(np.array([0.7], np.float32),)),
        Case("image", ((3, 5, 4), (3, 5, 4))),
        Case("one_value", ((1,), (1,))),
    )


TRUTHS = (
    Case("same_shape", ((4, 9), (4, 9)), dtypes=("bool", "bool")),
    Case("both_broadcast", ((4, 1), (1, 9)), dtypes=("bool", "bool")),
    Case("lower_rank", ((3, 4, 9), (9,)), {"align": (0, 2)}, dtypes=("bool", "bool")),
    Case("constant", ((4, 9),), constants=(np.arange(9) % 2 > 0,), dtypes=("bool",)),
)


def operand_forms(first_opset: int = 13, low: float = -2.0) -> tuple[Form, ...]:
    """Spellings of an operator on two values."""
    constant, opsets = channel(5, low), (first_opset, 999)
    return (
        Form("constant_first", ((4, 9),), {}, {0: constant}, opsets),
        Form("constant_with_batch_axis", ((4, 9),), {}, {1: constant[None]}, opsets),
        Form("constant_last_axis", ((4, 9),), {}, {1: constant.reshape(-1)[:1]}, opsets),
        Form("constant_rank_0", ((4, 9),), {}, {1: np.array(1.5, np.float32)}, opsets),
        Form("constant_widens", ((4, 1),), {}, {1: np.linspace(0.5, 2, 9, dtype=np.float32)}, opsets),
    )


def several(
    name: str,
    function: Function,
    cases: tuple[Case, ...] | None = None,
    *,
    kinds: str = "fiu",
    same_types: bool = True,
    to_truth: bool = False,
    reals: Mapping[int, tuple[float, float]] = NO_REALS,
    forms: tuple[Form, ...] | None = None,
    first_opset: int = 13,
    low: float = -2.0,
    commutes: bool = False,
) -> Operator:
    """The record of an operator on two or more operands that broadcast: function(a, b, ...), no attributes.

    same_types: all operands have the first one's type (else the result has it all the same). low: least constant in
    the cases. commutes: a constant is put last.
    """

    def read(source: SourceNode) -> Node:
        if commutes and source.is_constant(0):
            source = replace(source, inputs=source.inputs[::-1])
        for i in range(len(source.inputs)):
            require(source, kinds, i)
            if same_types and source.type(i) != source.type(0):
                raise Unsupported(f"operands of types {source.type(0)} and {source.type(i)}")
        names, attributes = read_operands(source)
        return Node(name, source.name, names, source.outputs[:1], attributes)

    def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
        operands = aligned(node, arguments)
        return [apply(function, bool if to_truth else operands[0].dtype, *operands)]

    return Operator(
        name, read, joint_shape, run, operand_cases(low=low) if cases is None else cases,
        forms=operand_forms(first_opset, low) if forms is None else forms,
        types=to_bool if to_truth else same_type, batch=widest_batch, spell=spell_aligned, reals=reals,
    )  # fmt: skip
