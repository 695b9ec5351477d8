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


@dataclass(frozen=True)
class QuantizedTensor:
    """An int8 activation: real value = scale * (q - zero_point), scale float32 (ONNX QuantizeLinear)."""

    name: str
    shape: Shape
    scale: np.float32
    zero_point: int

    @property
    def size(self) -> int:
        """Bytes of one example."""
        return int(np.prod(self.shape, dtype=np.int64))

    def quantize(self, x: Array) -> Int8:
        """float32 -> int8 by ONNX QuantizeLinear: divide in float32, round half to even, saturate."""
        q: Array = np.rint(np.asarray(x, np.float32) / self.scale) + np.float32(self.zero_point)
        return np.asarray(np.clip(q, QMIN, QMAX).astype(np.int8))

    def dequantize(self, q: Array) -> NDArray[np.float32]:
        """int8 -> float32 by ONNX DequantizeLinear."""
        return (q.astype(np.int32) - self.zero_point).astype(np.float32) * self.scale


@dataclass(frozen=True)
class Step:
    """One integer operation. `kernel` names the file of edge/operators that says what it computes.

    constants: integer arrays (weight int8, bias int32, table int8, ...). attributes: geometry, and
    `low`, `high`: the saturation bounds of the output, narrower than int8 where an activation was fused.
    `requantizer`: how the int32 sum becomes int8, for the kernels that have one.
    """

    kernel: str
    name: str
    inputs: tuple[str, ...]
    output: str
    constants: Mapping[str, Array] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    requantizer: Any = None


@dataclass(frozen=True)
class IntegerProgram:
    """A sequence of integer steps over int8 tensors.

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
            if absent or step.output not in self.tensors:
                raise ValueError(
                    f"step {step.name} ({step.kernel}) reads {absent} or writes an unknown tensor"
                )
            known.add(step.output)
        if not known.issuperset(self.outputs):
            raise ValueError(f"outputs {self.outputs} are not all written")

    def trace(self, inputs: Mapping[str, Int8]) -> Iterator[tuple[Step, Int8]]:
        """Run step by step on int8 inputs {name: [n, *shape]}, yielding each step's output [n, *shape]."""
        from trine.edge.operators import kernels

        last_use = {name: i for i, step in enumerate(self.steps) for name in step.inputs}
        values: dict[str, Int8] = dict(inputs)
        for i, step in enumerate(self.steps):
            result = kernels()[step.kernel].run(self, step, [values[name] for name in step.inputs])
            values[step.output] = result
            yield step, result
            for name in step.inputs:
                if last_use[name] <= i and name in values:
                    del values[name]

    def run(self, inputs: Mapping[str, Int8]) -> dict[str, Int8]:
        """The definition: int8 in {name: [n, *shape]}, int8 out {name: [n, *shape]}."""
        values = {name: inputs[name] for name in self.outputs if name in inputs}
        values.update({step.output: q for step, q in self.trace(inputs) if step.output in self.outputs})
        return {name: values[name] for name in self.outputs}

    def run_float(self, inputs: Mapping[str, Array]) -> dict[str, NDArray[np.float32]]:
        """Quantise float inputs, run, dequantise the outputs."""
        result = self.run(self.quantize(inputs))
        return {name: self.tensors[name].dequantize(q) for name, q in result.items()}

    def quantize(self, inputs: Mapping[str, Array]) -> dict[str, Int8]:
        """Float inputs {name: [n, *shape]} as the program's int8 inputs."""
        return {name: self.tensors[name].quantize(inputs[name]) for name in self.inputs}

    def with_steps(self, steps: tuple[Step, ...]) -> IntegerProgram:
        """The same program with other steps."""
        return replace(self, steps=steps)
