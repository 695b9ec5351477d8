"""From a float `Graph` and the ranges of its activations to an `IntegerProgram`.

A Relu or Clip that alone reads the output of a kernel with a requantiser becomes that kernel's saturation
bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Graph, Node, Shape, Tensor
from trine.devices.errors import InputError
from trine.edge.fusing import FORCED, activation_bounds, float_values, fusions
from trine.edge.int16 import (
    HEADROOM,
    UNIT,
    ActivationBits,
    least_scale,
    missing_int16,
    parameters_of_16,
    requantizer_16,
    rescaled,
    widths_of,
)
from trine.edge.lowbit import SMALLEST_SCALE, WeightBits
from trine.edge.operators import Kernel, kernel_for
from trine.edge.program import QMAX, QMIN, IntegerProgram, QuantizedTensor, Step
from trine.edge.requantize import Certificate, Requantizer, as_stated, certify, split_ratio_tflite
from trine.edge.weights import LARGEST_SUM

Made = TypeVar("Made")
# Of an output step; float32 rounding in onnxruntime's several forms stays below the first.
TIE_MARGINS = (2e-5, 4e-6, 0.0)
IN_FLOAT = -1.0  # a tie margin that asks for rounding in float32
NUDGES = 200
NUDGE_STRIDE = 37  # float32 steps; 200 of them move the scale by at most 0.1 %


def parameters_of(low: float, high: float) -> tuple[np.float32, int]:
    """(scale, zero point) of int8 for a real range; zero is always exactly representable (ONNX
    QuantizeLinear)."""
    low, high = min(float(low), 0.0), max(float(high), 0.0)
    scale = max(np.float32((high - low) / 255.0), SMALLEST_SCALE)
    if high == low:
        scale = np.float32(1.0)
    return np.float32(scale), int(np.clip(np.rint(QMIN - low / float(scale)), QMIN, QMAX))


@dataclass(frozen=True)
class Lowered:
    """The program, and for each step with a requantiser what the exactness decision found."""

    program: IntegerProgram
    certificates: Mapping[str, Certificate]


@dataclass
class Lowering:
    """What a kernel's `lower` sees: the graph, the tensors made so far, and how to make more."""

    graph: Graph
    ranges: Mapping[str, tuple[float, float]]
    requantize: str
    weight_clip: Mapping[str, NDArray[np.float32]]
    fused: Mapping[str, Node]
    tensors: dict[str, QuantizedTensor] = field(default_factory=dict)
    certificates: dict[str, Certificate] = field(default_factory=dict)
    stated: Mapping[str, QuantizedTensor] = field(default_factory=dict)
    weight_bits: WeightBits = field(default_factory=dict)
    widths: Mapping[str, int] = field(default_factory=dict)

    def output_name(self, node: Node) -> str:
        """Name of what the step writes: the fused activation's output where there is one."""
        return self.fused[node.name].outputs[0] if node.name in self.fused else node.outputs[0]

    def is_constant(self, name: str) -> bool:
        """Whether an input is a constant of the graph."""
        return name in self.graph.constants

    def add_tensor(
        self, name: str, shape: Shape, scale: np.float32, zero_point: int, dtype: str = "int8"
    ) -> QuantizedTensor:
        """Declare an activation with given parameters."""
        self.tensors[name] = QuantizedTensor(name, tuple(shape), np.float32(scale), zero_point, dtype)
        return self.tensors[name]

    def wide(self, name: str) -> bool:
        """Whether an activation is to have 16 bits."""
        return self.widths.get(name, 8) == 16

    def range_of(self, name: str) -> tuple[float, float]:
        """The real range of an activation. Raises ValueError where it has none, being no real number."""
        if name not in self.ranges:
            raise ValueError(
                f"{name} is {self.graph.dtype(name)}: this integer kernel computes quantised reals; "
                "--precision float32 computes whole numbers as they are"
            )
        return self.ranges[name]

    def add_ranged(self, name: str, least: float = 0.0) -> QuantizedTensor:
        """Declare an activation whose parameters come from its observed range, or are stated.

        least: of the scale of an int16.
        """
        if name in self.stated:
            self.tensors[name] = self.stated[name]
            return self.stated[name]
        shape = self.graph.tensors[name].shape
        if self.wide(name):
            low, high = (HEADROOM * end for end in self.range_of(name))
            return self.add_tensor(name, shape, *parameters_of_16(low, high, least), "int16")
        return self.add_tensor(name, shape, *parameters_of(*self.range_of(name)))

    def add_forced(self, node: Node) -> QuantizedTensor:
        """Declare the output of an operator whose values' range is known."""
        name = node.outputs[0]
        shape = self.graph.tensors[name].shape
        if self.wide(name):
            return self.add_tensor(name, shape, UNIT, 0, "int16")
        return self.add_tensor(name, shape, *FORCED[node.op])

    def add_plain(self, name: str) -> QuantizedTensor:
        """Declare a value that stands for itself: an index, a count, a truth value."""
        tensor = self.graph.tensors[name]
        self.tensors[name] = QuantizedTensor(name, tensor.shape, dtype=tensor.dtype)
        return self.tensors[name]

    def like_input(self, node: Node) -> QuantizedTensor:
        """Declare the output of a kernel that only moves or selects values."""
        source, name = self.tensors[node.inputs[0]], node.outputs[0]
        self.tensors[name] = replace(source, name=name, shape=self.graph.tensors[name].shape)
        return self.tensors[name]

    def settled(self, steps: list[Step]) -> list[Step]:
        """The steps, and one more where they leave an output in other parameters than those stated for it."""
        last = steps[-1]
        if last.output not in self.stated or same(self.tensors[last.output], self.stated[last.output]):
            return steps
        inner = replace(self.tensors[last.output], name=f"{last.output}_before")
        self.tensors[inner.name] = inner
        self.tensors[last.output] = self.stated[last.output]
        every = np.arange(QMIN, QMAX + 1).astype(np.int8)
        table = self.stated[last.output].quantize(inner.dequantize(every))
        again = Step(
            "table", f"{last.name}_rescaled", (inner.name,), last.output, {"table": table}, {"op": "Identity"}
        )
        return [*steps[:-1], replace(last, output=inner.name), again]

    def bounds(self, node: Node, output: QuantizedTensor) -> tuple[int, int]:
        """Saturation bounds of a step: its type's, narrowed by the fused activation."""
        if node.name not in self.fused:
            return output.limits
        low, high = activation_bounds(self.fused[node.name])
        ends = []
        for bound, default in zip((low, high), output.limits, strict=True):
            ends.append(int(output.quantize(np.array(bound, np.float32))) if np.isfinite(bound) else default)
        return ends[0], ends[1]

    def requantizer(
        self,
        node: Node,
        source_scale: np.float32,
        weight_scale: NDArray[np.float32],
        output: QuantizedTensor,
        sums: tuple[NDArray[np.int64], NDArray[np.int64]],
    ) -> tuple[Requantizer, NDArray[np.float32]]:
        """Requantiser of a step and the weight scales it holds for; sums: proven bounds of each channel's
        int32."""
        bounds = self.bounds(node, output)
        low, high = sums
        if max(np.abs(low).max(), np.abs(high).max()) > LARGEST_SUM:
            raise ValueError(
                f"{node.name}: sums reach {max(np.abs(low).max(), np.abs(high).max())}, beyond int32"
            )
        if self.requantize == "tflite":
            ratio = source_scale.astype(np.float64) * weight_scale.astype(np.float64) / float(output.scale)
            multiplier, shift = split_ratio_tflite(ratio)
            return (
                Requantizer(
                    ratio.astype(np.float32), multiplier, shift, 0, output.zero_point, *bounds, "tflite"
                ),
                weight_scale,
            )
        if output.name in self.stated:
            stated: NDArray[np.float32] = np.asarray((source_scale * weight_scale) / output.scale, np.float32)
            made, self.certificates[node.name] = as_stated(stated, low, high, output.zero_point, bounds)
            return made, weight_scale
        made, scale, certificate = certify(
            source_scale, weight_scale, output.scale, low, high, output.zero_point, bounds
        )
        self.certificates[node.name] = certificate
        return made, scale

    def requantizer_16(
        self,
        node: Node,
        unit: NDArray[np.float64] | float,
        largest: int,
        rule: str = "exact",
    ) -> tuple[Requantizer, QuantizedTensor]:
        """Declare a step's int16 output, and how sums within +-largest, in units of `unit` [channels], become it."""
        units = np.atleast_1d(np.asarray(unit, np.float64))
        y = self.add_ranged(self.output_name(node), least_scale(float(units.max()), largest))
        bounds = self.bounds(node, y)
        self.certificates[node.name] = Certificate(units.size, 0, -largest, largest)
        return requantizer_16(units / float(y.scale), largest, bounds, rule), y

    def at_width(self, node: Node, kernel: Kernel) -> tuple[Node, list[Step]]:
        """A node that reads its activations in its own width, and the steps that rescale them for it."""
        read = [n for n in dict.fromkeys(node.inputs) if n in self.tensors and self.tensors[n].quantized]
        floats = [n for n in node.outputs if n and self.graph.dtype(n) == "float32"]
        width = self.widths[floats[0]] if floats else max([8, *(self.widths[n] for n in read)])
        wanted = "int16" if width == 16 and kernel.wide(node.op) else "int8"
        steps: list[Step] = []
        for name in read:
            if self.tensors[name].dtype == wanted:
                continue
            copy = f"{name}_{wanted}"
            node = replace(node, inputs=tuple(copy if n == name else n for n in node.inputs))
            if copy in self.tensors:
                continue
            shape = self.graph.shape(name)
            if name in self.ranges:
                ends = self.ranges[name]
            else:
                low, high = self.tensors[name].dequantize(np.array(self.tensors[name].limits))
                ends = (float(low), float(high))
            parameters = parameters_of_16(*ends) if wanted == "int16" else parameters_of(*ends)
            y = self.add_tensor(copy, shape, *parameters, wanted)
            self.graph = replace(self.graph, tensors={**self.graph.tensors, copy: Tensor(copy, shape)})
            self.ranges = {**self.ranges, copy: ends}
            self.widths = {**self.widths, copy: width}
            steps.append(rescaled(copy, self.tensors[name], y))
        return node, steps

    def nudge_output(
        self,
        node: Node,
        make: Callable[[QuantizedTensor, float], Made | None],
        margins: Sequence[float] = TIE_MARGINS,
    ) -> tuple[Made, QuantizedTensor]:
        """Declare a step's output, moving its scale until `make(output, tie margin)` finds the step exact.

        The widest tie margin that can be had is taken: with one, every order of float operations rounds
        alike.
        A stated scale stays: there `make` is asked once more, with margin IN_FLOAT, for the rule in float32.
        Raises ValueError where no scale nearby will do.
        """
        name = self.output_name(node)
        if name in self.stated:
            output = self.tensors[name] = self.stated[name]
            exact = make(output, 0.0)
            made = make(output, IN_FLOAT) if exact is None else exact
            if made is None:
                raise ValueError(f"{node.name}: its stated scales cannot be kept")
            self.certificates[node.name] = Certificate(1, 0, 0, 0, int(exact is None))
            return made, output
        low, high = self.range_of(name)
        start, zero_point = parameters_of(low, high)
        for margin in margins:
            for attempt in range(NUDGES):
                steps = NUDGE_STRIDE * (attempt + 1) // 2 * (1 if attempt % 2 else -1) if attempt else 0
                scale = np.float32((np.array([start]).view(np.int32) + np.int32(steps)).view(np.float32)[0])
                output = QuantizedTensor(name, self.graph.tensors[name].shape, scale, zero_point)
                made = make(output, margin)
                if made is not None:
                    self.tensors[name] = output
                    self.certificates[node.name] = Certificate(1, int(attempt > 0), 0, 0)
                    return made, output
        raise ValueError(
            f"{node.name}: no output scale near {start} makes integer and float arithmetic equal"
        )


