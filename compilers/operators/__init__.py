"""The operators of `Graph`: one file each, exporting one record named OPERATOR.

A record says how an ONNX node becomes a `Node` (or why it cannot), the shape of its outputs, and its meaning
in NumPy. Packages outside Trine add operators through the entry-point group `trine.operators`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module, metadata
from pkgutil import iter_modules
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array, Node, Shape


class Unsupported(Exception):
    """An ONNX node that cannot be lowered; the message is the reason shown to the user."""


@dataclass(frozen=True)
class SourceNode:
    """An ONNX node as an operator's `read` sees it, already freed of the batch axis.

    inputs, outputs: value names, "" where absent. shapes: of one example of activations, whole of constants.
    constants: the inputs whose value is known. opset: of the model. defined: constants `read` made.
    types: NumPy names. batch: where the batch axis of each activation lies in the file; None where it has none (a
    graph read whole).
    """

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    shapes: Mapping[str, Shape]
    constants: Mapping[str, Array]
    opset: int
    defined: dict[str, Array] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)
    batch: Mapping[str, int | None] = field(default_factory=dict)

    def is_constant(self, index: int) -> bool:
        """Whether the input is there and its value is known."""
        return self.has(index) and self.inputs[index] in self.constants

    def shape(self, index: int = 0) -> Shape:
        """Shape of an input: of one example for an activation, whole for a constant."""
        return self.shapes[self.inputs[index]]

    def define(self, role: str, value: Array) -> str:
        """Make a constant of the node (a folded weight, say) and return its name, unique by node and role."""
        name = f"{self.name}.{role}"
        while name in self.constants or name in self.shapes:
            name += "_"
        self.defined[name] = value
        return name

    def integer(self, name: str, default: int) -> int:
        """An integer attribute."""
        return int(self.attributes.get(name, default))

    def constant(self, index: int, what: str) -> Array:
        """The value of an input that must be known when compiling; Unsupported names it otherwise."""
        name = self.inputs[index]
        if name not in self.constants:
            raise Unsupported(f"{what} ({name}) is computed at run time; it must be a constant")
        return self.constants[name]

    def scalar(self, index: int, what: str) -> Array:
        """A constant input of one entry, as an array of no axes; Unsupported where it has more or none."""
        value = self.constant(index, what)
        if value.size != 1:
            raise Unsupported(f"{what} ({self.inputs[index]}) is {value.shape}; it has one value")
        return value.reshape(())

    def has(self, index: int) -> bool:
        """Whether the optional input is there."""
        return index < len(self.inputs) and bool(self.inputs[index])

    def type(self, index: int = 0) -> str:
        """NumPy type of an input."""
        return self.types.get(self.inputs[index], "float32")

    def batch_of(self, name: str | None = None) -> int | None:
        """Where the batch axis of an activation lies (the first input, where none is named)."""
        return self.batch.get(name or self.inputs[0], 0)

    def file_shape(self, index: int = 0) -> Shape:
        """Shape of an activation as in the file, with its batch axis of 1."""
        shape, batch = self.shape(index), self.batch_of(self.inputs[index])
        return shape if batch is None else (*shape[:batch], 1, *shape[batch:])

    def axis(self, axis: int, name: str | None = None) -> int:
        """An ONNX axis (batch counted, negative allowed) of an activation as an axis of one example."""
        batch = self.batch_of(name)
        rank = len(self.shapes[name or self.inputs[0]]) + (batch is not None)
        if not -rank <= axis < rank:
            raise Unsupported(f"axis {axis} is out of range for rank {rank}")
        axis %= rank
        if axis == batch:
            raise Unsupported("works along the batch axis; each example must be computed on its own")
        return axis if batch is None else axis - (axis > batch)

    def first_is_batch(self) -> None:
        """For operators whose first axis is the batch by definition (Conv, pools): Unsupported elsewhere."""
        if self.batch_of() not in (0, None):
            raise Unsupported(f"the batch must be the first axis here, not axis {self.batch_of()}")


@dataclass(frozen=True)
class Case:
    """One check of an operator in normal form: its activations' shapes, then its constants.

    dtypes: the activations' NumPy types; float32 where none are given. outputs: how many the node has.
    """

    name: str
    shapes: tuple[Shape, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    constants: tuple[Array | None, ...] = ()
    dtypes: tuple[str, ...] = ()
    outputs: int = 1


@dataclass(frozen=True)
class Form:
    """One way ONNX spells an operator, a check of `read`: attributes as in the file, the batch axis counted.

    shapes: of one example, of the activations. constants: by input position, None where the optional input is
    absent; activations take the other positions in order. opsets: first and last that allow the spelling.
    """

    name: str
    shapes: tuple[Shape, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    constants: Mapping[int, Array | None] = field(default_factory=dict)
    opsets: tuple[int, int] = (13, 999)


def no_macs(node: Node, inputs: Sequence[Shape], output: Shape) -> int:
    """For operators without multiply-accumulates."""
    return 0


def same_type(node: Node, inputs: Sequence[str]) -> list[str]:
    """Every output has the first input's type."""
    return [inputs[0]] * len(node.outputs)


