"""LSTM, GRU and RNN: laws of the loop over time, how files spell them, what is refused; Scan and Loop unrolled."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from trine.compilers.cases import case_graph, draw
from trine.compilers.graph import Array, Graph
from trine.compilers.loops import LARGEST_UNROLLED
from trine.compilers.onnx_loader import accept
from trine.compilers.onnx_reader import UnsupportedNodes, lower
from trine.compilers.operators import Case, operators
from trine.compilers.recurrent import watched
from trine.compilers.recurrent_onnx import recurrent_case

KINDS: dict[str, tuple[int, tuple[str, ...], int, dict[str, int]]] = {
    "LSTM": (4, ("Sigmoid", "Tanh", "Tanh"), 2, {"coupled": 0}),
    "GRU": (3, ("Sigmoid", "Tanh"), 1, {"linear_before_reset": 1}),
    "RNN": (1, ("Tanh",), 1, {}),
}


def case_of(op: str, sizes: tuple[int, int, int], directions: tuple[int, ...], **given: Any) -> Case:
    gates, defaults, states, own = KINDS[op]
    return recurrent_case("law", sizes, gates, defaults, states, directions, **{**own, **given})


SIZES = st.tuples(st.integers(1, 6), st.integers(1, 4), st.integers(1, 5))


@settings(max_examples=30, deadline=None)
@given(op=st.sampled_from(sorted(KINDS)), sizes=SIZES, seed=st.integers(0, 99))
def test_reverse_is_forward_on_the_reversed_sequence(op: str, sizes: tuple[int, int, int], seed: int) -> None:
    forward, reverse = (case_graph(op, case_of(op, sizes, (d,))) for d in (0, 1))
    x = draw(forward, 3, seed)
    there, back = forward.run(x), reverse.run({"x0": x["x0"][:, ::-1]})
    np.testing.assert_array_equal(there["y"], back["y"][:, ::-1])
    for name in forward.outputs[1:]:
        np.testing.assert_array_equal(there[name], back[name])


@settings(max_examples=30, deadline=None)
@given(op=st.sampled_from(sorted(KINDS)), sizes=SIZES, cut=st.integers(1, 6), seed=st.integers(0, 99))
def test_a_sequence_is_its_beginning_and_then_its_rest(
    op: str, sizes: tuple[int, int, int], cut: int, seed: int
) -> None:
    """The final states of the first part are the initial states of the second; sequence_lens cuts the same."""
    sizes = (sizes[0] + 1, *sizes[1:])
    cut = min(cut, sizes[0] - 1)
    case = case_of(op, sizes, (0,))
    whole = case_graph(op, case)
    x = draw(whole, 2, seed)["x0"]
    every = whole.run({"x0": x})
    short = case_graph(op, Case("short", case.shapes, case.attributes,
                                (*case.constants, np.array([cut], np.int32)), outputs=case.outputs))  # fmt: skip
    first = short.run({"x0": x})
    np.testing.assert_array_equal(first["y"][:, :cut], every["y"][:, :cut])
    assert not first["y"][:, cut:].any()
    initial = tuple(first[name][0] for name in whole.outputs[1:])
    rest = Case("rest", ((sizes[0] - cut, sizes[1]),), case.attributes,
                (*case.constants, None, *initial), outputs=case.outputs)  # fmt: skip
    second = case_graph(op, rest).run({"x0": x[:1, cut:]})
    np.testing.assert_allclose(second["y"], every["y"][:1, cut:], atol=1e-6)


@pytest.mark.parametrize("op", sorted(KINDS))
def test_two_directions_are_both_alone_side_by_side(op: str) -> None:
    both = case_of(op, (5, 3, 4), (0, 1))
    x = draw(case_graph(op, both), 3)
    together = case_graph(op, both).run(x)
    for d in (0, 1):
        attributes = both.attributes | {"directions": (d,), "activations": both.attributes["activations"][:1]}
        weights = tuple(w[d : d + 1] for w in both.constants if w is not None)
        alone = case_graph(op, Case("one", both.shapes, attributes, weights, outputs=both.outputs)).run(x)
        np.testing.assert_allclose(together["y"][:, :, d : d + 1], alone["y"], atol=1e-6)
        np.testing.assert_allclose(together["y1"][:, d : d + 1], alone["y1"], atol=1e-6)


def test_watched_names_the_states_and_changes_no_value() -> None:
    graph = case_graph("LSTM", case_of("LSTM", (5, 3, 4), (0,)))
    seen = watched(watched(graph))
    seen.check()
    (node,) = seen.nodes
    values = dict(zip(node.outputs, next(iter(seen.trace(draw(graph, 2))))[1], strict=True))
    assert node.outputs[3] == "LSTM_law.cells"
    np.testing.assert_array_equal(values["LSTM_law.cells"][:, -1], values["y2"])
    np.testing.assert_array_equal(values["y"], graph.run(draw(graph, 2))["y"])


def info(name: str, shape: Any, kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def network(
    nodes: list[Any], inputs: list[Any], outputs: list[str], constants: dict[str, Array], opset: int = 18
) -> Any:
    stored = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "net", inputs, [info(name, None) for name in outputs], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def read(model: Any) -> Graph:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return lower(accept(copy, "net"), "net")


def weights(op: str, inputs: int = 3, hidden: int = 4, directions: int = 1) -> dict[str, Array]:
    gates = KINDS[op][0]
    rng = np.random.default_rng(7)
    return {
        "w": rng.normal(0, 0.5, (directions, gates * hidden, inputs)).astype(np.float32),
        "r": rng.normal(0, 0.5, (directions, gates * hidden, hidden)).astype(np.float32),
    }


def transposed(op: str, **attributes: Any) -> list[Any]:
    """As torch exports batch_first: time goes first, and back."""
    return [
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        helper.make_node(op, ["t", "w", "r"], ["y", "h"], "the_node", hidden_size=4, **attributes),
        helper.make_node("Transpose", ["y"], ["z"], perm=[2, 0, 1, 3]),
    ]


@pytest.mark.parametrize("op", sorted(KINDS))
def test_both_layouts_read_as_the_same_network(op: str) -> None:
    first = read(network(transposed(op), [info("x", ["n", 5, 3])], ["z", "h"], weights(op)))
    node = helper.make_node(op, ["x", "w", "r"], ["z", "h"], "the_node", hidden_size=4, layout=1)
    second = read(network([node], [info("x", ["n", 5, 3])], ["z", "h"], weights(op)))
    x = draw(second, 3)
    ours, theirs = first.run(x), second.run(x)
    np.testing.assert_array_equal(ours["z"], theirs["z"])
    np.testing.assert_array_equal(ours["h"], theirs["h"])
    session = onnxruntime.InferenceSession(
        network(transposed(op), [info("x", ["n", 5, 3])], ["z", "h"], weights(op)).SerializeToString()
    )
    z, h = session.run(None, x)
    np.testing.assert_allclose(ours["z"], z, atol=1e-6)
    np.testing.assert_allclose(ours["h"], np.moveaxis(h, 1, 0), atol=1e-6)  # examples first


def refused(model: Any) -> str:
    with pytest.raises(UnsupportedNodes) as caught:
        read(model)
    assert len(caught.value.nodes) == 1
    return caught.value.nodes[0][2]


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"direction": "sideways"}, "direction sideways: it is forward, reverse, bidirectional"),
        ({"direction": "bidirectional"}, "input 1 is (1, 16, 3); (2, 16, 3) fits 2 directions"),
        ({"activations": ["Sigmoid", "Wave", "Tanh"]}, "activation Wave; known are"),
        ({"activations": ["Sigmoid"]}, "1 activations for 1 directions of 3"),
        ({"activations": ["Sigmoid", "Affine", "Tanh"]}, "activation Affine states no alpha"),
    ],
)
def test_what_a_node_cannot_be_is_said(attributes: dict[str, Any], reason: str) -> None:
    assert reason in refused(
        network(transposed("LSTM", **attributes), [info("x", ["n", 5, 3])], ["z"], weights("LSTM"))
    )


def test_a_batch_where_time_should_be_is_refused() -> None:
    node = helper.make_node("GRU", ["x", "w", "r"], ["z"], "the_node", hidden_size=4)
    reason = refused(network([node], [info("x", ["n", 5, 3])], ["z"], weights("GRU")))
    assert "layout 0 has the batch on axis 1 of x, and it lies on axis 0" in reason


def test_weights_computed_at_run_time_are_refused() -> None:
    nodes = [helper.make_node("Tanh", ["v"], ["w"]), *transposed("GRU")]
    model = network(
        nodes, [info("x", ["n", 5, 3]), info("v", ["n", 12, 3])], ["z"], {"r": weights("GRU")["r"]}
    )
    assert "input 1 (w) is computed at run time" in refused(model)


def test_alphas_go_to_the_functions_that_have_them() -> None:
    names = ["HardSigmoid", "Tanh", "LeakyRelu"]
    made = transposed("LSTM", activations=names, activation_alpha=[0.25, 0.1], activation_beta=[0.4])
    graph = read(network(made, [info("x", ["n", 5, 3])], ["z"], weights("LSTM")))
    (node,) = (n for n in graph.nodes if n.op == "LSTM")
    given = node.attributes["activations"][0]
    np.testing.assert_allclose([f[1:] for f in given], [(0.25, 0.4), (0, 0), (0.1, 0)], rtol=1e-6)
    assert [f[0] for f in given] == names


def scan(
    axis: int = 1, length: int = 5, directions: tuple[int, int] = (0, 0), out_axis: int = 1, opset: int = 18
) -> Any:
    """s' = tanh(s w + x), o = 2 s': a recurrence over one axis of x."""
    nodes = [
        helper.make_node("MatMul", ["s", "w"], ["p"]),
        helper.make_node("Add", ["p", "xt"], ["q"]),
        helper.make_node("Tanh", ["q"], ["s2"]),
        helper.make_node("Mul", ["s2", "two"], ["o"]),
    ]
    two = numpy_helper.from_array(np.array(2, np.float32), "two")
    body = helper.make_graph(
        nodes, "body", [info("s", None), info("xt", None)], [info("s2", None), info("o", None)], [two]
    )
    node = helper.make_node(
        "Scan", ["s0", "x"], ["last", "y"], "the_scan", body=body, num_scan_inputs=1, scan_input_axes=[axis],
        scan_input_directions=[directions[0]], scan_output_axes=[out_axis], scan_output_directions=[directions[1]],
    )  # fmt: skip
    w = np.random.default_rng(1).normal(0, 0.5, (3, 3)).astype(np.float32)
    return network(
        [node], [info("s0", ["n", 3]), info("x", ["n", length, 3])], ["last", "y"], {"w": w}, opset
    )


@pytest.mark.parametrize("opset", [13, 18, 21])
@pytest.mark.parametrize(("directions", "out_axis"), [((0, 0), 1), ((1, 0), 1), ((0, 1), -1), ((1, 1), 2)])
def test_scan_is_unrolled_and_equals_onnxruntime(
    directions: tuple[int, int], out_axis: int, opset: int
) -> None:
    model = scan(directions=directions, out_axis=out_axis, opset=opset)
    graph = read(model)
    x = draw(graph, 3)
    last, y = onnxruntime.InferenceSession(model.SerializeToString()).run(None, x)
    ours = graph.run(x)
    np.testing.assert_allclose(ours["last"], last, atol=1e-6)
    np.testing.assert_allclose(ours["y"], y, atol=1e-6)


def loop(trip: int | None, condition: str = "kept", given: bool = False) -> Any:
    """v' = (v + i) / 2."""
    nodes = [
        helper.make_node("Cast", ["i"], ["fi"], to=1),
        helper.make_node("Add", ["v", "fi"], ["v1"]),
        helper.make_node("Mul", ["v1", "half"], ["v2"]),
        helper.make_node("Identity", ["v2"], ["o"]),
    ]
    if condition == "kept":
        nodes.append(helper.make_node("Identity", ["c"], ["c2"]))
    else:
        nodes += [
            helper.make_node("ReduceSum", ["v2"], ["total"], keepdims=0),
            helper.make_node("Less", ["total", "half"], ["c2"]),
        ]
    half = numpy_helper.from_array(np.array(0.5, np.float32), "half")
    body = helper.make_graph(
        nodes, "body", [info("i", [], TensorProto.INT64), info("c", [], TensorProto.BOOL), info("v", None)],
        [info("c2", [], TensorProto.BOOL), info("v2", None), info("o", None)], [half],
    )  # fmt: skip
    constants: dict[str, Array] = {"yes": np.array(True)}
    inputs = [info("x", ["n", 4])]
    if given:
        inputs.append(info("count", ["n"], TensorProto.INT64))
    elif trip is not None:
        constants["count"] = np.array(trip, np.int64)
    name = "" if trip is None else "count"
    return network([helper.make_node("Loop", [name, "yes", "x"], ["last", "y"], "the_loop", body=body)], inputs,
                   ["last", "y"], constants)  # fmt: skip


