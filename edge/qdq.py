"""The QDQ print of an `IntegerProgram`: standard ONNX that onnxruntime runs, every int8 tensor spelled out.

Inputs and outputs stay float32 under the source model's names. `activation_type` "uint8" stores every
activation 128 higher, which changes no value; x86 hosts fuse uint8 without a session option.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array
from trine.compilers.onnx_writer import ML_DOMAIN, ML_OPSET
from trine.compilers.operators import Spelled
from trine.edge.program import LIMITS, IntegerProgram, QuantizedTensor, Step

if TYPE_CHECKING:
    import onnx

BATCH = 256  # examples that onnxruntime runs at once
OPSET, FLOAT_OPSET, IR_VERSION = 18, 21, 10
SHARED_FROM = 16  # values: smaller initialisers are not looked up


class QdqWriter:
    """Collects ONNX nodes and initialisers; each kernel's `qdq` appends its own."""

    def __init__(self, program: IntegerProgram, activation_type: str = "int8") -> None:
        self.program = program
        self.activation_type = activation_type
        self.domains: set[str] = {""}
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}
        self.known: dict[
            tuple[str, tuple[int, ...], bytes], str
        ] = {}  # names of larger constants by what they hold
        self._count = 0

    def constant(self, value: Array | float, name: str = "") -> str:
        """Store an initialiser, equal ones of some size once; returns its name."""
        from onnx import numpy_helper

        array = np.asarray(value)
        name = name or f"constant_{len(self.initializers)}"
        if array.size > SHARED_FROM:
            found = self.known.setdefault((array.dtype.str, array.shape, array.tobytes()), name)
            if found != name:
                return found
        self.initializers[name] = numpy_helper.from_array(array, name)
        return name

    def node(self, op: str, inputs: list[str], **attributes: Any) -> str:
        """Append a node with one output; returns the name of that output."""
        from onnx import helper

        self._count += 1
        name = f"{op}_{self._count}"
        self.nodes.append(helper.make_node(op, inputs, [f"{name}_out"], name=name, **attributes))
        return f"{name}_out"

    def shape(self, shape: list[int]) -> str:
        """An int64 shape initialiser; a 0 keeps the batch."""
        return self.constant(np.array(shape, np.int64))

    def clip(self, x: str, low: float, high: float) -> str:
        """Clip with whichever bounds are finite."""
        bounds = [self.constant(np.array(b, np.float32)) if np.isfinite(b) else "" for b in (low, high)]
        return self.node("Clip", [x, *bounds])

    def reduce_mean(self, x: str, axes: list[int], keepdims: int) -> str:
        """ReduceMean as opset 18 spells it."""
        return self.node(
            "ReduceMean", [x, self.constant(np.array(axes, np.int64))], keepdims=int(bool(keepdims))
        )

    def spell(self, step: Step, nodes: Sequence[Spelled]) -> None:
        """Append the ONNX nodes of a float32 step: activations are read and written as they stand."""
        from onnx import helper

        names = {name: self.value(name) for name in (*step.inputs, *step.outputs)}
        read = {name for one in nodes for name in one.inputs}
        names |= {k: self.constant(v, f"{step.name}_{k}") for k, v in step.constants.items() if k in read}
        for i, one in enumerate(nodes):
            made = {
                name: self.constant(value, f"{step.name}_{name}") for name, value in one.constants.items()
            }
            known = names | made
            self.domains.add(one.domain)
            self.nodes.append(
                helper.make_node(
                    one.op, [known.get(n, n) for n in one.inputs], [known.get(n, n) for n in one.outputs],
                    name=f"{step.name}_{i}", domain=one.domain, **one.attributes,
                )
            )  # fmt: skip

    def _stored(self, tensor: QuantizedTensor) -> tuple[str, str]:
        """Initialisers of a tensor's scale and zero point, made once."""
        scale, zero_point = f"{tensor.name}_scale", f"{tensor.name}_zero_point"
        if scale not in self.initializers:
            kind = self.activation_type if tensor.dtype == "int8" else tensor.dtype
            raised = tensor.zero_point + 128 * (kind == "uint8")
            self.constant(np.array(tensor.scale, np.float32), scale)
            self.constant(np.array(raised, kind), zero_point)
        return scale, zero_point

    def value(self, name: str) -> str:
        """The float value of an int8 activation."""
        return f"{name}_dequantized"

    def quantize(self, tensor: QuantizedTensor, real: str) -> None:
        """Append Quantize and Dequantize of a float value under the tensor's name; what stands for itself, as it is."""
        from onnx import helper

        if not tensor.quantized:
            self.nodes.append(
                helper.make_node("Identity", [real], [self.value(tensor.name)], name=f"{tensor.name}_as_is")
            )
            return
        scale, zero_point = self._stored(tensor)
        quantized, value = f"{tensor.name}_quantized", self.value(tensor.name)
        self.nodes.append(
            helper.make_node(
                "QuantizeLinear", [real, scale, zero_point], [quantized], name=f"{tensor.name}_Q"
            )
        )
        self.nodes.append(
            helper.make_node(
                "DequantizeLinear", [quantized, scale, zero_point], [value], name=f"{tensor.name}_DQ"
            )
        )

    def output(self, step: Step, real: str) -> None:
        """Finish a step: clip to a fused activation where its bounds are narrower than int8, then
        quantise."""
        tensor = self.program.tensors[step.output]
        least, most = tensor.limits if tensor.quantized else LIMITS["int8"]
        low, high = saturation(step, (least, most))
        if (low, high) != (least, most):
            ends = [float(tensor.dequantize(np.array([q]))[0]) for q in (low, high)]
            real = self.clip(real, ends[0] if low > least else -np.inf, ends[1] if high < most else np.inf)
        self.quantize(tensor, real)

    def stored_constant(
        self, name: str, q: Array, scale: NDArray[np.float32] | np.float32, zero_point: int, axis: int | None
    ) -> str:
        """An integer constant behind a DequantizeLinear; axis: the channel axis of a vector scale."""
        scales = np.asarray(scale, np.float32)
        zeros = np.full(scales.shape, zero_point, q.dtype)
        inputs = [self.constant(q, f"{name}_quantized"), self.constant(scales, f"{name}_scale")]
        inputs.append(self.constant(zeros, f"{name}_zero_point"))
        return self.node("DequantizeLinear", inputs, **({} if axis is None else {"axis": axis}))

    def linear_inputs(self, step: Step, axis: int, transpose: bool = False) -> tuple[str, str, str]:
        """Values of a linear step's input, weight and bias."""
        weight, scale = step.constants["weight"], step.constants["weight_scale"]
        x = self.program.tensors[step.inputs[0]]
        w = self.stored_constant(f"{step.name}_weight", weight.T if transpose else weight, scale, 0, axis)
        bias_scale = (x.scale * scale).astype(np.float32)
        b = self.stored_constant(f"{step.name}_bias", step.constants["bias"], bias_scale, 0, 0)
        return self.value(x.name), w, b

    def binary_inputs(self, step: Step) -> list[str]:
        """Values of both operands of an Add, Sub, Mul or MatMul step, one of which may be a constant."""
        values = [self.widened(name, step.attributes.get("rank", 0)) for name in step.inputs]
        place = step.attributes["constant"]
        if place is not None:
            scale, zero_point = step.attributes["ab"[place]]
            constant = self.stored_constant(
                f"{step.name}_constant", step.constants["constant"], abs(scale), zero_point, None
            )
            values.insert(place, constant)
        return values

    def widened(self, name: str, rank: int) -> str:
        """The value of an activation with at least `rank` axes an example, new ones behind the batch axis."""
        missing = rank - len(self.program.tensors[name].shape)
        if missing <= 0:
            return self.value(name)
        axes = self.constant(np.arange(1, missing + 1, dtype=np.int64))
        return self.node("Unsqueeze", [self.value(name), axes])


