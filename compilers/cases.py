"""Turn an operator's `Case` or `Form` into something that runs, for the catalogue-wide tests.

A package that adds an operator through the entry point `trine.operators` checks it with the same functions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from trine.compilers.graph import Array, Graph, Node, Tensor
from trine.compilers.operators import Case, Form, Operator, operators


def case_graph(operator: str, case: Case) -> Graph:
    """The one-node network of a case: inputs x0, x1, ..., constants c0, c1, ..., output y."""
    inputs = tuple(Tensor(f"x{i}", shape) for i, shape in enumerate(case.shapes))
    constants = {f"c{i}": value for i, value in enumerate(case.constants) if value is not None}
    names = [tensor.name for tensor in inputs]
    names += ["" if value is None else f"c{i}" for i, value in enumerate(case.constants)]
    node = Node(operator, f"{operator}_{case.name}", tuple(names), ("y",), case.attributes)
    before = [*case.shapes, *(() if value is None else value.shape for value in case.constants)]
    (after,) = operators()[operator].shapes(node, before)
    tensors = {tensor.name: tensor for tensor in (*inputs, Tensor("y", after))}
    return Graph(f"{operator}_{case.name}", inputs, ("y",), (node,), constants, tensors)


def form_model(operator: Operator, form: Form, opset: int) -> Any:
    """The one-node `onnx.ModelProto` of a form, batch axis free."""
    from onnx import TensorProto, helper, numpy_helper

    count = len(form.shapes) + len(form.constants)
    shapes = iter(enumerate(form.shapes))
    names, inputs, constants = [], [], []
    for position in range(count):
        if position not in form.constants:
            i, shape = next(shapes)
            names.append(f"x{i}")
            inputs.append(helper.make_tensor_value_info(f"x{i}", TensorProto.FLOAT, ["n", *shape]))
            continue
        value = form.constants[position]
        names.append("" if value is None else f"c{position}")
        if value is not None:
            constants.append(numpy_helper.from_array(value, f"c{position}"))
    node = helper.make_node(operator.name, names, ["y"], f"{operator.name}_{form.name}", **form.attributes)
    output = helper.make_empty_tensor_value_info("y")
    output.type.tensor_type.elem_type = TensorProto.FLOAT
    graph = helper.make_graph([node], form.name, inputs, [output], constants)
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=helper.find_min_ir_version_for(opsets))


def draw(graph: Graph, n: int, seed: int = 0) -> dict[str, Array]:
    """Standard normal examples for every input: {name: [n, *shape] float32}."""
    rng = np.random.default_rng(seed)
    return {t.name: rng.normal(0, 1, (n, *t.shape)).astype(np.float32) for t in graph.inputs}
