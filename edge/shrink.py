"""What a program would take if the network were smaller: fewer hidden channels, a shorter input.

Sizes are worked out without building the smaller network: every tensor's bytes and every layer's weights are
scaled, and the arena is planned anew. What cannot shrink (the network's outputs, copies of its input when
channels go) stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil

from trine.edge.c.layout import LaidOut, lay_out
from trine.edge.c.planned import operations_of, unique_steps
from trine.edge.c.schedule import schedule_for
from trine.edge.lowbit import constant_bytes
from trine.edge.memory import Buffer, Operation, plan_memory
from trine.edge.memory.model import aligned
from trine.edge.program import IntegerProgram, Step

CHANNEL_BYTES = 16  # `trine_channel` of the C print
SEARCH_STATES = 500  # of the plan's order search: an estimate needs no optimum


@dataclass(frozen=True)
class Sizes:
    """Bytes of the parts of a deployment that depend on the network's size."""

    arena: int
    io: int
    constants: int


@dataclass(frozen=True)
class Shrinker:
    """A program with the question "how large would it be" answered by `sizes`."""

    program: IntegerProgram
    core: str

    @cached_property
    def laid_out(self) -> LaidOut:
        """The program as the C print lays it out."""
        return lay_out(unique_steps(self.program))

    @cached_property
    def layout(self) -> tuple[list[Operation], list[Buffer]]:
        """Operations and buffers of the memory plan; without placed parts, which would shrink together."""
        operations, buffers = operations_of(self.laid_out, schedule_for(self.core))
        return [replace(o, parts=()) for o in operations], buffers

    @cached_property
    def narrow(self) -> frozenset[str]:
        """Tensors whose channels are the network's choice: between two layers with weights."""
        program = self.laid_out.program
        chosen: set[str] = set()
        for step in program.steps:
            if (has_weights(step) and not is_depthwise(step)) or chosen.intersection(step.inputs):
                chosen.add(step.output)
        given = set(program.outputs)
        for step in reversed(program.steps):
            if step.output in given and (not has_weights(step) or is_depthwise(step)):
                given.update(step.inputs)
        return frozenset(chosen - given)

    @cached_property
    def least_channels(self) -> int:
        """Channels of the narrowest hidden layer; 0 where no layer can be narrower."""
        program = self.laid_out.program
        return min((program.tensors[s.output].shape[0] for s in program.steps if self.narrows(s)), default=0)

    @property
    def dense(self) -> list[bool]:
        """Which operations of the layout are dense layers."""
        return [step.kernel == "dense" for step in self.laid_out.program.steps]

    def narrows(self, step: Step) -> bool:
        """Whether a layer's channels are the network's own choice."""
        return has_weights(step) and step.output in self.narrow

    @cached_property
    def long(self) -> frozenset[str]:
        """Tensors that get shorter with the input: up to a dense layer or a mean over positions."""
        program = self.laid_out.program
        found = set(program.inputs)
        for step in program.steps:
            shape = program.tensors[step.output].shape
            flat = step.kernel == "dense" or (len(shape) > 1 and max(shape[1:]) == 1)
            if found.intersection(step.inputs) and not flat and step.kernel not in ("mean", "mean_axes"):
                found.add(step.output)
        return frozenset(found)

    @cached_property
    def whole(self) -> Sizes:
        """The sizes of the program as it is."""
        return self.sizes()

    @cached_property
    def before_weights(self) -> frozenset[str]:
        """Tensors that no layer with weights has touched."""
        found = set(self.laid_out.program.inputs)
        for step in self.laid_out.program.steps:
            if found.issuperset(step.inputs) and not has_weights(step):
                found.add(step.output)
        return frozenset(found)

    def sizes(self, channels: float = 1.0, length: float = 1.0, stride: int = 1) -> Sizes:
        """Sizes with shares of the hidden channels and of the input's length; stride: of the first layer."""

        def share(name: str) -> float:
            strided = stride if name in self.long and name not in self.before_weights else 1
            return (
                (channels if name in self.narrow else 1.0) * (length if name in self.long else 1.0) / strided
            )

        program = self.laid_out.program
        operations, buffers = self.layout
        smaller = [replace(b, size_bytes=ceil(b.size_bytes * share(b.name))) for b in buffers]
        size = {b.name: b.size_bytes for b in smaller}
        steps = [
            replace(o, scratch_bytes=scratch(o, dense, size, share))
            for o, dense in zip(operations, self.dense, strict=True)
        ]
        plan = plan_memory(same_size_sharing(steps, smaller), smaller, states=SEARCH_STATES)
        ends = (*program.inputs, *program.outputs)
        io = sum(ceil(program.tensors[name].bytes * (length if name in self.long else 1.0)) for name in ends)
        shorter = length / stride
        constants = sum(self.constants(step, channels, shorter) for step in program.steps)
        return Sizes(plan.arena_bytes, io, ceil(constants))

    def constants(self, step: Step, channels: float, shorter: float) -> float:
        """Bytes of a step's constants when the network is smaller."""
        inner = channels if step.inputs[0] in self.narrow else 1.0
        outer = channels if step.output in self.narrow else 1.0
        if step.kernel == "dense" and step.inputs[0] in self.long:
            inner *= shorter
        weights = 0.0
        for name in step.constants:
            if name not in ("bias", "weight_scale"):
                weights += constant_bytes(step, name) * (
                    1.0 if name != "weight" else outer if is_depthwise(step) else inner * outer
                )
        ratio = step.requantizer
        return weights + (CHANNEL_BYTES * len(ratio.ratio) * outer if ratio is not None else 0.0)


def largest_share(enough: Callable[[float], bool]) -> float | None:
    """The largest share in whole percents below 1 that is enough, or None when 1 % is still too much."""
    low, high = 0, 100
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if enough(middle / 100) else (low, middle)
    return low / 100 if low else None


def scratch(operation: Operation, dense: bool, size: Mapping[str, int], share: Callable[[str], float]) -> int:
    """Scratch between smaller buffers; a dense layer copies an input that is no whole number of words."""
    scaled = ceil(operation.scratch_bytes * max(map(share, (*operation.reads, *operation.writes))))
    source = operation.reads[0]
    return max(scaled, aligned(size[source], 4)) if dense and share(source) < 1 else scaled


def same_size_sharing(operations: list[Operation], buffers: list[Buffer]) -> list[Operation]:
    """Operations that share bytes only where the shrunken buffers are still of one size."""
    size = {b.name: b.size_bytes for b in buffers}

    def kept(operation: Operation) -> Operation:
        output = size[operation.writes[0]]
        alias = operation.alias if operation.alias and size[operation.alias] == output else None
        return replace(
            operation,
            alias=alias,
            alias_at=0,
            in_place=tuple(n for n in operation.in_place if size[n] == output),
        )

    return [kept(operation) for operation in operations]


def has_weights(step: Step) -> bool:
    """Whether a layer chooses how many channels it writes."""
    return "weight" in step.constants


def is_depthwise(step: Step) -> bool:
    """Whether a convolution writes as many channels as it reads, one from each."""
    weight = step.constants.get("weight")
    groups = step.attributes.get("group", 1)
    return weight is not None and step.kernel == "conv" and groups > 1 and groups == weight.shape[0]
