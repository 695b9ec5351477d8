"""Streams and the signals they are tried on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from program_samples import chain, conv

from trine.compilers.graph import Array, Graph, Node
from trine.edge.program import IntegerProgram
from trine.edge.streaming import StreamProgram
from trine.edge.streaming.proving import window_at

Int8 = NDArray[np.int8]


def signals(stream: StreamProgram, hops: int, n: int = 1, seed: int = 0) -> dict[str, Int8]:
    """Random stored inputs of n streams."""
    rng = np.random.default_rng(seed)
    found = {}
    for name in stream.program.inputs:
        shape = list(stream.piece(name).shape)
        if stream.along_time(name):
            shape[stream.timed[name].axis] *= hops
            shape = [n, *shape]
        else:
            shape = [n, hops, *shape]
        tensor = stream.program.tensors[name]
        least, greatest = tensor.limits
        found[name] = rng.integers(least, greatest + 1, shape).astype(tensor.dtype)
    return found


def assert_sequence(program: IntegerProgram, stream: StreamProgram, inputs: dict[str, Int8]) -> int:
    """Every column the stream gives is the whole program's column of that number; returns how many there are."""
    outputs, whole, compared = stream.run(inputs)[0], program.run(inputs), 0
    for name in program.outputs:
        timed = stream.timed[name]
        found = np.concatenate(list(np.moveaxis(outputs[name], 1, 0)), axis=timed.axis + 1)
        found = np.moveaxis(found, timed.axis + 1, 0)[timed.delay :]
        wanted = np.moveaxis(whole[name], timed.axis + 1, 0)[: len(found)]
        assert np.array_equal(found, wanted), name
        compared += len(found)
    return compared


def assert_windows(
    program: IntegerProgram, stream: StreamProgram, inputs: dict[str, Int8], hops: int
) -> None:
    """Every answer is the whole program's answer to that window, zeros before the signal's start."""
    outputs = stream.run(inputs)[0]
    for i in range(hops):
        whole = program.run({name: window_at(stream, name, x, i) for name, x in inputs.items()})
        for name in program.outputs:
            assert np.array_equal(outputs[name][:, i], whole[name]), (name, i)


def normal(rng: np.random.Generator, *shape: int) -> Array:
    return rng.normal(0, 0.3, shape).astype(np.float32)


def tcn(channels: int = 8, layers: int = 4, length: int = 128, causal: bool = True) -> Graph:
    """Dilated convolutions, each with a Relu; causal or padded on both sides."""
    rng = np.random.default_rng(0)
    nodes, weights, x, inputs = list[Node](), dict[str, Array](), "x", 1
    for i in range(layers):
        reach = 2 * 2**i
        pads = (reach, 0) if causal else (reach // 2, reach // 2)
        weights |= {f"w{i}": normal(rng, channels, inputs, 3), f"b{i}": normal(rng, channels)}
        nodes.append(conv(f"conv{i}", x, f"a{i}", f"w{i}", f"b{i}", dilations=(2**i,), pads=pads))
        nodes.append(Node("Relu", f"relu{i}", (f"a{i}",), (f"y{i}",)))
        x, inputs = f"y{i}", channels
    return chain("tcn" if causal else "padded_tcn", [("x", (1, length))], nodes, weights)


def networks() -> Iterator[Graph]:
    """One network of every kind that the C print treats in its own way."""
    rng = np.random.default_rng(1)
    yield tcn()
    yield tcn(causal=False)
    w = {"w": normal(rng, 6, 2, 5), "b": normal(rng, 6), "d": normal(rng, 6, 1, 3), "e": normal(rng, 6)}
    first = conv("c", "x", "a", "w", "b", strides=(2,), pads=(3, 0))
    depthwise = conv("d", "a", "f", "d", "e", group=6, pads=(1, 1))
    joined = [first, depthwise, Node("Add", "s", ("a", "f"), ("y",))]
    yield chain("residual", [("x", (2, 120))], joined, w)
    pool = {"kernel_shape": (3,), "strides": (2,), "dilations": (1,), "pads": (0, 0)}
    pools = [
        first,
        Node("MaxPool", "p", ("a",), ("p",), pool),
        Node("Softmax", "q", ("p",), ("y",), {"axis": 0}),
    ]
    yield chain("pooled", [("x", (2, 120))], pools, w)
    rows = [
        first,
        Node("Transpose", "t", ("a",), ("t",), {"perm": (1, 0)}),
        Node("MatMul", "m", ("t", "k"), ("y",)),
    ]
    yield chain("rows", [("x", (2, 120))], rows, {**w, "k": normal(rng, 6, 3)})
    padded = conv("c", "x", "a", "w", "b", pads=(2, 2))
    mean = [
        padded,
        Node("GlobalAveragePool", "g", ("a",), ("g",)),
        Node("Reshape", "r", ("g",), ("y",), {"shape": (6,)}),
    ]
    yield chain("mean", [("x", (2, 50))], mean, w)
    flat = [
        padded,
        Node("Reshape", "r", ("a",), ("r",), {"shape": (300,)}),
        Node("Concat", "j", ("r", "rr"), ("j",), {"axis": 0}),
        Node("Gemm", "g", ("j", "k", "l"), ("y",)),
    ]
    yield chain(
        "flat", [("x", (2, 50)), ("rr", (4,))], flat, {**w, "k": normal(rng, 5, 304), "l": normal(rng, 5)}
    )
    attention = [
        padded,
        Node("Transpose", "t", ("a",), ("t",), {"perm": (1, 0)}),
        Node("MatMul", "m", ("t", "a"), ("s",)),
        Node("Softmax", "p", ("s",), ("p",), {"axis": 1}),
        Node("MatMul", "v", ("p", "t"), ("v",)),
        Node("ReduceMean", "n", ("v",), ("y",), {"axes": (0,), "keepdims": 0}),
    ]
    yield chain("attention", [("x", (2, 50))], attention, w)
