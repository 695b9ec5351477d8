"""Read PyTorch networks as a `Graph`: exported programs (.pt2), and modules in memory; both by way of ONNX.

A .pt2 is not data alone: torch.export.load unpickles what the archive asks it to, evaluates size expressions
and loads compiled libraries. So the archive is read into memory once and examined first: only plain tensors,
ATen operators and simple size expressions pass, and pickled members must load with weights_only=True.
"""

from __future__ import annotations

import ast
import copy
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from trine.compilers.graph import Graph, Shape
from trine.compilers.onnx_loader import accept
from trine.compilers.onnx_normaliser import quiet
from trine.compilers.onnx_reader import lower
from trine.devices.errors import InputError, MissingExtra

MEMBERS = re.compile(
    r"models/model\.json|data/weights/(weight_\d+|model\.pt|model_weights_config\.json)"
    r"|data/constants/(tensor_\d+|model\.pt|model_constants_config\.json)|data/sample_inputs/model\.pt"
    r"|archive_format|archive_version|byteorder|version|\.data/\w+|extra/.*"
)
TARGETS = re.compile(
    r"torch\.ops\.aten\.(?!from_file\b)\w+(\.(?!_)\w+)?|torch\.ops\.higher_order\.wrap_with_set_grad_enabled"
    r"|torch\.sym_\w+|math\.\w+"
    r"|_operator\.(add|sub|mul|floordiv|truediv|mod|pow|neg|pos|getitem|le|lt|ge|gt|eq|ne|and_|or_|not_)"
)
SIZE_WORDS = re.compile(
    r"Symbol|Integer|Float|Rational|Add|Mul|Pow|Mod|PythonMod|FloorDiv|CeilDiv|CleanDiv|Max|Min|Abs|floor|ceiling"
    r"|Eq|Ne|Le|Lt|Ge|Gt|And|Or|Not"
)


def read_torch(path: Path, shapes: Mapping[str, Shape] | None = None) -> Graph:
    """The network in a .pt2 file that torch.export.save wrote.

    shapes as in `read_onnx`. Raises InputError for a file that is no such archive, that is damaged, or that
    holds more than tensors and ATen operators; MissingExtra without torch; UnsupportedNodes as `read_onnx`.
    """
    torch = _torch("reading .pt2 files")
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    content = path.read_bytes()
    _examine(torch, content, path.name)
    try:
        with quiet("torch"):
            program = torch.export.load(io.BytesIO(content))
            model = _to_onnx(torch, program)
    except Exception as reason:  # torch raises anything on a damaged archive
        raise InputError(
            f"{path.name}: torch cannot read this exported program: {_first(reason)}"
        ) from reason
    return lower(accept(model, path.name, shapes), path.stem)


def from_torch(module: Any, example_inputs: Sequence[Any], name: str | None = None) -> Graph:
    """A `torch.nn.Module` as a `Graph`; the module itself is left as it is.

    example_inputs: float32 tensors [n, *shape], one for each argument of forward, the first axis the batch;
    only their first example is used. The module is exported in evaluation mode. Raises InputError when
    torch.export cannot trace it, MissingExtra without torch, UnsupportedNodes as `read_onnx`.
    """
    torch = _torch("reading torch modules")
    label = name or type(module).__name__
    if any(not isinstance(x, torch.Tensor) or x.ndim == 0 for x in example_inputs):
        raise InputError(f"{label}: example inputs must be tensors with a batch axis first")
    try:
        with quiet("torch"), torch.no_grad():
            examples = tuple(x[:1] for x in example_inputs)
            program = torch.export.export(copy.deepcopy(module).eval(), examples)
            model = _to_onnx(torch, program)
    except Exception as reason:  # whatever the user's forward raises
        raise InputError(f"{label}: torch.export cannot trace this module: {_first(reason)}") from reason
    return lower(accept(model, label), label)


def _torch(purpose: str) -> Any:
    try:
        import torch
    except ImportError:
        raise MissingExtra("torch", "torch", purpose) from None
    return torch


