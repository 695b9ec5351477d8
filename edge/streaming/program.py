"""`StreamProgram`: an `IntegerProgram` as a function of each new hop of samples and a state; its definition in NumPy.

Two kinds. "sequence": every tensor keeps a time axis, and the outputs are the next columns of the answer to the whole
signal since the reset; what follows from the last state of a recurrent layer is the answer to the signal so far.
"window": the outputs have no time axis, and are the answer to the last `window` samples; those before the reset count
as zeros. Both are bit for bit what `IntegerProgram.run` gives for that signal.

Of every tensor along time a step computes the new columns only: the `tail`, and in a window that begins or ends in
padding the columns at its `left` and right end, which differ from window to window. Older columns that some layer still
reads lie in a ring.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trine.compilers.graph import Array
from trine.edge.operators import kernels
from trine.edge.program import IntegerProgram, QuantizedTensor, Step


@dataclass(frozen=True)
class Timed:
    """A tensor along time. axis: its time axis. rate: samples of the signal a column. length: columns of the program.

    delay: in a sequence, how many columns the newest one lags behind the signal. left, right: in a window, how many
    columns at its ends see the padding there.
    """

    name: str
    axis: int
    rate: int
    length: int
    delay: int = 0
    left: int = 0
    right: int = 0

    @property
    def interior(self) -> int:
        """Columns of a window that are the same in the next one, but for their place."""
        return self.length - self.left - self.right


@dataclass(frozen=True)
class Ring:
    """The last `columns` columns of a tensor, part of the state. initial: one column as it stands after a reset."""

    tensor: Timed
    columns: int
    shift: int
    initial: Array


@dataclass(frozen=True)
class Piece:
    """Columns start, start + step, ... of a value; of a ring, `start` counts back from its newest column, 1."""

    source: str
    ring: bool
    start: int
    count: int
    step: int = 1


@dataclass(frozen=True)
class Gather:
    """Columns put one behind the other under a name. One piece without gaps of a value moves nothing."""

    name: str
    axis: int
    pieces: tuple[Piece, ...]

    @property
    def alias(self) -> Piece | None:
        """The piece, where its columns lie in one run already."""
        (first, *more) = self.pieces
        return None if more or first.ring or (first.step > 1 and first.count > 1) else first


@dataclass(frozen=True)
class Push:
    """The first columns of a value become the newest of a ring, the oldest leave it."""

    ring: str
    source: str


@dataclass(frozen=True)
class Slide:
    """Running sums of a tensor's interior, before the push: the new columns come in, the oldest `interior` leave."""

    ring: str
    source: str
    interior: int


@dataclass(frozen=True)
class Mask:
    """Columns before the signal's start are padding, `value`: those of numbers below `delay`, `shift` a step."""

    source: str
    axis: int
    shift: int
    delay: int
    value: int


@dataclass(frozen=True)
class MeanOf:
    """A mean over all of time: sums of the interior, and the columns at the ends, through the step's requantiser."""

    step: Step
    ring: str
    ends: tuple[Piece, ...]


@dataclass(frozen=True)
class Hold:
    """A kept value stays as after a reset in the first `steps` steps, whose columns lie before the signal's start."""

    kept: str
    steps: int


Operation = Gather | Push | Slide | Mask | MeanOf | Hold | Step


@dataclass(frozen=True)
class State:
    """Everything that goes from one step to the next, of n streams. rings: [n, *shape], oldest column first.

    sums: int32 [n, elements of a column], without zero points. kept: values of steps with a state. age: steps since the
    reset.
    """

    rings: Mapping[str, Array]
    sums: Mapping[str, Array]
    kept: Mapping[str, Array]
    age: int = 0


