"""`IntegerProgram`: the quantised network with its arithmetic spelled out, and its definition in NumPy.

Both prints of it, QDQ ONNX and C, are compared with `run` bit for bit. Shapes and axes are those of one
example in ONNX layout, as in `Graph`; the C print decides by itself how a tensor lies in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array, Shape

Int8 = NDArray[np.int8]
QMIN, QMAX = -128, 127
ONE = np.float32(1)
LIMITS = {"int8": (QMIN, QMAX), "int16": (-32768, 32767)}


@dataclass(frozen=True)
class QuantizedTensor:
    """An activation: real value = scale * (q - zero_point), scale float32 (ONNX QuantizeLinear).

    dtype: NumPy name of what is stored. int8 and int16 are quantised; any other (float32, int64, bool, ...) stands for
    itself, with scale 1 and zero point 0.
    """

    name: str
    shape: Shape
    scale: np.float32 = ONE
    zero_point: int = 0
    dtype: str = "int8"

    @property
    def size(self) -> int:
        """Elements of one example."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def bytes(self) -> int:
        """Bytes of one example."""
        return self.size * np.dtype(self.dtype).itemsize

    @property
    def limits(self) -> tuple[int, int]:
        """Least and greatest code."""
        return LIMITS[self.dtype]

    @property
    def quantized(self) -> bool:
        """Whether the stored integers stand for reals."""
        return self.dtype in LIMITS

    def quantize(self, x: Array) -> Array:
        """float32 -> integers by ONNX QuantizeLinear: divide in float32, round half to even, saturate."""
        if not self.quantized:
            return np.asarray(x, self.dtype)
        q: Array = np.rint(np.asarray(x, np.float32) / self.scale) + np.float32(self.zero_point)
        return np.asarray(np.clip(q, *LIMITS[self.dtype]).astype(self.dtype))

    def dequantize(self, q: Array) -> Array:
        """Integers -> float32 by ONNX DequantizeLinear; what stands for itself, as it is."""
        if not self.quantized:
            return q
        return (q.astype(np.int32) - self.zero_point).astype(np.float32) * self.scale


@dataclass(frozen=True)
class Step:
    """One integer operation. `kernel` names the file of edge/operators that says what it computes.

    constants: integer arrays (weight int8, bias int32, table int8, ...). attributes: geometry, and
    `low`, `high`: the saturation bounds of the output, narrower than its type's where an activation was fused.
    `requantizer`: how the sum becomes int8 or int16, for the kernels that have one. `also`: further outputs.
    """

    kernel: str
    name: str
    inputs: tuple[str, ...]
    output: str
    constants: Mapping[str, Array] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    requantizer: Any = None
    also: tuple[str, ...] = ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """Everything it writes."""
        return (self.output, *self.also)


@dataclass(frozen=True)
class IntegerProgram:
    """A sequence of steps over tensors of int8, and of other types where the network or its precision has them.

    inputs, outputs: tensor names. tensors: every activation by name. `requantize`: "exact" (float32 ratio, half to
    even: what onnxruntime computes) or "tflite" (doubling high multiply and rounding shift).
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    steps: tuple[Step, ...]
    tensors: Mapping[str, QuantizedTensor]
    requantize: str = "exact"

    def check(self) -> None:
        """Raise ValueError where a step reads what nothing wrote; a defect of the lowering, not of the user."""
        known = set(self.inputs)
        for step in self.steps:
            absent = [name for name in step.inputs if name not in known]
            if absent or not set(step.outputs) <= set(self.tensors):
                raise ValueError(
                    f"step {step.name} ({step.kernel}) reads {absent} or writes an unknown tensor"
                )
            known.update(step.outputs)
        if not known.issuperset(self.outputs):
            raise ValueError(f"outputs {self.outputs} are not all written")

    def trace(self, inputs: Mapping[str, Array]) -> Iterator[tuple[Step, Array]]:
        """Run step by step on stored inputs {name: [n, *shape]}, yielding each step's first output [n, *shape]."""
        for step, results in self.trace_all(inputs):
            yield step, results[0]

    def trace_all(self, inputs: Mapping[str, Array]) -> Iterator[tuple[Step, list[Array]]]:
        """As `trace`, with all outputs of each step."""
        from trine.edge.operators import kernels

        last_use = {name: i for i, step in enumerate(self.steps) for name in step.inputs}
        values: dict[str, Array] = dict(inputs)
        for i, step in enumerate(self.steps):
            found = kernels()[step.kernel].run(self, step, [values[name] for name in step.inputs])
            results = list(found) if step.also else [np.asarray(found)]
            values.update(zip(step.outputs, results, strict=True))
            yield step, results
            for name in step.inputs:
                if last_use[name] <= i and name in values:
                    del values[name]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The definition: stored values in {name: [n, *shape]}, stored values out {name: [n, *shape]}."""
        values = {name: inputs[name] for name in self.outputs if name in inputs}
        for step, results in self.trace_all(inputs):
            values.update({n: q for n, q in zip(step.outputs, results, strict=True) if n in self.outputs})
        return {name: values[name] for name in self.outputs}

    def run_float(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Quantise float inputs, run, dequantise the outputs."""
        result = self.run(self.quantize(inputs))
        return {name: self.tensors[name].dequantize(q) for name, q in result.items()}

    def quantize(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Real inputs {name: [n, *shape]} as the program stores them."""
        return {name: self.tensors[name].quantize(inputs[name]) for name in self.inputs}

    def with_steps(self, steps: tuple[Step, ...]) -> IntegerProgram:
        """The same program with other steps."""
        return replace(self, steps=steps)