def same_batch(source: SourceNode) -> list[int | None]:
    """The batch axis of every output lies where that of the activations lies, counted from the end where ranks differ.

    Raises Unsupported where two activations disagree.
    """
    places = set()
    names = [name for name in source.inputs if name and name not in source.constants]
    for name in names:
        place = source.batch_of(name)
        places.add(None if place is None else place - len(source.shapes[name]))
    if len(places) > 1:
        batches = ", ".join(f"{name}: axis {source.batch_of(name)}" for name in names)
        raise Unsupported(f"its inputs carry the batch on different axes ({batches})")
    return [source.batch_of(names[0])] * len(source.outputs)


@dataclass(frozen=True)
class Spelled:
    """An ONNX node to be written, batch axis first in every activation; constants: new ones by name."""

    op: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    constants: Mapping[str, Array] = field(default_factory=dict)
    domain: str = ""


@dataclass(frozen=True)
class Operator:
    """One operator of `Graph`.

    read(source) -> Node in normal form (see each file), raising Unsupported with the reason.
    shapes(node, input shapes) -> output shapes. run(node, arguments [n, *shape]) -> outputs, the definition.
    macs(node, input shapes, output shape) -> multiply-accumulates of one example.
    types(node, input types) -> output types. batch(source) -> where each output's batch axis lies in the file.
    spell(node, opset) -> the ONNX nodes that mean a normal form, where they are not the node as it stands; names they
    add begin with the node's name.
    reals: by input position, where its values must lie for a real, finite answer; checks draw them there.
    cases check run, shapes and macs; forms check read. An operator whose `read` always answers another
    (Flatten: a Reshape) never stands in a `Graph` and has forms only.
    """

    name: str
    read: Callable[[SourceNode], Node]
    shapes: Callable[[Node, Sequence[Shape]], list[Shape]]
    run: Callable[[Node, Sequence[Array]], list[Array]]
    cases: tuple[Case, ...]
    macs: Callable[[Node, Sequence[Shape], Shape], int] = no_macs
    forms: tuple[Form, ...] = ()
    types: Callable[[Node, Sequence[str]], list[str]] = same_type
    batch: Callable[[SourceNode], list[int | None]] = same_batch
    spell: Callable[[Node, int], list[Spelled]] | None = None
    domain: str = ""
    reals: Mapping[int, tuple[float, float]] = field(default_factory=dict)


@cache
def operators() -> Mapping[str, Operator]:
    """All operators by ONNX name: the files of this folder, then entry points."""
    found: dict[str, Operator] = {}
    for module in sorted(info.name for info in iter_modules(__path__)):
        record = import_module(f"{__name__}.{module}").OPERATOR
        found[record.name] = record
    for entry in metadata.entry_points(group="trine.operators"):
        record = entry.load()
        found[record.name] = record
    return found


def floats(values: Any) -> NDArray[np.float32]:
    """Any array as float32 (the only float type inside a `Graph`)."""
    return np.asarray(values, np.float32)
