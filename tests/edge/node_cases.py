"""ONNX's node tests, one operator each, run through the float32 C.

`python tests/edge/node_cases.py` prints the table of docs/onnx-node-tests.md: for each operator the cases passed of the
cases there are, and why the others are refused.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from trine.compilers.graph import Array, Graph
from trine.compilers.onnx_loader import accept
from trine.compilers.onnx_reader import lower
from trine.compilers.operators import operators
from trine.devices.errors import InputError
from trine.edge.c.emit import emit_c
from trine.edge.emulate.host import HostCompiler, HostMachine
from trine.edge.float32 import float_program, writers
from trine.edge.operators import kernel_of
from trine.edge.parity import as_bytes, entry_of

# Operators whose first axis is the batch by definition: read with one, the others whole.
BATCHED = frozenset(
    {
        "AveragePool", "BatchNormalization", "Conv", "ConvTranspose", "GlobalAveragePool", "GlobalMaxPool",
        "GroupNormalization", "InstanceNormalization", "LpPool", "MaxPool", "Gemm",
        "DepthToSpace", "SpaceToDepth", "Resize",
    }
)  # fmt: skip
RECURRENT = frozenset({"GRU", "LSTM", "RNN"})
RTOL, ATOL = 1e-3, 1e-7  # those of onnx.backend.test


@dataclass(frozen=True)
class NodeCase:
    """One node test: the model, and sets of inputs and outputs by name."""

    name: str
    model: Any
    sets: tuple[tuple[Mapping[str, Array], Mapping[str, Array]], ...]


@dataclass(frozen=True)
class Outcome:
    """passed, refused (with the reason a user is told) or failed."""

    verdict: str
    reason: str = ""


@cache
def node_cases() -> Mapping[str, Mapping[str, NodeCase]]:
    """Cases of every operator that has float32 C, or is read as others that have, by operator and name.

    Those that expand a function are left out.
    """
    from onnx.backend.test.loader import load_model_tests

    known = set(writers()) | {name for name, record in operators().items() if not record.cases}
    found: dict[str, dict[str, NodeCase]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the cases are computed while they are loaded, overflows among them
        tests = sorted(load_model_tests(kind="node"), key=lambda test: str(test.name))
    for test in tests:
        model = test.model
        ops = [node.op_type for node in model.graph.node]
        if len(ops) != 1 or ops[0] not in known:
            continue
        names = [[value.name for value in values] for values in (model.graph.input, model.graph.output)]
        sets = tuple(
            (
                dict(zip(names[0], arrays(given), strict=False)),
                dict(zip(names[1], arrays(wanted), strict=False)),
            )
            for given, wanted in test.data_sets
        )
        found.setdefault(ops[0], {})[test.name] = NodeCase(test.name, model, sets)
    return found


def arrays(values: Sequence[Any]) -> list[Any]:
    """A test's values as arrays, where they are tensors."""
    from onnx import TensorProto, numpy_helper

    plain = [numpy_helper.to_array(v) if isinstance(v, TensorProto) else v for v in values]
    return [np.asarray(v) if isinstance(v, np.generic | np.ndarray) else v for v in plain]


def examine(case: NodeCase) -> Outcome:
    """Read the case, print its C, run it, compare."""
    for constant in (False, True):
        outcome = attempt(case, constant)
        if outcome.verdict != "refused":
            return outcome
    return outcome


def attempt(case: NodeCase, constant: bool) -> Outcome:
    """One way to read the case: all inputs given at run time, or all but the first known when compiling."""
    for given, wanted in case.sets:
        try:
            graph, feed, places = graph_of(case, given, constant)
        except InputError as reason:
            return Outcome("refused", str(reason).split("\n")[-1].strip())
        problem = compare(graph, feed, wanted, places)
        if problem:
            return Outcome("failed", problem)
    return Outcome("passed")


