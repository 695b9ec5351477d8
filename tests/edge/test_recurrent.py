"""Recurrent kernels: C = NumPy bit for bit on random layers, near float and onnxruntime, tables within their bound."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from program_samples import Job, hard_inputs, ranges_of, run_on_host, together

from trine.compilers.cases import draw
from trine.compilers.graph import Array, Graph, Node, Tensor
from trine.compilers.operators import operators
from trine.compilers.recurrent import activate, watched
from trine.edge.c.emit import emit_c
from trine.edge.c.recurrent import gates_64
from trine.edge.float32 import float_program
from trine.edge.int16 import every_activation
from trine.edge.lower import lower
from trine.edge.program import IntegerProgram
from trine.edge.qdq import run_qdq, to_qdq
from trine.edge.quantize.replay import decibels, noise_ratio
from trine.edge.recurrent import OFFSETS, ONE, TABLE_ERROR, function_table, looked_up

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
USUAL = {
    "LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",),
}  # fmt: skip
OTHER = {
    "LSTM": ("HardSigmoid", "Softsign", "Tanh"), "GRU": ("HardSigmoid", "Tanh"), "RNN": ("Softsign",),
}  # fmt: skip
LAYERS, CASES = 9, 700  # layers in one C file, inputs of each
LEAST_DB = 30.0  # of random layers against onnxruntime, where they are more than a step apart


def network(
    name: str, given: Sequence[tuple[str, tuple[int, ...]]], node: Node, constants: dict[str, Array]
) -> Graph:
    """One node that reads inputs and constants, all its outputs the network's."""
    inputs = tuple(Tensor(n, shape) for n, shape in given)
    shapes = {t.name: t.shape for t in inputs} | {n: value.shape for n, value in constants.items()} | {"": ()}
    made = operators()[node.op].shapes(node, [shapes[n] for n in node.inputs])
    outputs = [Tensor(n, shape) for n, shape in zip(node.outputs, made, strict=True)]
    return Graph(name, inputs, node.outputs, (node,), constants, {t.name: t for t in (*inputs, *outputs)})


@dataclass(frozen=True)
class Layer:
    """A drawn recurrent layer."""

    op: str
    time: int
    inputs: int
    hidden: int
    directions: tuple[int, ...]
    switch: int  # coupled, linear_before_reset
    clip: float
    other: bool
    start: str  # "", "constant", "input"
    extra: str  # "", "length", "peepholes"
    spread: float  # of the weights; recurrences of large ones are chaotic
    seed: int

    def graph(self, name: str) -> Graph:
        """The one-node network."""
        rng = np.random.default_rng(self.seed)
        count, size = len(self.directions), GATES[self.op] * self.hidden

        def some(*shape: int) -> Array:
            return rng.normal(0, self.spread, shape).astype(np.float32)

        constants = {
            "w": some(count, size, self.inputs),
            "r": some(count, size, self.hidden),
            "b": some(count, 2 * size),
        }
        names = ["x", "w", "r", "b", "", "", "", ""]
        given = [("x", (self.time, self.inputs))]
        if self.extra == "length":
            names[4], constants["length"] = "length", np.array([max(self.time - 1, 1)], np.int32)
        for at, state in ((5, "h0"), (6, "c0"))[: 2 if self.op == "LSTM" else 1]:
            if self.start == "constant":
                names[at], constants[state] = state, some(count, self.hidden)
            elif self.start == "input":
                names[at] = state
                given.append((state, (count, self.hidden)))
        if self.extra == "peepholes" and self.op == "LSTM":
            names[7], constants["p"] = "p", some(count, 3 * self.hidden)
        functions = tuple(
            (f, 0.2, 0.5) if f == "HardSigmoid" else (f, 0.0, 0.0)
            for f in (OTHER if self.other else USUAL)[self.op]
        )
        own = {"LSTM": {"coupled": self.switch}, "GRU": {"linear_before_reset": self.switch}}.get(self.op, {})
        outputs = ("y", "h", "c") if self.op == "LSTM" else ("y", "h")
        attributes: dict[str, Any] = {
            "directions": self.directions, "hidden": self.hidden, "activations": (functions,) * count,
            "clip": self.clip, "batch_axis": -1, **own,
        }  # fmt: skip
        node = Node(self.op, f"{name}_node", tuple(names), outputs, attributes)
        return network(name, given, node, constants)


LAYER = st.builds(
    Layer, st.sampled_from(sorted(GATES)), st.integers(1, 9), st.integers(1, 9), st.integers(1, 9),
    st.sampled_from([(0,), (1,), (0, 1)]), st.integers(0, 1), st.sampled_from([0.0, 0.0, 0.7]), st.booleans(),
    st.sampled_from(["", "constant", "input"]), st.sampled_from(["", "length", "peepholes"]),
    st.sampled_from([0.2, 0.6, 1.5]), st.integers(0, 10**6),
)  # fmt: skip


