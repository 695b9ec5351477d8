"""The selective state-space network of `train_ssm.py` as ONNX: its recurrence is a Scan. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

OPSET, IR_VERSION = 18, 10
BEAT, SIGNAL = (
    128,
    1024,
)  # samples of a beat, and of the stretches that the stream is calibrated with; 180 a second


def scan_body(channels: int, states: int) -> Any:
    """One step of h' = exp(delta A) h + delta B x; y = C h' + D x. A, D and the axes come from outside."""
    step = helper.make_node
    nodes = [
        step("Unsqueeze", ["delta_t", "last"], ["delta_c"]),
        step("Unsqueeze", ["x_t", "last"], ["x_c"]),
        step("Unsqueeze", ["b_t", "middle"], ["b_r"]),
        step("Unsqueeze", ["c_t", "middle"], ["c_r"]),
        step("Mul", ["delta_c", "A"], ["rate"]),
        step("Exp", ["rate"], ["decay"]),
        step("Mul", ["decay", "h"], ["kept"]),
        step("Mul", ["delta_c", "b_r"], ["weight"]),
        step("Mul", ["weight", "x_c"], ["given"]),
        step("Add", ["kept", "given"], ["h_next"]),
        step("Mul", ["h_next", "c_r"], ["read"]),
        step("ReduceSum", ["read", "last"], ["sum"], keepdims=0),
        step("Mul", ["x_t", "D"], ["skip"]),
        step("Add", ["sum", "skip"], ["y_t"]),
    ]
    sizes = {
        "h": (channels, states),
        "x_t": (channels,),
        "delta_t": (channels,),
        "b_t": (states,),
        "c_t": (states,),
    }
    inputs = [value_info(name, shape) for name, shape in sizes.items()]
    outputs = [value_info("h_next", (channels, states)), value_info("y_t", (channels,))]
    return helper.make_graph(nodes, "step", inputs, outputs)


def value_info(name: str, shape: Sequence[int]) -> Any:
    """A float value of any batch size."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])


def body(net: Mapping[str, Any]) -> tuple[list[NodeProto], dict[str, Any]]:
    """From `signal` [batch, leads, time] to `u` [batch, channels, time / 4]: nodes and constants."""
    channels, states = net["log_a"].shape
    constants = {name: value for name, value in net.items() if name not in ("log_a", "d")}
    constants |= {
        "A": -np.exp(net["log_a"]), "D": net["d"], "last": np.array([-1]), "middle": np.array([-2]),
        "zero": np.array([0]), "one": np.array([1]), "sizes": np.array([channels, states]),
    }  # fmt: skip
    nodes = []

    def add(op: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(op, inputs, [output], output, **attributes))
        return output

    def conv(name: str, x: str, **attributes: Any) -> str:
        return add("Conv", [x, f"{name}.weight", f"{name}.bias"], name, **attributes)

    def silu(x: str) -> str:
        return add("Mul", [x, add("Sigmoid", [x], f"{x}_sigmoid")], f"{x}_silu")

    u = add("Relu", [conv("steps", "signal", pads=[14, 0], strides=[4])], "features")
    x = silu(conv("before", conv("enter", u), pads=[3, 0], group=channels))
    delta = add("Softplus", [conv("delta", x)], "step_size")
    rows = [
        add("Transpose", [v], f"{v}_rows", perm=[0, 2, 1]) for v in (x, delta, conv("b", x), conv("c", x))
    ]
    count = add("Slice", [add("Shape", [rows[0]], "shape"), "zero", "one"], "count")
    start = add("ConstantOfShape", [add("Concat", [count, "sizes"], "start_shape", axis=0)], "start")
    nodes.append(helper.make_node(
        "Scan", [start, *rows], ["last_state", "scanned"], "selective_scan", body=scan_body(channels, states),
        num_scan_inputs=4, scan_input_axes=[1] * 4, scan_output_axes=[1],
    ))  # fmt: skip
    y = add("Transpose", ["scanned"], "scanned_columns", perm=[0, 2, 1])
    add("Add", [u, conv("leave", add("Mul", [y, silu(conv("gate", u))], "gated"))], "u")
    return nodes, constants


def heads(stream: bool) -> list[NodeProto]:
    """The two layers behind: at every step, or at the last."""
    node = helper.make_node
    last = [] if stream else [node("Slice", ["u", "last", "end", "last"], ["v"], "v")]
    return [
        *last,
        node("Conv", ["u" if stream else "v", "decide.0.weight", "decide.0.bias"], ["hidden"], "hidden"),
        node("Relu", ["hidden"], ["hidden_relu"], "hidden_relu"),
        node("Conv", ["hidden_relu", "decide.2.weight", "decide.2.bias"], ["decided"], "decided"),
        node("Identity", ["decided"], ["logits"], "logits") if stream
        else node("Flatten", ["decided"], ["logits"], "logits", axis=1),
    ]  # fmt: skip


def export(net: Mapping[str, Any], folder: Path, classes: Sequence[str]) -> list[Path]:
    """Write ssm.onnx (`beat` [batch, 2, 128] -> `logits` [batch, 5]) and ssm_stream.onnx (`signal` [batch, 1, time] ->
    `logits` [batch, 5, time / 4])."""
    written = []
    for name, stream in (("ssm", False), ("ssm_stream", True)):
        nodes, constants = body(net)
        nodes += heads(stream)
        given, time = ("signal", SIGNAL) if stream else ("beat", BEAT)
        for node in nodes:
            node.input[:] = [given if value == "signal" else value for value in node.input]
        if not stream:  # the data's second row is the patient's usual beat: no signal, and not looked at
            kernel = net["steps.weight"]
            constants["steps.weight"] = np.concatenate([kernel, np.zeros_like(kernel)], axis=1)
        constants["end"] = np.array([np.iinfo(np.int64).max])
        used = {n for node in nodes for n in node.input} | {"A", "D", "last", "middle"}
        arrays = [
            numpy_helper.from_array(v.astype(np.float32 if v.dtype.kind == "f" else np.int64), k)
            for k, v in sorted(constants.items())
            if k in used
        ]
        outputs = [value_info("logits", (5, time // 4) if stream else (5,))]
        graph = helper.make_graph(
            nodes, name, [value_info(given, (1 if stream else 2, time))], outputs, arrays
        )
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(
            graph, opset_imports=opsets, producer_name="train_ssm", ir_version=IR_VERSION
        )
        model.doc_string = "AAMI heartbeat state-space model trained on MIT-BIH DS1; classes " + " ".join(
            classes
        )
        onnx.checker.check_model(model, full_check=True)
        path = folder / f"{name}.onnx"
        path.write_bytes(model.SerializeToString(deterministic=True))
        written.append(path)
    return written