def graph_of(
    case: NodeCase, given: Mapping[str, Array], constant: bool
) -> tuple[Graph, dict[str, Array], dict[str, int | None]]:
    """The graph, what it is fed with, and where the batch axis of every input and output lies."""
    import onnx
    from onnx import numpy_helper

    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    feed = dict(given)
    if constant:
        for value in list(model.graph.input)[1:]:
            if isinstance(feed[value.name], np.ndarray):
                model.graph.initializer.append(numpy_helper.from_array(feed.pop(value.name), value.name))
                model.graph.input.remove(value)
    places = batch_places(model)
    for value in model.graph.input:
        if places[value.name] is not None:
            if len(value.type.tensor_type.shape.dim) <= (places[value.name] or 0):
                raise InputError(f"input {value.name} has no batch axis")
            value.type.tensor_type.shape.dim[places[value.name]].dim_value = 1  # one example at a time
    inputs = {value.name: places[value.name] for value in model.graph.input}
    whole = None in inputs.values()
    graph = lower(accept(model, case.name, None, False), case.name, None if whole else inputs)
    known = {tensor.name for tensor in graph.inputs}
    return graph, {name: value for name, value in feed.items() if name in known}, places


def batch_places(model: Any) -> dict[str, int | None]:
    """Where the batch axis of every input and output lies: nowhere, first, or where recurrent operators have it."""
    (node,) = model.graph.node
    names = [value.name for value in (*model.graph.input, *model.graph.output)]
    if node.op_type in RECURRENT:
        second = next((a.i for a in node.attribute if a.name == "layout"), 0) == 0
        return {name: (2 if name == node.output[0] else 1) if second else 0 for name in names}
    return dict.fromkeys(names, 0 if node.op_type in BATCHED else None)


def examples_first(value: Array, place: int | None) -> Array:
    """A value with its batch axis first, or as the one example it is."""
    return value[None] if place is None else np.moveaxis(value, place, 0)


def compare(
    graph: Graph, feed: Mapping[str, Array], wanted: Mapping[str, Array], places: Mapping[str, int | None]
) -> str:
    """Run the C of a graph on one set of inputs; what differs, or nothing."""
    program = replace(float_program(graph), name="case")
    inputs = {name: examples_first(value, places[name]) for name, value in feed.items()}
    with TemporaryDirectory() as folder:
        sources = emit_c(program)
        place = Path(folder)
        (place / "case.h").write_text(sources.header)
        (place / "case.c").write_text(sources.source)
        with HostMachine(place, entry_of(program, sources.name), HostCompiler("-O0")) as machine:
            found = machine.run([as_bytes(inputs[name]) for name in program.inputs])
    for name, raw in zip(program.outputs, found, strict=True):
        tensor, right = program.tensors[name], examples_first(wanted[name], places[name])
        values = raw.view(tensor.dtype).reshape(len(raw), *tensor.shape)
        if values.shape != right.shape or values.dtype != right.dtype:
            return f"{name} is {values.dtype} {values.shape}, should be {right.dtype} {right.shape}"
        if not np.allclose(values, right, RTOL, ATOL, equal_nan=True):
            gap = np.abs(values.astype(np.float64) - right.astype(np.float64))
            return f"{name} differs by up to {np.nanmax(gap):.3g}"
    return ""


def tried(case: NodeCase) -> Outcome:
    """As `examine`, with any defect as a failure."""
    try:
        return examine(case)
    except Exception as error:
        return Outcome("failed", f"{type(error).__name__}: {str(error)[:100]}")


def row(operator: str, outcomes: Sequence[Outcome]) -> str:
    """The operator's row of docs/onnx-node-tests.md."""
    good = sum(outcome.verdict == "passed" for outcome in outcomes)
    reasons = dict.fromkeys(plain(o.reason) for o in outcomes if o.verdict != "passed")
    integer = (
        kernel_of()[operator].name if operator in kernel_of() else "-" if operator in writers() else "as read"
    )
    return f"| {operator} | {integer} | {good} | {len(outcomes)} | {'; '.join(sorted(reasons))} |"


def plain(reason: str) -> str:
    """Why a case is refused, without the names of that case."""
    return re.sub(r"^(node|test)_?[\w ]*(\(\w+\))?: |[|]", "", reason).strip()[:160]


def page() -> str:
    """The table of docs/onnx-node-tests.md, between its markers."""
    rows, passed, total = [], 0, 0
    for operator, cases in sorted(node_cases().items()):
        outcomes = [tried(case) for case in cases.values()]
        rows.append(row(operator, outcomes))
        passed, total = passed + sum(o.verdict == "passed" for o in outcomes), total + len(outcomes)
    head = "| operator | int8 kernel | passed | cases | refused, and why |\n|---|---|---|---|---|"
    return "\n".join([f"{passed} of {total} node tests of {len(rows)} operators pass.", "", head, *rows])


if __name__ == "__main__":
    print(page())
