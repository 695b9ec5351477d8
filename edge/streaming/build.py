"""From an `IntegerProgram` to a `StreamProgram`: which columns each step makes, where those it reads come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from trine.compilers.graph import Array
from trine.devices.errors import InputError
from trine.edge.program import IntegerProgram, QuantizedTensor, Step
from trine.edge.streaming.along import Analysis
from trine.edge.streaming.head import make_head
from trine.edge.streaming.program import (
    Gather,
    Hold,
    Mask,
    Operation,
    Piece,
    Push,
    Ring,
    Slide,
    StreamProgram,
    Timed,
    tail,
)
from trine.edge.streaming.rules import Along, Reach, stream_of


@dataclass
class Builder:
    """One program on its way to a step function."""

    program: IntegerProgram
    found: Analysis
    kind: str
    hop: int
    operations: list[Operation] = field(default_factory=list)
    tensors: dict[str, QuantizedTensor] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    lags: dict[str, int] = field(default_factory=dict)
    summed: dict[str, int] = field(default_factory=dict)
    kept: dict[str, Array] = field(default_factory=dict)
    gathered: dict[tuple[object, ...], str] = field(default_factory=dict)

    def build(self) -> StreamProgram:
        """All operations of a step, the rings they need, and what follows the layers along time."""
        for name in self.program.inputs:
            if name in self.found.timed:
                x = self.found.timed[name]
                self.declare(name, name, x.axis, self.shift(x))
        for i, step in enumerate(self.program.steps):
            if i in self.found.along:
                self.add_step(step, self.found.along[i], self.found.made[i])
        head = make_head(self)
        rings = {name: self.ring(name, lag) for name, lag in self.lags.items()}
        pieces = replace(self.program, steps=tuple(self.steps), tensors=self.tensors)
        return StreamProgram(
            self.program, self.kind, self.hop, self.found.timed, tuple(self.in_order(rings)), pieces, rings,
            self.summed, self.kept, head,
        )  # fmt: skip

    # Columns.

    def shift(self, x: Timed) -> int:
        """New columns a step."""
        return self.hop // x.rate

    def first_new(self, x: Timed) -> int:
        """Where the new columns begin: in a window its own column numbers, in a sequence 0."""
        return x.length - x.right - self.shift(x) if self.kind == "window" else 0

    def declare(self, value: str, name: str, axis: int, columns: int) -> str:
        """Declare a value that holds some columns of a tensor."""
        tensor = self.program.tensors[name]
        shape = (*tensor.shape[:axis], columns, *tensor.shape[axis + 1 :])
        self.tensors[value] = replace(tensor, name=value, shape=shape)
        return value

    def parts(self, y: Timed) -> list[tuple[str, int, int]]:
        """(value, first column, columns) a step makes of a tensor."""
        new = (tail(y.name), self.first_new(y), self.shift(y) + (y.right if self.kind == "window" else 0))
        if self.kind == "window" and y.left:
            return [(f"{y.name}@left", 0, y.left), new]
        return [new]

    def source(self, x: Timed) -> str:
        """The value of a tensor's new columns."""
        return x.name if x.name in self.program.inputs else tail(x.name)

    def gather(self, x: Timed, columns: Sequence[int]) -> str:
        """The value that holds these columns of a tensor, made where it is none yet."""
        key = (x.name, *columns)
        if key in self.gathered:
            return self.gathered[key]
        pieces: list[Piece] = []
        new, shift = self.first_new(x), self.shift(x)
        inside = all(new <= c < new + shift + x.right for c in columns)
        for c in columns:
            if self.kind == "window" and c < x.left:
                place = Piece(f"{x.name}@left", False, c, 1)
            elif inside or c >= new + shift:
                place = Piece(self.source(x), False, c - new, 1)
            else:
                lag = new + shift - c
                self.lags[x.name] = max(self.lags.get(x.name, 0), lag)
                place = Piece(x.name, True, lag, 1)
            extend(pieces, place)
        if len(pieces) == 1 and not pieces[0].ring and self.whole(pieces[0], x.axis):
            value = pieces[0].source
        else:
            value = self.declare(f"{x.name}@{len(self.gathered)}", x.name, x.axis, len(columns))
            self.operations.append(Gather(value, x.axis, tuple(pieces)))
        self.gathered[key] = value
        return value

    def whole(self, piece: Piece, axis: int) -> bool:
        """Whether a piece is all of its value."""
        full = self.tensors[piece.source].shape[axis]
        return piece.start == 0 and piece.step == 1 and piece.count == full

    # Steps.

    def add_step(self, step: Step, along: Along, y: Timed) -> None:
        """A step along time: each of its parts on the columns that part reads."""
        rule = stream_of(step.kernel)
        if rule is None:
            raise ValueError(f"{step.name}: no rule for {step.kernel}")
        for value, start, count in self.parts(y):
            inputs, pads = [], (0, 0)
            for name, reach in zip(step.inputs, along.reaches, strict=True):
                if reach is None:
                    inputs.append(name)
                    continue
                read, pads = self.columns_read(self.found.timed[name], y, reach, start, count)
                inputs.append(self.gather(self.found.timed[name], read))
            kept = [state.tensor.name for state in along.state]
            outputs = [self.declare_part(value, y, n, count) for n in step.outputs if n not in kept]
            label = f"{step.name}{value.removeprefix(y.name).removesuffix('@tail')}"
            outputs += kept
            made = replace(
                rule.part(step, along, pads, count), name=label,
                inputs=(*inputs, *kept), output=outputs[0], also=tuple(outputs[1:]),
            )  # fmt: skip
            self.operations.append(made)
            self.steps.append(made)
        for state in along.state:
            self.tensors[state.tensor.name] = state.tensor
            self.kept[state.tensor.name] = state.initial
            if y.delay:
                self.operations.append(Hold(state.tensor.name, y.delay // self.shift(y)))
        for name in step.outputs:
            self.mask(name)

    def declare_part(self, value: str, y: Timed, name: str, count: int) -> str:
        """Declare what a part writes at one of a step's outputs."""
        return self.declare(value.replace(y.name, name, 1), name, y.axis, count)

    def columns_read(
        self, x: Timed, y: Timed, reach: Reach, start: int, count: int
    ) -> tuple[list[int], tuple[int, int]]:
        """The columns of x for `count` columns of y, and how much of the window is padding before and after them."""
        if self.kind == "sequence":
            begin = x.delay - reach.stride * y.delay + reach.first + reach.stride * start
        else:
            begin = reach.stride * start + reach.first
        end = begin + reach.stride * (count - 1) + reach.last - reach.first
        wanted = range(begin, end + 1, reach.gap if count == 1 else 1)
        if self.kind == "sequence":
            return list(wanted), (0, 0)
        inside = [c for c in wanted if 0 <= c < x.length]
        return inside, (sum(c < 0 for c in wanted), sum(c >= x.length for c in wanted))

    def mask(self, name: str) -> None:
        """In a sequence, what is computed of columns before its start gives way to what readers take for padding."""
        if self.kind != "sequence" or name not in self.found.timed:
            return
        y, outside = self.found.timed[name], self.outside(name)
        if y.delay and outside is not None:
            self.operations.append(Mask(tail(name), y.axis, self.shift(y), y.delay, outside))

    def outside(self, name: str) -> int | None:
        """What columns before the start of a sequence hold; None where no layer reads any. Raises InputError."""
        values = {}
        for i, along in self.found.along.items():
            step = self.program.steps[i]
            for source, reach in zip(step.inputs, along.reaches, strict=True):
                if source == name and reach is not None and reach.first < 0:
                    values[step.name] = along.outside
        if len(set(values.values())) > 1:
            layers = " and ".join(values)
            raise InputError(
                f"{layers} both read {name} before its start, one with padding that counts and one with padding that "
                "does not; put an Identity or another layer between them and it"
            )
        return next(iter(values.values()), None)

    # State.

    def ring(self, name: str, lag: int) -> Ring:
        """The ring of a tensor: whole hops of columns, so that new columns lie in one run."""
        x = self.found.timed[name]
        shift = self.shift(x)
        return Ring(x, -(-lag // shift) * shift, shift, self.initial(x))

    def initial(self, x: Timed) -> Array:
        """One column as it stands before the first sample: padding, or in a window the answer to zeros."""
        tensor = self.program.tensors[x.name]
        shape = (*tensor.shape[: x.axis], 1, *tensor.shape[x.axis + 1 :])
        if self.kind == "sequence":
            outside = self.outside(x.name)
            return np.full(shape, tensor.zero_point if outside is None else outside, tensor.dtype)
        return np.asarray(np.take(self.at_rest()[x.name], [x.left], x.axis))

    def at_rest(self) -> dict[str, Array]:
        """Every tensor along time for a window of zeros."""
        if not hasattr(self, "_at_rest"):
            tensors = self.program.tensors
            zeros = {
                n: np.full((1, *tensors[n].shape), tensors[n].zero_point, tensors[n].dtype)
                for n in self.program.inputs
            }
            values = {n: zeros[n][0] for n in zeros}
            for step, results in self.program.trace_all(zeros):
                values.update(
                    {n: r[0] for n, r in zip(step.outputs, results, strict=True) if n in self.found.timed}
                )
            self._at_rest = values
        return self._at_rest

    def in_order(self, rings: dict[str, Ring]) -> list[Operation]:
        """The operations with every ring's slide and push right after its new columns are there."""
        ordered: list[Operation] = []
        for name in self.program.inputs:
            ordered += self.stored(name, rings)
        for i, operation in enumerate(self.operations):
            ordered.append(operation)
            if isinstance(operation, Mask):
                made = [operation.source]
            elif isinstance(operation, Step):
                masked = {o.source for o in self.operations[i + 1 :] if isinstance(o, Mask)}
                made = [value for value in operation.outputs if value not in masked]
            else:
                continue
            for value in made:
                ordered += self.stored(value.removesuffix("@tail"), rings) if value.endswith("@tail") else []
        return ordered

    def stored(self, name: str, rings: dict[str, Ring]) -> list[Operation]:
        """Slide and push of a tensor that has a ring."""
        if name not in rings:
            return []
        x = self.found.timed[name]
        slide = [Slide(name, self.source(x), x.interior)] if name in self.summed else []
        return [*slide, Push(name, self.source(x))]


def extend(pieces: list[Piece], place: Piece) -> None:
    """Add a column, to the last piece where it goes on at an even pace."""
    if pieces and pieces[-1].source == place.source and pieces[-1].ring == place.ring:
        last = pieces[-1]
        pace = last.start - place.start if place.ring else place.start - last.start
        if last.count == 1 and pace > 0:
            pieces[-1] = replace(last, count=2, step=pace)
            return
        if last.count > 1 and pace == last.step * last.count:
            pieces[-1] = replace(last, count=last.count + 1)
            return
    pieces.append(place)
