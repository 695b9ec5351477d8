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
    dtypes = case.dtypes or ("float32",) * len(case.shapes)
    inputs = tuple(
        Tensor(f"x{i}", shape, dtype)
        for i, (shape, dtype) in enumerate(zip(case.shapes, dtypes, strict=True))
    )
    constants = {f"c{i}": value for i, value in enumerate(case.constants) if value is not None}
    names = [tensor.name for tensor in inputs]
    names += ["" if value is None else f"c{i}" for i, value in enumerate(case.constants)]
    outputs = ("y", *(f"y{i}" for i in range(1, case.outputs)))
    node = Node(operator, f"{operator}_{case.name}", tuple(names), outputs, case.attributes)
    before = [*case.shapes, *(() if value is None else value.shape for value in case.constants)]
    kinds = [*dtypes, *("" if value is None else value.dtype.name for value in case.constants)]
    record = operators()[operator]
    results = zip(outputs, record.shapes(node, before), record.types(node, kinds), strict=True)
    tensors = {tensor.name: tensor for tensor in (*inputs, *(Tensor(*result) for result in results))}
    return Graph(f"{operator}_{case.name}", inputs, outputs, (node,), constants, tensors)


def form_model(operator: Operator, form: Form, opset: int) -> Any:
    """The one-node `onnx.ModelProto` of a form, batch axis free."""
    import onnx
    import onnx.shape_inference
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
    types = {value.name: value.type for value in inputs}
    types |= {c.name: helper.make_tensor_type_proto(c.data_type, c.dims) for c in constants}
    schema = onnx.defs.get_schema(operator.name, opset, operator.domain)
    output = helper.make_empty_tensor_value_info("y")
    known = onnx.shape_inference.infer_node_outputs(schema, node, types) if not operator.domain else {}
    output.type.tensor_type.elem_type = known["y"].tensor_type.elem_type if known else TensorProto.FLOAT
    graph = helper.make_graph([node], form.name, inputs, [output], constants)
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=helper.find_min_ir_version_for(opsets))


def draw(graph: Graph, n: int, seed: int = 0) -> dict[str, Array]:
    """Standard normal examples for every input, {name: [n, *shape]}; small whole numbers and truth values by type."""
    rng = np.random.default_rng(seed)

    def values(tensor: Tensor) -> Array:
        kind = np.dtype(tensor.dtype).kind
        if kind == "b":
            return rng.random((n, *tensor.shape)) < 0.5
        if kind in "iu":
            return rng.integers(-3 if kind == "i" else 0, 4, (n, *tensor.shape)).astype(tensor.dtype)
        return folded(rng.normal(0, 1, (n, *tensor.shape)), *interval(graph, tensor.name)).astype(
            tensor.dtype
        )

    return {tensor.name: values(tensor) for tensor in graph.inputs}


def interval(graph: Graph, name: str) -> tuple[float, float]:
    """Where the values of an input must lie for the nodes that read it (`Operator.reals`)."""
    ends = [
        operators()[node.op].reals[i]
        for node in graph.nodes
        for i, read in enumerate(node.inputs)
        if read == name and i in operators()[node.op].reals
    ]
    return max([low for low, _ in ends], default=-np.inf), min([high for _, high in ends], default=np.inf)


def folded(x: Array, low: float, high: float) -> Array:
    """Values mirrored at the ends of an interval until they lie inside."""
    x = low + np.abs(x - low) if np.isfinite(low) else x
    return np.maximum(high - np.abs(high - x), low) if np.isfinite(high) else x
