"""Dropout at inference (ONNX Dropout-13): read as Identity."""

from __future__ import annotations

import numpy as np

from trine.compilers.elementwise import same_shape
from trine.compilers.graph import Node
from trine.compilers.operators import Form, Operator, SourceNode, Unsupported
from trine.compilers.operators.identity import read as read_identity
from trine.compilers.operators.identity import run


def read(source: SourceNode) -> Node:
    if source.has(2) and bool(source.constant(2, "training_mode").any()):
        raise Unsupported("training_mode is on; export the model for inference")
    if any(source.outputs[1:]):
        raise Unsupported("the output mask is used")
    return read_identity(source)


OPERATOR = Operator(
    "Dropout", read, same_shape, run, (),
    forms=(
        Form("plain", ((4, 9),)),
        Form("ratio", ((4, 9),), {}, {1: np.array(0.3, np.float32)}),
        Form("training_off", ((7,),), {}, {1: np.array(0.3, np.float32), 2: np.array(False)}),
    ),
)  # fmt: skip
