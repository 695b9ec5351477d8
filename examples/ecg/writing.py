"""Write a network that is spelled node by node as ONNX: one array per constant, the same bytes every time. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

OPSET, IR_VERSION = 18, 10


def floats(name: str, shape: Sequence[int]) -> Any:
    """A float value of any batch size."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])


class Nodes:
    """Nodes in order; every method gives the name of what it computes."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []

    def add(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """A node of one output, named as that is."""
        self.nodes.append(helper.make_node(op, inputs, [output], output, **attributes))
        return output

    def conv(self, name: str, x: str, **attributes: Any) -> str:
        """A convolution with the constants NAME.weight and NAME.bias."""
        return self.add("Conv", [x, f"{name}.weight", f"{name}.bias"], name, **attributes)


def write(
    path: Path, nodes: Sequence[NodeProto], constants: Mapping[str, Any], inputs: Mapping[str, Sequence[int]],
    outputs: Mapping[str, Sequence[int]], about: str, hidden: Sequence[str] = (),
) -> Path:  # fmt: skip
    """Write a network; hidden: constants that only bodies inside nodes read."""
    read = {name for node in nodes for name in node.input} | set(hidden)
    arrays = [
        numpy_helper.from_array(
            np.asarray(v).astype(np.float32 if np.asarray(v).dtype.kind == "f" else np.int64), k
        )
        for k, v in sorted(constants.items())
        if k in read
    ]
    ends = [[floats(name, shape) for name, shape in side.items()] for side in (inputs, outputs)]
    graph = helper.make_graph(list(nodes), path.stem, *ends, arrays)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="trine", ir_version=IR_VERSION
    )
    model.doc_string = about
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))
    return path