def saturation(step: Step, limits: tuple[int, int]) -> tuple[int, int]:
    """The output bounds of a step; limits: of its type."""
    if step.requantizer is not None:
        return step.requantizer.low, step.requantizer.high
    return step.attributes.get("low", limits[0]), step.attributes.get("high", limits[1])


def to_qdq(program: IntegerProgram, activation_type: str = "int8") -> bytes:
    """The program as a serialised ONNX model (opset OPSET); inputs and outputs float32 [batch, *shape].

    activation_type: "int8" or "uint8", how activations are stored. Deterministic bytes.
    """
    import onnx
    from onnx import helper

    from trine.edge.operators import kernels

    writer = QdqWriter(program, activation_type)
    for name in program.inputs:
        writer.quantize(program.tensors[name], name)
    for step in program.steps:
        kernels()[step.kernel].qdq(writer, step)
    for name in program.outputs:
        if name in program.inputs:
            continue  # handed through; ONNX lets a value be both
        writer.nodes.append(helper.make_node("Identity", [writer.value(name)], [name], name=f"{name}_out"))
    infos = [
        [
            helper.make_tensor_value_info(
                name, kind_of(program.tensors[name]), ["batch", *program.tensors[name].shape]
            )
            for name in names
        ]
        for names in (program.inputs, program.outputs)
    ]
    graph = helper.make_graph(
        writer.nodes, program.name, *infos, initializer=list(writer.initializers.values())
    )
    opsets = [helper.make_opsetid("", opset_of(program))]
    opsets += [helper.make_opsetid(ML_DOMAIN, ML_OPSET)] if ML_DOMAIN in writer.domains else []
    model = helper.make_model(graph, opset_imports=opsets, producer_name="trine", ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def opset_of(program: IntegerProgram) -> int:
    """ONNX's version of the print: the oldest that has what it uses (16-bit Quantize came with 21)."""
    newer = any(t.dtype == "int16" for t in program.tensors.values())
    return FLOAT_OPSET if newer or any(s.kernel == "float32" for s in program.steps) else OPSET


def kind_of(tensor: QuantizedTensor) -> int:
    """ONNX element type of an input or output."""
    from onnx import helper

    kind = "float32" if tensor.quantized else tensor.dtype
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(kind)))


