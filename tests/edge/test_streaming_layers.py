"""Streams of recurrent layers and of the layers between: states from call to call, answers to the signal so far."""

from __future__ import annotations

import numpy as np
import pytest
from program_samples import chain, conv, lowered, ranges_of
from streaming_samples import assert_sequence, normal, signals

from trine.compilers.cases import draw
from trine.compilers.graph import Array, Graph, Node
from trine.devices.errors import InputError
from trine.edge.c.stream import emit_stream
from trine.edge.int16 import every_activation
from trine.edge.lower import lower
from trine.edge.program import IntegerProgram
from trine.edge.streaming import StreamProgram, stream
from trine.edge.streaming.machine import HostStream, hops_of
from trine.edge.streaming.state import to_bytes

HIDDEN, INPUTS, LENGTH = 6, 4, 60
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
SIGMOID, TANH = ("Sigmoid", 0.0, 0.0), ("Tanh", 0.0, 0.0)
CHOICES: dict[str, dict[str, object]] = {
    "LSTM": {"activations": ((SIGMOID, TANH, TANH),), "coupled": 0},
    "GRU": {"activations": ((SIGMOID, TANH),), "linear_before_reset": 1},
    "RNN": {"activations": ((TANH,),)},
}


def network(
    op: str, answer: bool, pads: tuple[int, int] = (2, 0), stride: int = 2, direction: int = 0
) -> Graph:
    """A convolution, a recurrent layer, and where `answer` a dense layer on its last state."""
    rng = np.random.default_rng(len(op))
    size = GATES[op] * HIDDEN
    weights: dict[str, Array] = {
        "w": normal(rng, INPUTS, 2, 3), "b": normal(rng, INPUTS), "W": 2 * normal(rng, 1, size, INPUTS),
        "R": 2 * normal(rng, 1, size, HIDDEN), "B": normal(rng, 1, 2 * size),
    }  # fmt: skip
    named = ("", "h") if answer else ("y", "")
    attributes = {"directions": (direction,), "hidden": HIDDEN, "clip": 0.0, "batch_axis": -1, **CHOICES[op]}
    nodes = [
        conv("c", "x", "a", "w", "b", pads=pads, strides=(stride,)),
        Node("Transpose", "t", ("a",), ("t",), {"perm": (1, 0)}),
        Node(op, "cell", ("t", "W", "R", "B"), (*named, *([""] if op == "LSTM" else [])), attributes),
    ]
    if answer:
        nodes.append(Node("Reshape", "r", ("h",), ("v",), {"shape": (HIDDEN,)}))
        nodes.append(Node("Gemm", "g", ("v", "k", "l"), ("z",)))
        weights |= {"k": normal(rng, 3, HIDDEN), "l": normal(rng, 3)}
    return chain(f"{op.lower()}", [("x", (2, LENGTH))], nodes, weights, ("z",) if answer else ("y",))


def assert_c(made: StreamProgram, hops: int = 300) -> None:
    """The C is the definition, its state to the last byte."""
    inputs = signals(made, hops)
    outputs, state = made.run(inputs)
    with HostStream(made, emit_stream(made)) as host:
        held = host.fresh()
        assert held.tobytes() == to_bytes(made, made.reset())
        found = host.run(held, hops_of(made, {n: x[0] for n, x in inputs.items()}))
        assert held.tobytes() == to_bytes(made, state)
        for name in made.program.outputs:
            assert np.array_equal(found[name], outputs[name][0])


def codes(program: IntegerProgram, seed: int = 0) -> dict[str, Array]:
    x = program.tensors["x"]
    least, greatest = x.limits
    drawn = np.random.default_rng(seed).integers(least, greatest + 1, (3, *x.shape))
    return {"x": drawn.astype(x.dtype)}


def integers(graph: Graph, bits: int) -> IntegerProgram:
    ranges = ranges_of(graph, draw(graph, 64, 0))
    return lower(graph, ranges, activation_bits=every_activation(graph, bits)).program


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize(("pads", "stride", "times"), [((2, 0), 2, 1), ((1, 1), 1, 1), ((0, 2), 1, 3)])
def test_every_state_of_a_recurrent_layer_is_the_whole_programs(
    op: str, pads: tuple[int, int], stride: int, times: int, bits: int
) -> None:
    """Delayed where the convolution looks ahead: columns before the start must leave the state alone."""
    program = integers(network(op, False, pads, stride), bits)
    made = stream(program, stream(program).hop * times)
    assert made.kind == "sequence"
    assert made.latency == {(2, 0): 0, (1, 1): 1, (0, 2): 3}[pads]
    assert assert_sequence(program, made, codes(program)) >= LENGTH // stride - made.latency
    assert_c(made, 100)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("op", GATES)
def test_the_answer_so_far_is_that_of_the_whole_sequence(op: str, bits: int) -> None:
    """At every hop: the same network on a signal that ends there."""
    program = integers(network(op, True), bits)
    made = stream(program)
    assert (made.kind, made.latency) == ("sequence", 0)
    x = codes(program)
    outputs, _ = made.run(x)
    assert np.array_equal(outputs["z"][:, -1], program.run(x)["z"])
    assert len({a.tobytes() for a in outputs["z"][0]}) > 3
    assert_c(made)


def test_a_recurrent_layer_that_looks_ahead_is_run_over_the_window() -> None:
    """Its last state needs the padding at the end, which no stream has: the convolution streams, the layer does not."""
    program = lowered(network("GRU", True, (1, 1), 1)).program
    made = stream(program)
    assert made.kind == "window"
    assert made.head is not None
    assert "cell" in [step.name for step in made.head.steps]


def test_a_backward_layer_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"layer cell \(gru\): it runs backwards over time"):
        stream(lowered(network("GRU", False, direction=1)).program)


def test_layers_between_run_along_time() -> None:
    """Layer normalisation over channels, minima, quotients, slices of channels, slopes, batch normalisation."""
    rng = np.random.default_rng(3)
    weights: dict[str, Array] = {
        "w": normal(rng, 6, 2, 3), "b": normal(rng, 6), "gamma": 1 + normal(rng, 6), "beta": normal(rng, 6),
        "low": normal(rng, 6), "over": 1 + np.abs(normal(rng, 6)),
    }  # fmt: skip
    nodes = [
        conv("c", "x", "a", "w", "b", pads=(2, 0)),
        Node("Transpose", "t", ("a",), ("t",), {"perm": (1, 0)}),
        Node("LayerNormalization", "n", ("t", "gamma", "beta"), ("n",), {"last": 1, "epsilon": 1e-5}),
        Node("Max", "m", ("n", "low"), ("m",)),
        Node("Div", "d", ("m", "over"), ("d",)),
        Node("Slice", "s", ("d",), ("s",), {"starts": (0, 1), "steps": (1, 2), "counts": (LENGTH, 3)}),
        Node("Transpose", "u", ("s",), ("y",), {"perm": (1, 0)}),
    ]
    program = lowered(chain("between", [("x", (2, LENGTH))], nodes, weights)).program
    for hop in (1, 4):
        made = stream(program, hop)
        assert made.kind == "sequence"
        assert_sequence(program, made, codes(program))
        assert_c(made, 200)
