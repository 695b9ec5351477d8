"""Broken and odd files, each from one seed: mutated bytes, mutated protobuf fields, grammar-made graphs, .npz files."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from archives import npz
from values import DTYPES, INTEGERS, LIMIT, REALS, TEXTS, mutate_bytes


def mutate_fields(rng: random.Random, data: bytes) -> bytes:
    """The model parsed, and a few fields anywhere in it changed to something else of their type."""
    import onnx

    model = onnx.load_model_from_string(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        mutate_message(rng, model)
    return bytes(model.SerializeToString()[:LIMIT])


def mutate_operands(rng: random.Random, data: bytes) -> bytes:
    """The model with a few inputs of its nodes taken away, exchanged, of other ranks, or other constants."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load_model_from_string(data)
    graph = model.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    for k in range(rng.choice((1, 1, 2))):
        node = rng.choice(graph.node)
        if not node.input:
            continue
        if graph.input and rng.random() < 0.3:
            change_rank(rng, rng.choice(graph.input))
            continue
        at, how = rng.randrange(len(node.input)), rng.randrange(4)
        value = array(rng)
        if how == 0:
            node.input[at] = rng.choice(("", *(name for other in graph.node for name in other.input)))
            continue
        if how == 1 and node.input[at] in stored:
            value = numpy_helper.to_array(stored[node.input[at]])
            value = rng.choice(
                (value.reshape(-1), value[None], value[..., None], value.reshape(-1)[:1].squeeze())
            )
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), f"other{k}"))
        node.input[at] = f"other{k}"
    return bytes(model.SerializeToString()[:LIMIT])


def change_rank(rng: random.Random, value: Any) -> None:
    """An input of the graph with an axis more, less or of another size."""
    axes = value.type.tensor_type.shape.dim
    sizes = [copied(axis) for axis in axes]
    at = rng.randrange(len(sizes) + 1)
    if sizes and rng.random() < 0.5:
        del sizes[min(at, len(sizes) - 1)]
    else:
        sizes.insert(at, type(value.type.tensor_type.shape.dim.add())(dim_value=rng.choice((1, 1, 2, 3, 7))))
    del axes[:]
    axes.extend(sizes)


def mutate_message(rng: random.Random, message: Any) -> None:
    """Walk down to a random message and change one of its fields."""
    while True:
        fields = message.DESCRIPTOR.fields
        inside = [f for f in fields if f.type == f.TYPE_MESSAGE and (has(message, f))]
        if not inside or rng.random() < 0.25:
            break
        field = rng.choice(inside)
        value = getattr(message, field.name)
        message = rng.choice(list(value)) if repeated(field) else value
    present = [f for f in fields if has(message, f)]
    field = rng.choice(present if present and rng.random() < 0.8 else list(fields))
    if repeated(field):
        change_list(rng, message, field)
    elif field.type == field.TYPE_MESSAGE:
        if rng.random() < 0.7:
            message.ClearField(field.name)
        else:
            getattr(message, field.name).SetInParent()
    elif rng.random() < 0.15:
        message.ClearField(field.name)
    else:
        setattr(message, field.name, scalar(rng, field))


def has(message: Any, field: Any) -> bool:
    return bool(len(getattr(message, field.name))) if repeated(field) else message.HasField(field.name)


def repeated(field: Any) -> bool:
    label = getattr(field, "is_repeated", None)
    return bool(label) if label is not None else field.label == field.LABEL_REPEATED


def change_list(rng: random.Random, message: Any, field: Any) -> None:
    """Take out, repeat, shuffle, change or add entries."""
    values = getattr(message, field.name)
    how = rng.randrange(5)
    if len(values) and how == 0:
        del values[rng.randrange(len(values))]
    elif len(values) and how == 1:
        values.append(values[rng.randrange(len(values))])
    elif len(values) and how == 2:
        kept = list(values)
        rng.shuffle(kept)
        copies = [copied(value) for value in kept]
        del values[:]
        values.extend(copies)
    elif field.type == field.TYPE_MESSAGE:
        values.add()
    elif len(values) and how == 3:
        values[rng.randrange(len(values))] = scalar(rng, field)
    else:
        values.extend([scalar(rng, field)] * rng.choice((1, 1, 2, 300)))


def copied(value: Any) -> Any:
    if not hasattr(value, "CopyFrom"):
        return value
    fresh = type(value)()
    fresh.CopyFrom(value)
    return fresh


def scalar(rng: random.Random, field: Any) -> Any:
    """A value of the field's type."""
    if field.type in (field.TYPE_FLOAT, field.TYPE_DOUBLE):
        return rng.choice(REALS)
    if field.type == field.TYPE_STRING:
        return rng.choice(TEXTS)
    if field.type == field.TYPE_BYTES:
        return rng.choice(
            (b"", b"\xff\xfe", b"NONE", bytes(rng.randrange(256) for _ in range(rng.choice((4, 8, 40)))))
        )
    if field.type == field.TYPE_ENUM:
        return rng.choice([value.number for value in field.enum_type.values])
    value = rng.choice(INTEGERS)
    return (
        value
        if field.type == field.TYPE_INT64
        else max(min(value, 2**31 - 1), 0 if field.type == field.TYPE_UINT64 else -(2**31))
    )