def test_loop_is_unrolled_and_equals_onnxruntime() -> None:
    model = loop(3)
    graph = read(model)
    x = draw(graph, 2)
    last, y = onnxruntime.InferenceSession(model.SerializeToString()).run(None, x)
    ours = graph.run(x)
    np.testing.assert_allclose(ours["last"], last, atol=1e-6)
    np.testing.assert_allclose(np.moveaxis(ours["y"], 1, 0), y, atol=1e-6)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (loop(3, "computed"), "it may stop early, by a condition that is computed"),
        (loop(None), "it has no trip count"),
        (loop(0), "it runs 0 steps"),
        (loop(10**6), "there is room for"),
        (loop(3, given=True), "its trip count (count) is computed at run time"),
        (scan(length=LARGEST_UNROLLED), "there is room for"),
    ],
    ids=["condition", "no_count", "no_steps", "too_long", "count_given", "scan_too_long"],
)
def test_what_cannot_be_unrolled_is_refused_by_name(model: Any, reason: str) -> None:
    assert reason in refused(model)


def test_every_recurrent_operator_has_a_float_and_an_integer_form() -> None:
    from trine.edge.float32 import writers
    from trine.edge.operators import kernel_of

    for op in KINDS:
        assert operators()[op].cases
        assert op in writers()
        assert op in kernel_of()
