"""How tensors lie in memory in the C print: channels last where a kernel wants it, ONNX order elsewhere.

Both functions return programs that mean the same as before; `tests` run them against each other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from trine.compilers.graph import Shape
from trine.edge.operators import kernels
from trine.edge.program import IntegerProgram, QuantizedTensor, Step


@dataclass(frozen=True)
class LaidOut:
    """A program, and for each tensor whether its channels (first axis) lie last in memory."""

    program: IntegerProgram
    last: Mapping[str, bool]

    def stored_shape(self, name: str) -> Shape:
        """The shape as it lies in memory."""
        return self.stored_beside(name, name)

    def stored_beside(self, name: str, other: str) -> Shape:
        """The shape read in the layout of another tensor; both layouts are the same bytes where they
        differ."""
        shape = self.program.tensors[name].shape
        return (*shape[1:], shape[0]) if self.last[other] and len(shape) > 1 else shape


def same_bytes(shape: Shape) -> bool:
    """Whether both layouts of a shape are the same bytes."""
    return len(shape) < 2 or shape[0] == 1 or int(np.prod(shape[1:])) == 1


def channels_to_end(rank: int) -> tuple[int, ...]:
    """The permutation that moves the first axis to the end."""
    return (*range(1, rank), 0)


def permute_dense(program: IntegerProgram) -> IntegerProgram:
    """Where an image is flattened into dense layers only: flatten it channels last and permute their
    weights instead."""
    readers: dict[str, list[Step]] = {}
    for step in program.steps:
        for name in step.inputs:
            readers.setdefault(name, []).append(step)
    steps, tensors = list(program.steps), dict(program.tensors)
    for step in program.steps:
        source, target = tensors[step.inputs[0]], tensors[step.output]
        consumers = readers.get(step.output, [])
        flat = step.kernel == "reshape" and len(target.shape) == 1 and not same_bytes(source.shape)
        if not flat or not consumers or step.output in program.outputs:
            continue
        if any(reader.kernel != "dense" for reader in consumers):
            continue
        perm = channels_to_end(len(source.shape))
        shape = tuple(source.shape[a] for a in perm)
        turned = replace(source, name=f"{step.output}_turned", shape=shape)
        tensors[turned.name] = turned
        turn = Step("transpose", f"{step.name}_turn", step.inputs, turned.name, {}, {"perm": perm})
        steps[steps.index(step)] = turn
        steps.insert(steps.index(turn) + 1, replace(step, inputs=(turned.name,)))
        index = np.arange(source.size).reshape(source.shape).transpose(perm).ravel()
        for reader in consumers:
            weight = np.ascontiguousarray(reader.constants["weight"][:, index])
            steps[steps.index(reader)] = replace(reader, constants={**reader.constants, "weight": weight})
    return replace(program, steps=tuple(steps), tensors=tensors)


def lay_out(program: IntegerProgram, stored_last: Collection[str] = ()) -> LaidOut:
    """Give every tensor a layout its kernels accept, with `relayout` steps where two of them disagree.

    stored_last: inputs whose channels lie last already.
    """
    program = permute_dense(program)
    tensors = dict(program.tensors)
    last: dict[str, bool] = {name: name in stored_last for name in program.inputs}
    steps: list[Step] = []
    converted: dict[tuple[str, bool], str] = {}

    def as_layout(name: str, want: bool) -> str:
        """The tensor, or its copy, in the wanted layout."""
        if last[name] == want or same_bytes(tensors[name].shape):
            return name
        if (name, want) not in converted:
            copy = f"{name}_{'last' if want else 'row'}"
            tensors[copy] = replace(tensors[name], name=copy)
            steps.append(Step("relayout", copy, (name,), copy))
            last[copy], converted[name, want] = want, copy
        return converted[name, want]

    for step in program.steps:
        layout = kernels()[step.kernel].layout
        sources = [n for n in step.inputs if not same_bytes(tensors[n].shape)]
        if step.kernel == "transpose" and is_relabel(step, last[step.inputs[0]]):
            steps.append(step)
            last[step.output] = False
            continue
        want = layout == "last" or (
            layout == "any" and any(last[n] for n in sources) and elementwise_safe(step, tensors)
        )
        inputs = tuple(as_layout(name, want) for name in step.inputs)
        steps.append(replace(step, inputs=inputs))
        last.update(dict.fromkeys(step.outputs, want))
    outputs = [as_layout(name, False) for name in program.outputs]
    steps = rename_outputs(steps, dict(zip(outputs, program.outputs, strict=True)), last, tensors)
    return LaidOut(replace(program, steps=tuple(steps), tensors=tensors), last)


def is_relabel(step: Step, source_last: bool) -> bool:
    """A transpose that moves channels to the end of a tensor whose channels already lie there moves no
    byte."""
    perm = step.attributes["perm"]
    return source_last and tuple(perm) == channels_to_end(len(perm))


def elementwise_safe(step: Step, tensors: Mapping[str, QuantizedTensor]) -> bool:
    """Whether a step over any layout can run channels last: all its tensors have the same rank."""
    ranks = {len(tensors[name].shape) for name in (*step.inputs, step.output)}
    return len(ranks) == 1


def rename_outputs(
    steps: list[Step], names: Mapping[str, str], last: dict[str, bool], tensors: dict[str, QuantizedTensor]
) -> list[Step]:
    """Let the row-order copy of an output carry the output's own name, and its source another."""
    for copy, name in names.items():
        if copy == name:
            continue
        hidden = f"{name}_inner"
        tensors[hidden] = replace(tensors[name], name=hidden)
        last[hidden], last[name] = last[name], False
        swap = {name: hidden, copy: name}
        steps = [
            replace(
                s,
                inputs=tuple(swap.get(n, n) for n in s.inputs),
                output=swap.get(s.output, s.output),
                also=tuple(swap.get(n, n) for n in s.also),
            )
            for s in steps
        ]
        del tensors[copy]
    return steps
