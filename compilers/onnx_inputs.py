"""The inputs of an ONNX model: float32 tensors, the batch axis first, every other axis of a fixed size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trine.compilers.graph import Shape
from trine.devices.errors import nearest


def _inputs(model: Any) -> list[Any]:
    constants = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in constants]


def _dims(value: Any) -> list[int | str | None]:
    dims = value.type.tensor_type.shape.dim
    return [d.dim_value if d.HasField("dim_value") else (d.dim_param or None) for d in dims]


def input_problems(model: Any, shapes: Mapping[str, Shape], batched: bool = True) -> list[str]:
    """Inputs that are no tensors of numbers of a known shape with a batch axis; shapes as the user gave them."""
    from onnx import TensorProto

    inputs = _inputs(model)
    names = [value.name for value in inputs]
    problems = [
        f"--shape names {n}, which is no input; {nearest(n, names)}" for n in shapes if n not in names
    ]
    if not inputs:
        problems.append("the graph has no inputs")
    for value in inputs:
        kind = value.type.WhichOneof("value")
        if kind != "tensor_type":
            problems.append(
                f"input {value.name} is a {(kind or 'untyped value').removesuffix('_type')}, not a tensor"
            )
        elif value.type.tensor_type.elem_type not in {getattr(TensorProto, kind) for kind in KINDS}:
            known = value.type.tensor_type.elem_type in TensorProto.DataType.values()
            given = (
                TensorProto.DataType.Name(value.type.tensor_type.elem_type).lower() if known else "untyped"
            )
            problems.append(
                f"input {value.name} is {given}: export the model with an input of float32 (or of "
                f"{', '.join(kind.lower() for kind in KINDS[1:])})"
            )
        elif batched:
            problems += _shape_problems(value, shapes.get(value.name))
    return problems


def _shape_problems(value: Any, given: Shape | None) -> list[str]:
    dims, name = _dims(value), value.name
    known = value.type.tensor_type.HasField("shape")
    if given is not None:
        if known and len(given) != len(dims):
            return [f"--shape {name}={_join(given)} has {len(given)} axes, the model's input has {len(dims)}"]
        if min(given, default=0) < 1 or given[0] != 1:
            return [
                f"--shape {name}={_join(given)}: the first axis is the batch and must be 1, others positive"
            ]
        return []
    if not known:
        return [f"input {name} states no shape: give it with --shape {name}=1,..."]
    if not dims:
        return [f"input {name} is a scalar: it needs a batch axis first"]
    advice = _join([1, *(d if isinstance(d, int) and d > 0 else 128 for d in dims[1:])])
    problems = []
    if isinstance(dims[0], int) and dims[0] > 1:
        problems.append(
            f"input {name} has a fixed batch of {dims[0]} (first axis): export it with a batch of 1 or a "
            f"dynamic one, or try --shape {name}={advice}"
        )
    for axis, dim in enumerate(dims[1:], 1):
        if not isinstance(dim, int) or dim < 1:
            open_axis = f"axis {axis} ({dim})" if isinstance(dim, str) else f"axis {axis}"
            problems.append(
                f"input {name}: {open_axis} has no fixed size: give it, as in --shape {name}={advice}"
            )
    return problems


def _join(shape: Any) -> str:
    return ",".join(map(str, shape))


KINDS = ("FLOAT", "DOUBLE", "BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64")


def fix_shapes(model: Any, shapes: Mapping[str, Shape]) -> None:
    """One example a run: batch 1 everywhere, so that shape arithmetic becomes constants."""
    for value in _inputs(model):
        dims = shapes.get(value.name) or (1, *(int(size or 0) for size in _dims(value)[1:]))
        tensor = value.type.tensor_type
        tensor.ClearField("shape")
        for size in dims:
            tensor.shape.dim.add().dim_value = int(size)
    del model.graph.value_info[:]
    given = {value.name: value for value in _inputs(model)}
    for value in model.graph.output:
        if value.name in given:  # an input handed through
            value.type.CopyFrom(given[value.name].type)
        else:
            value.type.tensor_type.ClearField("shape")