def run_qdq(
    model: bytes, program: IntegerProgram, inputs: dict[str, Array], optimize: bool = True, batch: int = BATCH
) -> dict[str, NDArray[np.int8]]:
    """Run a QDQ model in onnxruntime on float inputs {name: [n, *shape]}; returns the int8 codes of its
    outputs.

    optimize: all graph optimisations (integer kernels) or none (dequantise, float operator, quantise).
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
    # int8 activations are fused on x86 only with this option (facts: onnxruntime allows it by default on
    # Arm only).
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    count = len(next(iter(inputs.values())))
    parts: list[list[Array]] = []
    for start in range(0, count, batch):
        feed = {
            name: np.asarray(x[start : start + batch], real_type(program.tensors[name]))
            for name, x in inputs.items()
        }
        parts.append(session.run(list(program.outputs), feed))
    results = {}
    for i, name in enumerate(program.outputs):
        tensor = program.tensors[name]
        real = np.concatenate([part[i] for part in parts])
        codes = np.rint(real / tensor.scale) + tensor.zero_point if tensor.quantized else real
        results[name] = codes.astype(tensor.dtype).reshape(count, *tensor.shape)
    return results


def real_type(tensor: QuantizedTensor) -> str:
    """NumPy type of what a tensor stands for."""
    return "float32" if tensor.quantized else tensor.dtype


def run_qdq_tensors(
    model: bytes, program: IntegerProgram, inputs: dict[str, Array], optimize: bool = False
) -> dict[str, NDArray[np.int8]]:
    """Int8 codes of every tensor of the program in onnxruntime, without or with its optimisations; inputs {name: [n,
    *shape]}."""
    import onnx
    import onnxruntime

    proto = onnx.load_from_string(model)
    stored = {i.name: i.data_type for i in proto.graph.initializer}
    written = {step.output for step in program.steps}
    names = [name for name in program.tensors if name in program.inputs or name in written]
    names = [name for name in names if f"{name}_zero_point" in stored]
    for name in names:
        info = onnx.helper.make_tensor_value_info(f"{name}_quantized", stored[f"{name}_zero_point"], None)
        proto.graph.output.append(info)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    feed = {name: np.asarray(x, np.float32) for name, x in inputs.items()}
    found = session.run([f"{name}_quantized" for name in names], feed)
    return {
        name: (q.astype(np.int16) - 128).astype(np.int8) if q.dtype == np.uint8 else q
        for name, q in zip(names, found, strict=True)
    }
