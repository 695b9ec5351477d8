"""Cast to another type (ONNX Cast-13); an Identity where it changes nothing.

Normal form: inputs (x); attribute to, a NumPy name. Floats become integers towards zero, NaN 0; what does not fit
saturates (ONNX leaves both open).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.elementwise import same_shape
from trine.compilers.graph import Array, Node
from trine.compilers.operators import Case, Operator, SourceNode, Spelled, Unsupported

TYPES = (
    "float32", "float64", "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
)  # fmt: skip


def cast_to(source: SourceNode, to: str) -> Node:
    """The node in normal form."""
    if to not in TYPES or source.type() not in TYPES:
        raise Unsupported(f"from {source.type()} to {to}; {', '.join(TYPES)} are supported")
    if to == source.type():
        return Node("Identity", source.name, source.inputs[:1], source.outputs)
    return Node("Cast", source.name, source.inputs[:1], source.outputs, {"to": to})


def read(source: SourceNode) -> Node:
    from onnx import TensorProto, helper

    number = source.integer("to", 0)
    try:
        return cast_to(source, helper.tensor_dtype_to_np_dtype(number).name)
    except KeyError:
        known = number in TensorProto.DataType.values()
        raise Unsupported(f"to {TensorProto.DataType.Name(number) if known else number}") from None


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    x, to = arguments[0], np.dtype(node.attributes["to"])
    with np.errstate(all="ignore"):
        if x.dtype.kind != "f" or to.kind in "fb":
            return [x.astype(to)]
        ends = np.iinfo(to)
        whole = np.nan_to_num(np.trunc(x.astype(np.float64)), nan=0.0)
        inside = np.clip(whole, float(ends.min), float(ends.max))
        high = whole >= float(ends.max)  # the bound itself need not be a float
        return [np.where(high, ends.max, np.where(high, 0, inside).astype(to)).astype(to)]


def types(node: Node, inputs: Sequence[str]) -> list[str]:
    return [node.attributes["to"]]


def spell(node: Node, opset: int) -> list[Spelled]:
    from onnx import helper

    number = helper.np_dtype_to_tensor_dtype(np.dtype(node.attributes["to"]))
    return [Spelled("Cast", node.inputs, node.outputs, {"to": number})]


OPERATOR = Operator(
    "Cast", read, same_shape, run,
    (
        Case("to_int64", ((4, 9),), {"to": "int64"}),
        Case("to_int32", ((37,),), {"to": "int32"}),
        Case("to_bool", ((4, 9),), {"to": "bool"}),
        Case("from_bool", ((4, 9),), {"to": "float32"}, dtypes=("bool",)),
        Case("from_int64", ((3, 5, 4),), {"to": "float32"}, dtypes=("int64",)),
    ),
    types=types, spell=spell,
)  # fmt: skip