def same(a: QuantizedTensor, b: QuantizedTensor) -> bool:
    """Whether two activations are quantised alike."""
    return (a.scale, a.zero_point, a.dtype) == (b.scale, b.zero_point, b.dtype)


def clear_of_ties(values: NDArray[np.float64], margin: float) -> bool:
    """Whether no value lies within `margin` of a half, unless it saturates whatever the zero point."""
    inside = values[np.abs(values) <= QMAX - QMIN + 1]
    return bool((np.abs(np.abs(inside - np.floor(inside)) - 0.5) >= margin).all()) if margin else True


def lower(
    graph: Graph,
    ranges: Mapping[str, tuple[float, float]],
    requantize: str = "exact",
    weight_clip: Mapping[str, NDArray[np.float32]] | None = None,
    stated: Mapping[str, QuantizedTensor] | None = None,
    weight_bits: WeightBits | None = None,
    activation_bits: ActivationBits | None = None,
) -> Lowered:
    """Quantise a graph whose activations have the given real ranges {name: (low, high)} (see `observed`).

    requantize: "exact" or "tflite". weight_clip: {weight name: float32 [channels]}, real maximum a channel.
    weight_bits: {weight name: 8, 4 or 2} of conv and dense layers, 8 for all others. activation_bits: {activation name:
    8 or 16}, 8 for all others; what only moves values has the width of what it moves. Where the widths of two
    neighbours differ, a step between them rescales. Raises InputError naming every node that has no int16 kernel.
    """
    if activation_bits and (missing := missing_int16(graph, activation_bits)):
        raise InputError(f"{graph.name} cannot have int16 activations everywhere:\n  " + "\n  ".join(missing))
    fused = fusions(graph, stated or {})
    lowering = Lowering(graph, ranges, requantize, weight_clip or {}, fused, stated=stated or {})
    lowering.weight_bits = weight_bits or {}
    lowering.widths = widths_of(graph, activation_bits or {})
    floats = float_values(graph)
    for tensor in graph.inputs:
        if tensor.dtype == "float32" and tensor.name not in floats:
            lowering.add_ranged(tensor.name)
        else:
            lowering.add_plain(tensor.name)
    swallowed = {node.name for node in fused.values()}
    steps: list[Step] = []
    for node in graph.nodes:
        if node.name not in swallowed:
            kernel = kernel_for(graph, node)
            if kernel is None:
                raise ValueError(f"node {node.name} ({node.op}): no int8 kernel")
            node, before = lowering.at_width(node, kernel) if activation_bits else (node, [])
            made = kernel.lower(lowering, node)
            steps += [*before, *lowering.settled([made] if isinstance(made, Step) else list(made))]
    program = IntegerProgram(
        graph.name,
        tuple(t.name for t in graph.inputs),
        graph.outputs,
        tuple(steps),
        lowering.tensors,
        requantize,
    )
    program.check()
    return Lowered(program, lowering.certificates)
