"""Whether the types that reach an ONNX operator are those ONNX allows it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

NAMES = {
    "float32": "float",
    "float64": "double",
    "float16": "float16",
    "bool": "bool",
    "bfloat16": "bfloat16",
}


@cache
def allowed(op: str, opset: int, domain: str) -> tuple[tuple[tuple[frozenset[str], bool], ...], bool] | None:
    """(types of each input and whether it may be absent, whether the last repeats); None for an unknown operator."""
    from onnx import defs

    try:
        schema = defs.get_schema(op, opset if not domain else 3, domain)
    except defs.SchemaError:
        return None
    options = defs.OpSchema.FormalParameterOption
    inputs = tuple((frozenset(one.types), one.option == options.Optional) for one in schema.inputs)
    repeats = bool(schema.inputs) and schema.inputs[-1].option == options.Variadic
    return inputs, repeats


def type_problem(op: str, opset: int, domain: str, types: Sequence[str]) -> str:
    """What is wrong with the NumPy types of a node's inputs ("" for an absent one); "" where nothing is."""
    known = allowed(op, opset, domain)
    if known is None or not known[0]:
        return ""
    inputs, repeats = known
    for i, name in enumerate(types):
        if i >= len(inputs) and not repeats:
            return f"it has {len(types)} inputs; ONNX gives it {len(inputs)} at most"
        fits, optional = inputs[min(i, len(inputs) - 1)]
        if not name and not optional:
            return f"its input {i + 1} is absent"
        written = f"tensor({NAMES.get(name, name)})"
        if name and written not in fits and any(one.startswith("tensor(") for one in fits):
            return f"its input {i + 1} is {name}, which ONNX does not allow there"
    return ""