def integers(graph: Graph, seed: int = 0, bits: int = 8) -> IntegerProgram:
    """The network in integers, its states' ranges observed; bits: of all activations."""
    seen = watched(graph)
    ranges = ranges_of(seen, draw(seen, 32, seed))
    return lower(seen, ranges, activation_bits=every_activation(seen, bits)).program


def several(layers: list[Layer]) -> Graph:
    """Drawn layers side by side, of each kernel equally many."""
    made = [replace(layer, op=op) for op, layer in zip([*sorted(GATES)] * len(layers), layers, strict=False)]
    return together("layers", [layer.graph(f"layer{i}") for i, layer in enumerate(made)])


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(("core", "files"), [("host", 5), ("cortex-m0", 1)])
def test_c_equals_numpy(core: str, files: int, bits: int, tmp_path: Path) -> None:
    """Five files of three layers of each kernel, 700 inputs: 10,500 random cases of each; one in the other layout."""
    compiled = 0

    @settings(max_examples=files, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.lists(LAYER, min_size=LAYERS, max_size=LAYERS))
    def law(layers: list[Layer]) -> None:
        nonlocal compiled
        program = integers(several(layers), bits=bits)
        inputs = hard_inputs(program, CASES, layers[0].seed)
        (found,) = run_on_host([Job(program, emit_c(program, core), inputs)], tmp_path)
        for name, wanted in program.run(inputs).items():
            np.testing.assert_array_equal(found[name], wanted, err_msg=f"{name} of {layers}")
        compiled += 1

    law()
    assert compiled >= files


@pytest.mark.parametrize("core", ["cortex-m4f", "cortex-m0plus"])
@pytest.mark.parametrize("op", sorted(GATES))
def test_sums_of_int16_that_leave_32_bits(op: str, core: str, tmp_path: Path) -> None:
    """700 inputs of the largest weights; the gates saturate, and do not wrap."""
    layer = Layer(op, 2, 700, 3, (0, 1), 0, 0.0, False, "", "", 0.02, 5)
    graph = layer.graph("long")
    w = np.where(graph.constants["w"] < 0, -0.011, 0.011).astype(np.float32)
    program = integers(replace(graph, constants={**graph.constants, "w": w}), bits=16)
    assert gates_64(program.steps[0])
    inputs = hard_inputs(program, 40)
    inputs["x"][0] = np.where(w[0, 0] < 0, -32768, 32767)
    (found,) = run_on_host([Job(program, emit_c(program, core), inputs)], tmp_path)
    for name, wanted in program.run(inputs).items():
        np.testing.assert_array_equal(found[name], wanted)


def test_layers_of_both_widths_in_one_program(tmp_path: Path) -> None:
    starts = ("", "input", "constant")
    layers = [
        Layer(op, 6, 5, 7, (0, 1), k % 2, 0.0, False, start, "", 0.5, k)
        for k, (op, start) in enumerate(product(sorted(GATES), starts))
    ]
    seen = watched(together("layers", [layer.graph(f"layer{i}") for i, layer in enumerate(layers)]))
    places = {name: int(re.findall(r"\d+", name)[0]) for name in every_activation(seen)}
    bits = {name: 16 if place % 2 else 8 for name, place in places.items()}
    program = lower(seen, ranges_of(seen, draw(seen, 32, 0)), activation_bits=bits).program
    assert {(s.kernel, program.tensors[s.output].dtype) for s in program.steps} == set(
        product(("gru", "lstm", "rnn"), ("int8", "int16"))
    )
    inputs = hard_inputs(program, 100)
    (found,) = run_on_host([Job(program, emit_c(program, "cortex-m4f"), inputs)], tmp_path)
    for name, wanted in program.run(inputs).items():
        np.testing.assert_array_equal(found[name], wanted)


def test_16_bits_are_nearer_to_float() -> None:
    """Inputs and states of 16 bits with the same weights: what the 8-bit state loses comes back."""
    for op in sorted(GATES):
        graph = Layer(op, 40, 4, 8, (0,), 0, 0.0, False, "", "", 0.4, 3).graph("layer")
        feed = draw(graph, 64, 1)
        wanted = graph.run(feed)["y"]
        found = {}
        for bits in (8, 16):
            program = integers(graph, 0, bits)
            y = program.tensors["y"].dequantize(program.run(program.quantize(feed))["y"])
            found[bits] = decibels(noise_ratio(wanted, y))
        assert found[16] > found[8] + 5, (op, found)


def test_float32_c_is_near_numpy(tmp_path: Path) -> None:
    @settings(max_examples=2, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.lists(LAYER, min_size=LAYERS, max_size=LAYERS))
    def law(layers: list[Layer]) -> None:
        graph = several(layers)
        program, inputs = float_program(graph), draw(graph, 50, layers[0].seed)
        (found,) = run_on_host([Job(program, emit_c(program), inputs)], tmp_path)
        for name, wanted in graph.run(inputs).items():
            # Sums in another order differ in the last bit, and a state fed back with gains above one makes it more.
            np.testing.assert_allclose(
                found[name], wanted, rtol=1e-5, atol=1e-5, err_msg=f"{name} of {layers}"
            )

    law()


