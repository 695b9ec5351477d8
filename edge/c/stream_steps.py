"""The operations of a stream's step as its C runs them: time outermost in every value, copies where layouts differ."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from trine.compilers.graph import Array
from trine.edge.c.layout import lay_out, same_bytes
from trine.edge.operators import kernels
from trine.edge.program import QuantizedTensor, Step
from trine.edge.streaming.program import Operation, StreamProgram, tensor_of

KEEP = "@next"  # what a step with a state writes before it becomes the state


@dataclass
class Flat:
    """A step's operations as the C runs them, with copies between layouts; tensors and whether channels lie last."""

    stream: StreamProgram
    tensors: dict[str, QuantizedTensor] = field(default_factory=dict)
    last: dict[str, bool] = field(default_factory=dict)
    operations: list[Operation] = field(default_factory=list)
    axes: dict[str, int] = field(default_factory=dict)

    def build(self) -> None:
        """All operations: those along time, then the head's."""
        for name, tensor in self.stream.pieces.tensors.items():
            self.declare(tensor, self.axis_of(name))
        for name in self.stream.program.inputs:
            if name not in self.tensors:
                self.declare(self.stream.program.tensors[name], 0)
        for operation in self.stream.operations:
            if isinstance(operation, Step):
                self.add_step(operation)
            else:
                self.operations.append(operation)
        self.add_head()

    def axis_of(self, name: str) -> int:
        """Time axis of a value along time; 0 for any other, which lies in ONNX order."""
        of = tensor_of(name, self.stream.timed)
        return 0 if name in self.stream.kept or of not in self.stream.timed else self.stream.timed[of].axis

    def declare(self, tensor: QuantizedTensor, axis: int) -> str:
        """Declare a value with time on an axis."""
        self.tensors[tensor.name] = tensor
        self.axes[tensor.name] = axis
        self.last[tensor.name] = axis > 0 and len(tensor.shape) > 1
        return tensor.name

    def add_step(self, step: Step) -> None:
        """A step along time in the layout its kernel wants; what is kept goes through a value of its own."""
        one = dense_of(step, self.tensors)
        if one is not None:  # its weights are in the order in which columns lie
            self.operations.append(one)
            return
        if self.moves_nothing(step):
            self.operations.append(replace(step, kernel="reshape", constants={}, attributes={}))
            return
        kernel = kernels()[step.kernel]
        inputs = [self.in_layout(name, kernel.layout) for name in step.inputs]
        outputs = []
        after: list[Operation] = []
        for name in step.outputs:
            if name in self.stream.kept:
                outputs.append(self.declare(replace(self.tensors[name], name=name + KEEP), 0))
                continue
            if kernel.layout != "any" and same_bytes(self.tensors[name].shape):
                self.last[name] = kernel.layout == "last"
            if kernel.layout == "any" or self.last[name] == (kernel.layout == "last"):
                outputs.append(name)
                continue
            copy = replace(self.tensors[name], name=f"{name}@turned")
            self.tensors[copy.name], self.last[copy.name] = copy, kernel.layout == "last"
            outputs.append(copy.name)
            after.append(Step("relayout", f"{step.name}@turned", (copy.name,), name))
        made = replace(step, inputs=tuple(inputs), output=outputs[0], also=tuple(outputs[1:]))
        self.operations += [made, *after]

    def in_layout(self, name: str, layout: str) -> str:
        """The value, or its copy in the layout a kernel wants."""
        wanted = layout == "last"
        if layout == "any" or same_bytes(self.tensors[name].shape) or self.last[name] == wanted:
            return name
        copy = f"{name}@{layout}"
        if copy not in self.tensors:
            self.tensors[copy] = replace(self.tensors[name], name=copy)
            self.last[copy] = wanted
            self.operations.append(Step("relayout", copy, (name,), copy))
        return copy

    def moves_nothing(self, step: Step) -> bool:
        """Whether a reshape or transpose leaves every byte in its place, as values lie here."""
        if step.kernel not in ("reshape", "transpose"):
            return False
        x, y = step.inputs[0], step.output
        before = np.arange(self.tensors[x].size).reshape(self.tensors[x].shape)
        after = before.transpose(step.attributes["perm"]) if step.kernel == "transpose" else before
        after = after.reshape(self.tensors[y].shape)
        return np.array_equal(self.lying(before, x).ravel(), self.lying(after, y).ravel())

    def lying(self, values: Array, name: str) -> Array:
        """Values in the order of memory."""
        return np.moveaxis(values, 0, -1) if self.last[name] else values

    def add_head(self) -> None:
        """The head's steps, laid out by themselves from what lies here."""
        head = self.stream.head
        if head is None or not head.steps:
            return
        laid_out = lay_out(head, {n for n in head.inputs if self.last[n]})
        for name, tensor in laid_out.program.tensors.items():
            if name not in self.tensors:
                self.tensors[name], self.last[name] = tensor, laid_out.last.get(name, False)
        states = {n: n + KEEP for n in head.inputs if n in self.stream.kept}
        self.operations += [
            replace(s, inputs=tuple(states.get(n, n) for n in s.inputs)) for s in laid_out.program.steps
        ]


def dense_of(step: Step, tensors: dict[str, QuantizedTensor]) -> Step | None:
    """A convolution for a single column as a dense layer over the columns it reads: one window needs no pair."""
    if step.kernel != "conv" or step.constants["weight"].ndim != 3 or step.attributes["group"] != 1:
        return None
    if any(step.attributes["pads"]) or tensors[step.output].shape[1] != 1:
        return None
    weight = step.constants["weight"]
    rows = np.ascontiguousarray(np.moveaxis(weight, 1, -1)).reshape(weight.shape[0], -1)
    left = {k: v for k, v in step.attributes.items() if k not in ("strides", "dilations", "pads", "group")}
    return replace(step, kernel="dense", constants={**step.constants, "weight": rows}, attributes=left)