def grammar(rng: random.Random, data: bytes) -> bytes:
    """A graph out of any of ONNX's operators, with shapes, types and attributes as they come."""
    from onnx import TensorProto, defs, helper, numpy_helper

    opset = rng.choice((13, 13, 17, 18, 20, 21, 22, defs.onnx_opset_version()))
    schemas = [s for s in schemas_of(opset) if s.domain == "" or rng.random() < 0.3]
    shapes = [
        tuple(rng.choice((1, 1, 2, 3, 4, 5, 8)) for _ in range(rng.randrange(5)))
        for _ in range(rng.choice((1, 1, 2)))
    ]
    kinds = (TensorProto.FLOAT,) * 5 + (TensorProto.INT64, TensorProto.BOOL)
    inputs = [
        helper.make_tensor_value_info(f"x{i}", rng.choice(kinds), [rng.choice((1, "n", None, 1)), *shape])
        for i, shape in enumerate(shapes)
    ]  # fmt: skip
    values, constants, nodes = [v.name for v in inputs], [], []
    for i in range(rng.choice((1, 1, 2, 3, 5))):
        schema = rng.choice(schemas)
        count = rng.randint(
            schema.min_input, max(schema.min_input, min(schema.max_input, schema.min_input + 3))
        )
        names = []
        for k in range(count):
            if (k == 0 and rng.random() < 0.95) or rng.random() < 0.3:
                names.append(rng.choice(values))
            elif rng.random() < 0.1:
                names.append("")
            else:
                names.append(f"c{i}_{k}")
                constants.append(numpy_helper.from_array(array(rng), names[-1]))
        outputs = [
            f"y{i}_{k}"
            for k in range(max(1, min(schema.max_output, schema.min_output + rng.choice((0, 0, 1)))))
        ]
        attributes = {}
        for name, attribute in schema.attributes.items():
            if attribute.required or rng.random() < 0.4:
                value = attribute_value(rng, attribute)
                if value is not None:
                    attributes[name] = value
        try:
            nodes.append(
                helper.make_node(schema.name, names, outputs, f"n{i}", domain=schema.domain, **attributes)
            )
        except (TypeError, ValueError):
            continue
        values += outputs
    ends = [
        helper.make_empty_tensor_value_info(name)
        for name in dict.fromkeys(rng.sample(values, min(len(values), rng.choice((1, 1, 2)))))
    ]
    for end in ends:
        end.type.tensor_type.elem_type = TensorProto.FLOAT
    graph = helper.make_graph(nodes, "grammar", inputs, ends, constants)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", rng.choice((1, 3, 5)))]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()[:LIMIT])


@cache
def schemas_of(opset: int) -> list[Any]:
    """Every operator as an opset spells it, always in the same order."""
    from onnx import defs

    found = []
    for domain, name in sorted({(s.domain, s.name) for s in defs.get_all_schemas()}):
        if domain in ("", "ai.onnx.ml"):
            try:
                found.append(defs.get_schema(name, opset if domain == "" else 3, domain))
            except defs.SchemaError:
                continue
    return found


def array(rng: random.Random) -> np.ndarray:
    """A constant: often a small vector of whole numbers, as shapes and axes are."""
    seed = np.random.default_rng(rng.randrange(2**31))
    if rng.random() < 0.5:
        return seed.integers(-3, 6, rng.choice((0, 1, 1, 2, 3, 4))).astype(np.int64)
    shape = tuple(rng.choice((1, 2, 3, 4, 8)) for _ in range(rng.randrange(5)))
    return (seed.normal(0, 2, shape)).astype(rng.choice(DTYPES))


def attribute_value(rng: random.Random, attribute: Any) -> Any:
    """A value of the attribute's type, sensible as often as not."""
    from onnx import numpy_helper

    kind = str(attribute.type).split(".")[-1]
    small = (0, 1, 1, 2, 3, -1, -2)
    if kind == "INT":
        return rng.choice(small if rng.random() < 0.8 else INTEGERS)
    if kind == "INTS":
        return [
            rng.choice(small if rng.random() < 0.9 else INTEGERS)
            for _ in range(rng.choice((0, 1, 2, 3, 4, 6)))
        ]
    if kind == "FLOAT":
        return rng.choice(REALS)
    if kind == "FLOATS":
        return [rng.choice(REALS) for _ in range(rng.choice((0, 1, 2, 3, 6)))]
    if kind == "STRING":
        return rng.choice(
            (*TEXTS, "SAME_UPPER", "VALID", "linear", "nearest", "bidirectional", "reflect", "edge", "wrap")
        )
    if kind == "STRINGS":
        return [rng.choice(("BRANCH_LEQ", "LEAF", *TEXTS)) for _ in range(rng.choice((0, 1, 3)))]
    if kind == "TENSOR":
        return numpy_helper.from_array(array(rng), "t")
    return None


KINDS: dict[str, Callable[[random.Random, bytes], bytes]] = {
    "bytes": mutate_bytes, "fields": mutate_fields, "operands": mutate_operands, "grammar": grammar, "npz": npz,
}  # fmt: skip


def case(seed: int) -> tuple[str, bytes]:
    """(kind, file) of a seed."""
    from corpus import models

    rng = random.Random(seed)
    kind = rng.choices(list(KINDS), (2, 4, 4, 3, 1))[0]
    return kind, KINDS[kind](rng, rng.choice(models()))
