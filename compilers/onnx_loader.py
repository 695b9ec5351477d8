"""Load an ONNX file without trusting it: every defect of the file is one `InputError` that lists them all."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from trine.compilers.graph import Shape
from trine.compilers.ml_exports import unwrap
from trine.compilers.onnx_hazards import hazards, references
from trine.compilers.onnx_inputs import fix_shapes, input_problems
from trine.devices.errors import InputError

OLDEST_OPSET = 13
OLDEST_UPGRADED = 1  # onnx's own converter brings models from here to OLDEST_OPSET


def load_onnx(path: Path, shapes: Mapping[str, Shape] | None = None) -> Any:
    """An `onnx.ModelProto` with its weights in memory and a batch axis of 1 first in every input.

    shapes: whole input shapes by name, batch axis (1) first, for inputs whose shape the file leaves open.
    Raises InputError: not ONNX, truncated, external data missing or outside the folder, opset out of range,
    no nodes, invalid nodes, names written twice or never, NaN or infinite weights, inputs that are not float
    tensors, open shapes.
    """
    model = _parse(path)
    _refuse(path.name, _external_problems(model, path.parent))
    _load_external(model, path)
    return accept(model, path.name, shapes)


def accept(model: Any, name: str, shapes: Mapping[str, Shape] | None = None, batched: bool = True) -> Any:
    """The model itself, its weights in memory already, if it can be lowered; changed to run one example.

    batched: every input has a batch axis first; else tensors are taken whole and must have fixed shapes.
    """
    _refuse(name, [*hazards(_nodes(model)), *references(_inside(model.graph.node))])
    unwrap(model, OLDEST_OPSET)
    model = _upgraded(model)
    _refuse(name, _envelope_problems(model))
    problems = [*_wiring_problems(model.graph), *_schema_problems(model), *_weight_problems(model)]
    _refuse(name, [*problems, *input_problems(model, shapes or {}, batched)])
    if batched:
        fix_shapes(model, shapes or {})
    return model


def _upgraded(model: Any) -> Any:
    """The model at OLDEST_OPSET where it is older and onnx can convert it; else as it is, to be refused later."""
    from onnx import version_converter

    versions = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")]
    if len(versions) != 1 or not OLDEST_UPGRADED <= versions[0] < OLDEST_OPSET:
        return model
    if versions[0] < 9 and any(node.op_type == "Scan" for node in model.graph.node):
        return model  # opset 9 gave Scan other inputs, and the converter does not know
    try:
        return version_converter.convert_version(model, OLDEST_OPSET)
    except Exception:  # whatever the converter makes of a model it does not know
        return model


def _refuse(name: str, problems: list[str]) -> None:
    if problems:
        listed = "\n  ".join(problems)
        raise InputError(f"{name}: {listed}" if len(problems) == 1 else f"{name}:\n  {listed}")


def _parse(path: Path) -> Any:
    import onnx

    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise InputError(f"{path.name}: the file is empty")
    try:
        model = onnx.load_model_from_string(path.read_bytes(), format="protobuf")
    except Exception as reason:  # protobuf's DecodeError, whose module has no types
        raise InputError(f"{path.name}: not an ONNX file, or a truncated one ({reason})") from None
    if not model.ir_version or not model.opset_import:
        raise InputError(f"{path.name}: not an ONNX file: it states no IR version or no opset")
    return model


def _envelope_problems(model: Any) -> list[str]:
    from onnx import defs

    problems = []
    newest = defs.onnx_opset_version()
    versions = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")]
    if not versions:
        problems.append("imports no opset of ONNX's own domain")
    numbers = [model.ir_version, *(entry.version for entry in model.opset_import)]
    if not all(0 < number < 1 << 31 for number in numbers):
        problems.append(f"damaged: it states the versions {', '.join(map(str, numbers))}")
    # What is no UTF-8 comes out of protobuf as bytes.
    broken = [entry.domain for entry in model.opset_import if not isinstance(entry.domain, str)]
    if broken:
        problems.append(f"damaged: an opset's domain is {broken[0]!r}, which is no text")
    problems += [
        f"opset {v} is not supported: {OLDEST_OPSET} to {newest} are; "
        + ("convert it with onnx.version_converter" if v < OLDEST_OPSET else "export with an older opset")
        for v in versions
        if not OLDEST_OPSET <= v <= newest
    ]
    if not model.graph.node:
        problems.append("the graph has no nodes")
    if not all(isinstance(name, str) for name in _names(model.graph)):
        problems.append("damaged: it holds names that are not text")
    if model.graph.sparse_initializer:
        problems.append("sparse initializers are not supported: export dense weights")
    return problems


def _names(graph: Any) -> Iterator[Any]:
    """Every name of the graph; protobuf hands damaged ones over as bytes."""
    for node in graph.node:
        yield from (node.op_type, node.domain, node.name, *node.input, *node.output)
        yield from (attribute.name for attribute in node.attribute)
    yield from (value.name for value in (*graph.initializer, *graph.input, *graph.output))


def _nodes(model: Any) -> Iterator[Any]:
    """Every node of the model, those of sub-graphs and functions among them."""
    yield from _inside([*model.graph.node, *(node for function in model.functions for node in function.node)])


def _inside(nodes: Any) -> Iterator[Any]:
    """Nodes, and those of their sub-graphs."""
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        yield node
        for attribute in node.attribute:
            waiting += [inner for graph in (attribute.g, *attribute.graphs) for inner in graph.node]


def _tensors(model: Any) -> Iterator[Any]:
    """Every TensorProto of the model, sub-graphs and functions among them."""

    def of(nodes: Any) -> Iterator[Any]:
        for node in nodes:
            for attribute in node.attribute:
                if attribute.HasField("t") and attribute.name != "membership_values":  # NaN divides its sets
                    yield attribute.t
                yield from attribute.tensors
                for graph in [attribute.g, *attribute.graphs]:
                    yield from graph.initializer
                    yield from of(graph.node)

    yield from model.graph.initializer
    yield from of(model.graph.node)
    for function in model.functions:
        yield from of(function.node)


def _external_problems(model: Any, folder: Path) -> list[str]:
    """Why an external tensor's file may not be read: it must be a plain file inside the folder."""
    from onnx import TensorProto

    problems = []
    for tensor in _tensors(model):
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        parts = PurePosixPath(location.replace("\\", "/"))
        who = f"external data of {tensor.name} ({location!r})"
        if not location or parts.is_absolute() or ".." in parts.parts or ":" in location or "\0" in location:
            problems.append(f"{who} points outside the model's folder; it must be a relative path inside it")
            continue
        file = folder.joinpath(*parts.parts)
        steps = [folder.joinpath(*parts.parts[: i + 1]) for i in range(len(parts.parts))]
        if any(step.is_symlink() for step in steps):
            problems.append(f"{who} is a symbolic link, which could point outside the model's folder")
        elif not file.exists():
            problems.append(f"{who} is missing; put it beside {folder.name or '.'}/ where the model is")
        elif not stat.S_ISREG(os.lstat(file).st_mode):
            problems.append(f"{who} is not a plain file")
    return problems