@settings(max_examples=60, deadline=None)
@given(LAYER, st.sampled_from([8, 16]))
def test_onnxruntime_on_the_qdq_print_is_near(layer: Layer, bits: int) -> None:
    """It keeps its states in float32: how far it is in steps depends on the weights that the int8 state meets."""
    graph = replace(layer, spread=min(layer.spread, 0.4)).graph("layer")
    program = integers(graph, layer.seed, bits)
    feed = draw(graph, 64, layer.seed)
    theirs, ours = run_qdq(to_qdq(program), program, feed), program.run(program.quantize(feed))
    for name in program.outputs:
        real, mine = (program.tensors[name].dequantize(q[name]) for q in (theirs, ours))
        steps = np.abs(theirs[name].astype(int) - ours[name]).max()
        assert steps <= 1 or decibels(noise_ratio(real, mine)) >= LEAST_DB, (name, steps)


@pytest.mark.parametrize("name", sorted(TABLE_ERROR))
def test_tables_keep_their_bound(name: str) -> None:
    """Every one of the 65,536 arguments, against the function in float64."""
    function = (name, 0.0, 0.0)
    x = np.arange(-32768, 32768)
    y = looked_up(function_table(function), OFFSETS[name], x) / ONE
    real = x / 4096
    exact = np.tanh(real) if name == "Tanh" else 1 / (1 + np.exp(-real))
    assert np.abs(y - exact).max() <= TABLE_ERROR[name]
    assert np.abs(y - exact).max() >= TABLE_ERROR[name] / 4  # the bound says something
    assert (np.diff(y) >= 0).all()
    np.testing.assert_allclose(activate(function, real.astype(np.float32), 0.0), exact, atol=1e-6)


@pytest.mark.parametrize("op", ["LSTM", "GRU"])
def test_a_state_that_moves_slowly_arrives(op: str) -> None:
    """The update gate nearly shut: a step moves the state by a tenth of an int8 step, so only a finer state moves."""
    gate = 6.0  # the sigmoid of it is 0.9975
    if op == "GRU":  # z, r, n
        bias, own = [gate, 0.0, 1.0, 0.0, 0.0, 0.0], {"linear_before_reset": 1}
    else:  # i, o, f, g
        bias, own = [-gate, 4.0, gate, 1.0, 0.0, 0.0, 0.0, 0.0], {"coupled": 0}
    constants = {
        "w": np.full((1, GATES[op], 1), 1e-3, np.float32),
        "r": np.full((1, GATES[op], 1), 1e-3, np.float32),
        "b": np.array([bias], np.float32),
    }
    functions = tuple((f, 0.0, 0.0) for f in USUAL[op])
    attributes = {
        "directions": (0,),
        "hidden": 1,
        "activations": (functions,),
        "clip": 0.0,
        "batch_axis": -1,
        **own,
    }
    outputs = ("y", "h", "c") if op == "LSTM" else ("y", "h")
    node = Node(op, "slow", ("x", "w", "r", "b"), outputs, attributes)
    graph = replace(network("slow", [("x", (300, 1))], node, constants), outputs=("y",))
    program = integers(graph)
    feed = draw(graph, 4)
    exact, found = graph.run(feed)["y"], program.run_float(feed)["y"]
    assert exact[:, -1].min() > 0.3
    assert np.abs(exact - found).max() <= 2 * float(program.tensors["y"].scale)


def test_final_states_alone_take_no_room_for_the_sequence() -> None:
    graph = Layer("GRU", 50, 4, 8, (0,), 1, 0.0, False, "", "", 0.6, 1).graph("layer")
    last = replace(graph, outputs=("h",))
    (step,) = integers(last).steps
    assert step.outputs == ("h",)
    assert emit_c(integers(last)).plan.arena_bytes < 300


REFUSED = [
    (
        replace(Layer("GRU", 3, 2, 2, (0,), 0, 0.0, False, "", "", 0.6, 1), other=False),
        ("Tanh", "Tanh"),
        "its gates are Sigmoid",
    ),
    (Layer("RNN", 3, 2, 2, (0,), 0, 0.0, False, "", "", 0.6, 1), ("Relu",), "not Relu"),
]


@pytest.mark.parametrize(("layer", "functions", "reason"), REFUSED, ids=["gate", "function"])
def test_what_int8_does_not_have_is_named(layer: Layer, functions: tuple[str, ...], reason: str) -> None:
    graph = layer.graph("layer")
    (node,) = graph.nodes
    made = (tuple((f, 0.0, 0.0) for f in functions),)
    graph = replace(graph, nodes=(replace(node, attributes={**node.attributes, "activations": made}),))
    with pytest.raises(ValueError, match=reason):
        lower(graph, ranges_of(graph, draw(graph, 4)))
