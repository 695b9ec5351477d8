"""Fewer operators, the same network."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from program_samples import chain, conv

from trine.compilers.cases import draw
from trine.compilers.graph import Array, Graph, Node
from trine.edge.simplify import simplify


def same(graph: Graph, simpler: Graph, tolerance: float = 1e-5) -> None:
    """Equal names of inputs and outputs, equal answers."""
    simpler.check()
    assert (simpler.inputs, simpler.outputs) == (graph.inputs, graph.outputs)
    feed = draw(graph, 8)
    wanted = graph.run(feed)
    for name, found in simpler.run(feed).items():
        np.testing.assert_allclose(
            found, wanted[name], rtol=tolerance, atol=tolerance * np.abs(wanted[name]).max()
        )


def ops(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes]


def number(value: float) -> Array:
    return np.array(value, np.float32)


def gelu(
    x: str, y: str, half_first: bool = False, by_product: bool = False
) -> tuple[list[Node], dict[str, Array]]:
    """Gelu as exporters spell it: x / sqrt 2 or x * sqrt(1/2), the half at either end."""
    constants = {"one": number(1), "half": number(0.5), "root": number(sqrt(0.5) if by_product else sqrt(2))}
    nodes = [
        Node("Mul" if by_product else "Div", f"{y}_a", (x, "root"), (f"{y}_ta",)),
        Node("Erf", f"{y}_b", (f"{y}_ta",), (f"{y}_tb",)),
        Node("Add", f"{y}_c", ("one", f"{y}_tb"), (f"{y}_tc",)),
    ]
    if half_first:
        nodes += [
            Node("Mul", f"{y}_d", ("half", x), (f"{y}_td",)),
            Node("Mul", f"{y}_e", (f"{y}_td", f"{y}_tc"), (y,)),
        ]
    else:
        nodes += [
            Node("Mul", f"{y}_d", (x, f"{y}_tc"), (f"{y}_td",)),
            Node("Mul", f"{y}_e", (f"{y}_td", "half"), (y,)),
        ]
    return nodes, constants


@pytest.mark.parametrize("half_first", [False, True])
@pytest.mark.parametrize("by_product", [False, True])
def test_gelu_however_spelled_is_one_operator(half_first: bool, by_product: bool) -> None:
    nodes, constants = gelu("x", "y", half_first, by_product)
    graph = chain("gelu", [("x", (3, 5))], nodes, constants)
    simpler = simplify(graph)
    assert ops(simpler) == ["Gelu"]
    assert simpler.nodes[0].attributes == {"approximate": "none"}
    same(graph, simpler)


def test_two_gelus_in_a_row_are_two_operators() -> None:
    first, constants = gelu("x", "y")
    second, _ = gelu("y", "z")
    graph = chain("twice", [("x", (4,))], [*first, *second], constants)
    assert ops(simplify(graph)) == ["Gelu", "Gelu"]
    same(graph, simplify(graph))


def test_swish_and_tanh_gelu_are_found() -> None:
    swish = [Node("Sigmoid", "s", ("x",), ("t",)), Node("Mul", "m", ("x", "t"), ("y",))]
    graph = chain("swish", [("x", (4,))], swish)
    assert ops(simplify(graph)) == ["Swish"]
    same(graph, simplify(graph))
    cubed = {
        "three": number(3),
        "c": number(0.044715),
        "k": number(sqrt(2 / np.pi)),
        "one": number(1),
        "h": number(0.5),
    }
    nodes = [
        Node("Pow", "p", ("x", "three"), ("a",)), Node("Mul", "q", ("a", "c"), ("b",)),
        Node("Add", "r", ("x", "b"), ("d",)), Node("Mul", "s", ("d", "k"), ("e",)), Node("Tanh", "t", ("e",), ("f",)),
        Node("Add", "u", ("f", "one"), ("g",)), Node("Mul", "v", ("x", "h"), ("i",)),
        Node("Mul", "w", ("i", "g"), ("y",)),
    ]  # fmt: skip
    graph = chain("tanh", [("x", (4,))], nodes, cubed)
    simpler = simplify(graph)
    assert [(node.op, dict(node.attributes)) for node in simpler.nodes] == [("Gelu", {"approximate": "tanh"})]


def test_what_is_read_on_the_way_stays() -> None:
    nodes, constants = gelu("x", "y")
    graph = chain("kept", [("x", (4,))], nodes, constants, ("y", "y_tb"))
    assert "Gelu" not in ops(simplify(graph))
    same(graph, simplify(graph))


def test_a_function_that_is_nearly_gelu_stays_as_it_is() -> None:
    nodes, constants = gelu("x", "y")
    graph = chain("near", [("x", (4,))], nodes, {**constants, "half": number(0.5001)})
    assert "Gelu" not in ops(simplify(graph))


def test_a_product_and_a_sum_a_channel_are_one_operator() -> None:
    rng = np.random.default_rng(0)
    constants = {
        "k": rng.normal(1, 0.3, (3, 1)).astype(np.float32), "o": rng.normal(0, 1, (3, 1)).astype(np.float32),
    }  # fmt: skip
    nodes = [Node("Mul", "m", ("k", "x"), ("t",)), Node("Add", "a", ("t", "o"), ("y",))]
    graph = chain("scale", [("x", (3, 5))], nodes, constants)
    assert ops(simplify(graph)) == ["BatchNormalization"]
    same(graph, simplify(graph))


@pytest.mark.parametrize("shape", [(3, 5), (1, 5), (5,)])
def test_other_products_and_sums_stay(shape: tuple[int, ...]) -> None:
    """A number a place, a number an axis that is no channel."""
    rng = np.random.default_rng(0)
    constants = {name: rng.normal(1, 0.3, shape).astype(np.float32) for name in "ko"}
    nodes = [Node("Mul", "m", ("x", "k"), ("t",)), Node("Add", "a", ("t", "o"), ("y",))]
    graph = chain("places", [("x", (3, 5))], nodes, constants)
    assert ops(simplify(graph)) == ["Mul", "Add"]


@settings(max_examples=30, deadline=None)
@given(group=st.integers(1, 2), bias=st.booleans(), seed=st.integers(0, 99), padded=st.booleans())
def test_a_scale_in_front_of_a_conv_goes_into_it_unless_it_pads(
    group: int, bias: bool, seed: int, padded: bool
) -> None:
    rng = np.random.default_rng(seed)
    constants = {
        "k": rng.normal(1, 0.3, 4).astype(np.float32), "o": rng.normal(0, 1, 4).astype(np.float32),
        "w": rng.normal(0, 0.3, (6, 4 // group, 3)).astype(np.float32), "b": rng.normal(0, 1, 6).astype(np.float32),
    }  # fmt: skip
    scale = Node("BatchNormalization", "n", ("x", "k", "o"), ("t",))
    layer = conv("c", "t", "y", "w", "b", pads=(1, 1) if padded else (0, 0), group=group)
    if not bias:
        layer = Node("Conv", "c", ("t", "w"), ("y",), layer.attributes)
    graph = chain("fold", [("x", (4, 9))], [scale, layer], constants)
    simpler = simplify(graph)
    assert ops(simpler) == (["BatchNormalization", "Conv"] if padded else ["Conv"])
    same(graph, simpler)