def _load_external(model: Any, path: Path) -> None:
    from onnx.checker import ValidationError
    from onnx.external_data_helper import load_external_data_for_model

    try:
        load_external_data_for_model(model, str(path.parent))
    except (OSError, ValueError, ValidationError) as reason:
        raise InputError(f"{path.name}: external data cannot be read: {reason}") from None


def _wiring_problems(graph: Any) -> list[str]:
    """Names written twice, read before they are written, or never written."""
    problems = []
    constants = {tensor.name for tensor in graph.initializer}
    names = [tensor.name for tensor in graph.initializer]
    names += [value.name for value in graph.input if value.name not in constants]
    names += [name for node in graph.node for name in node.output if name]
    problems += [
        f"{name} is written twice" for name in sorted(n for n, count in Counter(names).items() if count > 1)
    ]
    everything, known = set(names), set(names) - {n for node in graph.node for n in node.output}
    for i, node in enumerate(graph.node):
        who = f"node {node.name or i} ({node.op_type})"
        for name in dict.fromkeys(n for n in node.input if n and n not in known):
            if name in everything:
                problems.append(
                    f"{who} reads {name} before it is written: unsorted graph, or one with a cycle"
                )
            else:
                problems.append(f"{who} reads {name}, which nothing writes: an initializer is missing")
        known.update(node.output)
    if not graph.output:
        problems.append("the graph has no outputs")
    problems += [f"output {v.name} is never written" for v in graph.output if v.name not in known]
    return problems


def _schema_problems(model: Any) -> list[str]:
    """Nodes of ONNX's own operators whose attributes or number of inputs are not what ONNX says of them."""
    from onnx import AttributeProto, checker, defs

    context = checker.C.CheckerContext()
    context.ir_version = model.ir_version
    context.opset_imports = {o.domain: o.version for o in model.opset_import}
    problems = []
    graphs = (AttributeProto.GRAPH, AttributeProto.GRAPHS)
    for node in [*model.graph.node, *(node for function in model.functions for node in function.node)]:
        nested = any(attribute.type in graphs for attribute in node.attribute)
        domain = "" if node.domain == "ai.onnx" else node.domain
        if domain not in ("", "ai.onnx.ml") or not defs.has(node.op_type, domain):
            continue  # lowering lists what it does not know
        if nested and node.op_type in ("If", "Loop", "Scan"):
            continue
        try:
            checker.check_node(node, context)
        except checker.ValidationError as reason:
            first = str(reason).strip().split("\n")[0]
            problems.append(f"node {node.name or '(unnamed)'} ({node.op_type}) is not valid ONNX: {first}")
    return problems


def _weight_problems(model: Any) -> list[str]:
    from onnx import numpy_helper

    problems = []
    for tensor in _tensors(model):
        try:
            value = numpy_helper.to_array(tensor)
        except (ValueError, TypeError, KeyError) as reason:
            problems.append(f"tensor {tensor.name or '(unnamed)'} is damaged: {reason}")
            continue
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            if value.size == 1 and not np.isnan(value).any():
                continue  # a lone infinity is how exporters write "no bound"
            count = int(value.size - np.isfinite(value).sum())
            who = f"weight {tensor.name or '(unnamed)'}"
            problems.append(f"{who} holds NaN or infinity in {count} of {value.size} values")
    return problems
