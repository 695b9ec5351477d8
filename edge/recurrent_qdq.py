"""The QDQ print of a recurrent step: ONNX's own operator in float32 between Quantize and Dequantize."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Node
from trine.compilers.operators import Spelled
from trine.compilers.recurrent import INITIAL_C, INITIAL_H, LENGTHS, B, P
from trine.edge.program import Step
from trine.edge.qdq import OPSET, QdqWriter


def recurrent_qdq(
    writer: QdqWriter, step: Step, op: str, spell: Callable[[Node, int], list[Spelled]], **attributes: int
) -> None:
    """Append the operator on dequantised weights, and Quantize and Dequantize of each output."""
    a, constants = step.attributes, step.constants
    names = [""] * (P + 1)
    names[0] = writer.value(step.inputs[0])
    for index, role in ((1, "w"), (2, "r")):
        q, scale = constants[role], constants[f"{role}_scale"]
        flat = writer.stored_constant(f"{step.name}_{role}", q.reshape(-1, q.shape[2]), scale.ravel(), 0, 0)
        names[index] = writer.node("Reshape", [flat, writer.shape(list(q.shape))])
    names[B] = writer.constant(bias_of(writer, step), f"{step.name}_bias")
    for role, index in (("h", INITIAL_H), ("c", INITIAL_C)):
        if role == "h" or op == "LSTM":
            names[index] = start_of(writer, step, role)
    if a["length"] < writer.program.tensors[step.inputs[0]].shape[0]:
        names[LENGTHS] = writer.constant(np.array([a["length"]], np.int32), f"{step.name}_length")
    if "p" in constants:
        peepholes = constants["p"].astype(np.float32) * np.float32(2.0 ** -int(constants["p_bits"][0]))
        names[P] = writer.constant(peepholes, f"{step.name}_p")
    outputs, given = [], iter(step.outputs)
    for written in a["written"][: 3 if op == "LSTM" else 2]:
        outputs.append(f"{next(given)}_real" if written else "")
    node = Node(
        op, step.name, tuple(names), tuple(outputs),
        {"directions": a["directions"], "hidden": a["hidden"], "activations": a["activations"],
         "clip": a["threshold"], "batch_axis": -1, **attributes},
    )  # fmt: skip
    writer.spell(replace(step, constants={}), spell(node, OPSET))
    for name in step.outputs:
        writer.quantize(writer.program.tensors[name], f"{name}_real")


def bias_of(writer: QdqWriter, step: Step) -> NDArray[np.float32]:
    """The biases that the integer sums start from, as ONNX's B [directions, 2 gates hidden]."""
    scales = {"w": writer.program.tensors[step.inputs[0]].scale, "r": step.attributes["state_scale"]}
    parts = [
        step.constants[f"{role}_bias"] * (scale * step.constants[f"{role}_scale"]).astype(np.float64)
        for role, scale in scales.items()
    ]
    return np.concatenate(parts, axis=1).astype(np.float32)


def start_of(writer: QdqWriter, step: Step, role: str) -> str:
    """An initial state as a float value [directions, hidden] of each example; "" where it is zero."""
    a = step.attributes
    if a[f"{role}_from"] != -1:
        return writer.value(step.inputs[a[f"{role}_from"]])
    if role == "c" or a["carried"]:  # a GRU's state is carried as the LSTM's cell is
        real = step.constants["c_start"].astype(np.float32) * np.float32(2.0 ** -a["bits"])
    else:
        real = (step.constants["h_start"].astype(np.float32) - step.requantizer.zero_point) * a["state_scale"]
    return writer.constant(real.astype(np.float32), f"{step.name}_{role}_start") if real.any() else ""