def _first(reason: Exception) -> str:
    lines = str(reason).strip().splitlines()
    return lines[0] if lines else type(reason).__name__


def _to_onnx(torch: Any, program: Any) -> Any:
    return torch.onnx.export(program, dynamo=True, verbose=False).model_proto


def _examine(torch: Any, content: bytes, name: str) -> None:
    """Raise InputError unless loading the archive can run no code of its author's. Reads it as torch does."""
    try:
        reader = torch._C.PyTorchFileReader(io.BytesIO(content))
        records = {record: reader.get_record(record) for record in reader.get_all_records()}
        documents = {record: json.loads(data) for record, data in records.items() if record.endswith(".json")}
        is_program = records.get("archive_format") == b"pt2"
    except (RuntimeError, ValueError, UnicodeDecodeError, RecursionError) as reason:
        raise InputError(f"{name}: not a .pt2 archive, or a damaged one: {_first(reason)}") from None
    if not is_program or "models/model.json" not in records:
        raise InputError(
            f"{name}: not an exported program: write it with torch.export.save (torch 2.8 or newer)"
        )
    problems = [f"member {record}" for record in sorted(records) if not MEMBERS.fullmatch(record)]
    problems += [problem for document in documents.values() for problem in _suspicious(document)]
    for record, data in sorted(records.items()):
        if record.endswith(".pt") and data:
            try:
                torch.load(io.BytesIO(data), weights_only=True)
            except Exception as reason:
                problems.append(f"member {record} pickles more than tensors ({_first(reason)})")
    if problems:
        listed = "\n  ".join(dict.fromkeys(problems))
        raise InputError(
            f"{name}: refused: loading these parts could run code:\n  {listed}\n  export it to ONNX instead"
        )


def _suspicious(document: Any) -> Iterator[str]:
    """What of a JSON document of the archive could run code when loaded."""
    pending = [document]
    while pending:
        item = pending.pop()
        if isinstance(item, list):
            pending.extend(item)
        if not isinstance(item, dict):
            continue
        pending.extend(item.values())
        target, path = item.get("target"), item.get("path_name", "")
        if isinstance(target, str) and "inputs" in item and not TARGETS.fullmatch(target):
            yield f"operator {target}"
        if item.get("use_pickle") or (isinstance(path, str) and path.startswith(("custom_obj", "opaque"))):
            yield f"pickled member {path}"
        if "expr_str" in item and not plain_size(item["expr_str"]):
            yield f"size expression {item['expr_str']!r}"
        if any(isinstance(value, str) and "__enum__" in value for value in item.values()):
            yield "an enumeration, which imports a module"


def plain_size(expression: Any) -> bool:
    """Whether evaluating a size expression does arithmetic on symbols and numbers, and nothing else."""
    try:
        tree = ast.parse(expression, mode="eval") if isinstance(expression, str) else None
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    if tree is None:
        return False
    quoted = {id(node.args[0]) for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            fine = bool(SIZE_WORDS.fullmatch(node.id) or re.fullmatch(r"[suz]+\d+", node.id))
        elif isinstance(node, ast.Call):
            fine = isinstance(node.func, ast.Name) and bool(SIZE_WORDS.fullmatch(node.func.id))
        elif isinstance(node, ast.Constant):
            text = (
                isinstance(node.value, str) and id(node) in quoted and re.fullmatch(r"[suz]+\d+", node.value)
            )
            fine = isinstance(node.value, bool | int | float) or bool(text)
        elif isinstance(node, ast.keyword):
            fine = node.arg in ("positive", "integer", "nonnegative", "evaluate")
        else:
            arithmetic = (
                ast.Expression,
                ast.BinOp,
                ast.UnaryOp,
                ast.Compare,
                ast.operator,
                ast.unaryop,
                ast.cmpop,
            )
            fine = isinstance(node, (*arithmetic, ast.expr_context))
        if not fine:
            return False
    return True
