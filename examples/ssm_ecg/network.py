"""The selective state-space network of `train_ssm.py` as ONNX: its recurrence is a Scan. Needs no torch."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import helper

sys.path.append(str(Path(__file__).parents[1] / "ecg"))

from writing import Nodes, floats, write

# Samples of a step, of a beat, and of a stretch of `examples/ecg/stretches.py`.
STRIDE, BEAT, TIME = 4, 128, 1024
COLUMNS = BEAT // STRIDE


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
    inputs = [floats(name, shape) for name, shape in sizes.items()]
    outputs = [floats("h_next", (channels, states)), floats("y_t", (channels,))]
    return helper.make_graph(nodes, "step", inputs, outputs)


def body(net: Nodes, weights: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """From `beat` [batch, 2, time] to [batch, channels, time / 4]: the name of that and the constants."""
    channels, states = weights["log_a"].shape
    constants = {name: value for name, value in weights.items() if name not in ("log_a", "d")}
    constants |= {
        "A": -np.exp(weights["log_a"]), "D": weights["d"], "last": np.array([-1]), "middle": np.array([-2]),
        "zero": np.array([0]), "one": np.array([1]), "sizes": np.array([channels, states]),
    }  # fmt: skip
    add, conv = net.add, net.conv

    def silu(x: str) -> str:
        return add("Mul", [x, add("Sigmoid", [x], f"{x}_sigmoid")], f"{x}_silu")

    reach = weights["steps.weight"].shape[2] - STRIDE
    u = add("Relu", [conv("steps", "beat", pads=[reach, 0], strides=[STRIDE])], "features")
    x = silu(conv("before", conv("enter", u), pads=[3, 0], group=channels))
    delta = add("Softplus", [conv("delta", x)], "step_size")
    rows = [
        add("Transpose", [v], f"{v}_rows", perm=[0, 2, 1]) for v in (x, delta, conv("b", x), conv("c", x))
    ]
    count = add("Slice", [add("Shape", [rows[0]], "row_shape"), "zero", "one"], "count")
    start = add("ConstantOfShape", [add("Concat", [count, "sizes"], "start_shape", axis=0)], "start")
    net.nodes.append(helper.make_node(
        "Scan", [start, *rows], ["last_state", "scanned"], "selective_scan", body=scan_body(channels, states),
        num_scan_inputs=4, scan_input_axes=[1] * 4, scan_output_axes=[1],
    ))  # fmt: skip
    y = add("Transpose", ["scanned"], "scanned_columns", perm=[0, 2, 1])
    return add("Add", [u, conv("leave", add("Mul", [y, silu(conv("gate", u))], "gated"))], "u"), constants


def heads(net: Nodes, u: str, stream: bool) -> None:
    """The mean over a beat's columns, and with the RR ratios the dense layers: at every column, or once."""
    x = (
        net.add(
            "AveragePool", [u], "mean", kernel_shape=[COLUMNS], pads=[COLUMNS - 1, 0], count_include_pad=1
        )
        if stream
        else net.add("GlobalAveragePool", [u], "mean")
    )
    rr = net.add("MaxPool", ["rr"], "rr_now", kernel_shape=[1], strides=[STRIDE]) if stream else "rr_column"
    if not stream:
        net.add("Unsqueeze", ["rr", "last"], rr)
    x = net.add("Concat", [net.add("Relu", [net.conv("shape", x)], "shape_relu"), rr], "joined", axis=1)
    x = net.conv("classes", net.add("Relu", [net.conv("decide", x)], "decided"))
    net.add("Identity", [x], "logits") if stream else net.add("Flatten", [x], "logits", axis=1)


def export(weights: Mapping[str, Any], folder: Path, classes: Sequence[str]) -> list[Path]:
    """Write ssm.onnx (`beat` [batch, 2, 128], `rr` [batch, 8] -> `logits` [batch, 5]) and ssm_stream.onnx (`beat`
    [batch, 2, time], `rr` [batch, 8, time] -> `logits` [batch, 5, time / 4])."""
    about = "AAMI heartbeat state-space model trained on MIT-BIH DS1; classes " + " ".join(classes)
    written = []
    for name, stream in (("ssm", False), ("ssm_stream", True)):
        net = Nodes()
        u, constants = body(net, weights)
        heads(net, u, stream)
        time = TIME if stream else BEAT
        inputs = {"beat": (2, time), "rr": (8, time) if stream else (8,)}
        outputs = {"logits": (5, time // STRIDE) if stream else (5,)}
        path = folder / f"{name}.onnx"
        written.append(
            write(path, net.nodes, constants, inputs, outputs, about, ("A", "D", "last", "middle"))
        )
    return written