@dataclass(frozen=True)
class StreamProgram:
    """A program as a step function.

    program: what it was made from. kind: "sequence" or "window". hop: new samples a step. timed: tensors along time.
    operations: of a step, in order. pieces: every value of a step, and the layers among the operations. rings by tensor
    name. summed: rings with running sums, and their elements a column. kept: values of steps with a state, as after a
    reset. head: what follows the layers along time: in a window computed whole, in a sequence from the last
    states of layers that have one.
    """

    program: IntegerProgram
    kind: str
    hop: int
    timed: Mapping[str, Timed]
    operations: tuple[Operation, ...]
    pieces: IntegerProgram
    rings: Mapping[str, Ring]
    summed: Mapping[str, int] = field(default_factory=dict)
    kept: Mapping[str, Array] = field(default_factory=dict)
    head: IntegerProgram | None = None

    @property
    def window(self) -> int:
        """Samples of the program's input."""
        return max(t.length * t.rate for t in self.timed.values() if t.name in self.program.inputs)

    @property
    def latency(self) -> int:
        """Samples by which the outputs of a sequence lag behind the signal; 0 for a causal network and for a window."""
        if self.kind == "window":
            return 0
        late = [self.timed[n].delay * self.timed[n].rate for n in self.program.outputs if n in self.timed]
        return max(late, default=0)

    def columns(self, name: str) -> int:
        """Columns of an input or output a step takes or gives; of a tensor without time axis, 1."""
        return self.hop // self.timed[name].rate if self.along_time(name) else 1

    def along_time(self, name: str) -> bool:
        """Whether an input or output is a stream, a few columns a step; else it is given whole at each step."""
        return name in self.timed and (name in self.program.inputs or self.kind == "sequence")

    def piece(self, name: str) -> QuantizedTensor:
        """An input or output as one step takes or gives it, in ONNX order."""
        tensor = self.program.tensors[name]
        if not self.along_time(name):
            return tensor
        shape = list(tensor.shape)
        shape[self.timed[name].axis] = self.columns(name)
        return QuantizedTensor(name, tuple(shape), tensor.scale, tensor.zero_point, tensor.dtype)

    def reset(self, n: int = 1) -> State:
        """The state of n streams that have seen nothing."""
        rings = {}
        for name, ring in self.rings.items():
            whole = np.repeat(ring.initial, ring.columns, axis=ring.tensor.axis)
            rings[name] = np.repeat(whole[None], n, axis=0)
        sums = {name: np.repeat(self.initial_sums(name)[None], n, axis=0) for name in self.summed}
        kept = {name: np.repeat(value[None], n, axis=0) for name, value in self.kept.items()}
        return State(rings, sums, kept)

    def initial_sums(self, name: str) -> Array:
        """Running sums after a reset: every column is the ring's first."""
        ring = self.rings[name]
        return np.asarray(ring.initial.astype(np.int32).ravel() * ring.tensor.interior, np.int32)

    def step(self, state: State, inputs: Mapping[str, Array]) -> tuple[dict[str, Array], State]:
        """One hop: stored inputs {name: [n, *piece shape]} to stored outputs, and the state after."""
        values: dict[str, Array] = dict(inputs)
        rings, sums, kept = dict(state.rings), dict(state.sums), dict(state.kept)
        for operation in self.operations:
            if isinstance(operation, Step):
                self.compute(operation, values, kept)
            elif isinstance(operation, Gather):
                parts = [taken(piece, values, rings, operation.axis) for piece in operation.pieces]
                values[operation.name] = np.concatenate(parts, axis=operation.axis + 1)
            elif isinstance(operation, Push):
                ring = self.rings[operation.ring]
                new = columns_of(values[operation.source], ring.tensor.axis, 0, ring.shift)
                joined = np.concatenate([rings[operation.ring], new], axis=ring.tensor.axis + 1)
                rings[operation.ring] = columns_of(joined, ring.tensor.axis, ring.shift, ring.columns)
            elif isinstance(operation, Slide):
                self.slide(operation, values, rings, sums)
            elif isinstance(operation, Mask):
                before = min(max(operation.delay - state.age * operation.shift, 0), operation.shift)
                value = values[operation.source].copy()
                np.moveaxis(value, operation.axis + 1, 0)[:before] = operation.value
                values[operation.source] = value
            elif isinstance(operation, Hold):
                if state.age < operation.steps:
                    kept[operation.kept] = state.kept[operation.kept]
            else:
                values[operation.step.output] = self.mean(operation, values, sums)
        if self.head is not None and self.head.outputs:
            values.update(self.head.run({name: values[name] for name in self.head.inputs}))
        outputs = {name: values[self.output_value(name)] for name in self.program.outputs}
        return outputs, State(rings, sums, kept, state.age + 1)

    def output_value(self, name: str) -> str:
        """The value of a step that an output is."""
        return tail(name) if self.along_time(name) and name not in self.program.inputs else name

    def compute(self, step: Step, values: dict[str, Array], kept: dict[str, Array]) -> None:
        """Run a step of the pieces; what it keeps for the next call comes from and goes to `kept`."""
        arguments = [kept[name] if name in kept else values[name] for name in step.inputs]
        found = kernels()[step.kernel].run(self.pieces, step, arguments)
        results = list(found) if step.also else [np.asarray(found)]
        for name, value in zip(step.outputs, results, strict=True):
            values[name] = value
            if name in kept:
                kept[name] = value

    def slide(
        self,
        operation: Slide,
        values: Mapping[str, Array],
        rings: Mapping[str, Array],
        sums: dict[str, Array],
    ) -> None:
        """Exact running sums: int32, no rounding anywhere."""
        ring = self.rings[operation.ring]
        axis, n = ring.tensor.axis, len(rings[operation.ring])
        new = columns_of(values[operation.source], axis, 0, ring.shift)
        old = columns_of(rings[operation.ring], axis, ring.columns - operation.interior, ring.shift)
        change = (new.astype(np.int32) - old.astype(np.int32)).sum(axis=axis + 1, dtype=np.int32)
        sums[operation.ring] = sums[operation.ring] + change.reshape(n, -1)

    def mean(self, operation: MeanOf, values: Mapping[str, Array], sums: Mapping[str, Array]) -> Array:
        """The mean of a whole window from its running sums."""
        step, tensor = operation.step, self.program.tensors[operation.step.inputs[0]]
        axis = self.timed[tensor.name].axis
        total = sums[operation.ring].astype(np.int64)
        for piece in operation.ends:
            end = columns_of(values[piece.source], axis, piece.start, piece.count).astype(np.int64)
            total = total + end.sum(axis=axis + 1).reshape(total.shape)
        total -= tensor.zero_point * tensor.shape[axis]
        q = step.requantizer.apply(total, axis=0)
        return np.asarray(q.reshape(len(q), *self.program.tensors[step.output].shape))

    def run(self, inputs: Mapping[str, Array], state: State | None = None) -> tuple[dict[str, Array], State]:
        """Many hops: stored signals {name: [n, ..., columns, ...]}; an input without time axis [n, hops, *shape].

        Returns the outputs of every hop {name: [n, hops, *piece shape]}, and the state after the last.
        """
        name = next(n for n in self.program.inputs if self.along_time(n))
        hops = inputs[name].shape[self.timed[name].axis + 1] // self.columns(name)
        state = state or self.reset(len(inputs[name]))
        found: dict[str, list[Array]] = {n: [] for n in self.program.outputs}
        for i in range(hops):
            given = {n: self.hop_of(n, inputs[n], i) for n in self.program.inputs}
            outputs, state = self.step(state, given)
            for n, value in outputs.items():
                found[n].append(value)
        return {n: np.stack(parts, axis=1) for n, parts in found.items()}, state

    def hop_of(self, name: str, signal: Array, i: int) -> Array:
        """What an input gives at hop i of a signal."""
        if not self.along_time(name):
            return np.asarray(signal[:, i])
        count = self.columns(name)
        return columns_of(signal, self.timed[name].axis, i * count, count)


def tensor_of(value: str, timed: Mapping[str, Timed]) -> str:
    """The tensor along time of which a value holds columns; the value's own name where it is none."""
    name = value
    while name and name not in timed:
        name = name.rpartition("@")[0]
    return name or value


def tail(name: str) -> str:
    """The new columns of a tensor, and those after them that see the padding at the window's end."""
    return f"{name}@tail"


def columns_of(values: Array, axis: int, start: int, count: int) -> Array:
    """Columns start to start + count of [n, *shape] with time on `axis`."""
    index: list[Any] = [slice(None)] * values.ndim
    index[axis + 1] = slice(start, start + count)
    return np.asarray(values[tuple(index)])


def taken(piece: Piece, values: Mapping[str, Array], rings: Mapping[str, Array], axis: int) -> Array:
    """The columns of a piece."""
    source = rings[piece.source] if piece.ring else values[piece.source]
    start = source.shape[axis + 1] - piece.start if piece.ring else piece.start
    index: list[Any] = [slice(None)] * source.ndim
    index[axis + 1] = slice(start, start + (piece.count - 1) * piece.step + 1, piece.step)
    return np.asarray(source[tuple(index)])
