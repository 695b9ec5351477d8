"""Every network of the catalogue that streams, against itself whole; and the C of every kernel along time."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from program_samples import catalogue, ranges_of
from streaming_samples import assert_sequence, assert_windows, signals

from trine.compilers.cases import draw
from trine.compilers.graph import Array
from trine.devices.errors import InputError
from trine.edge.c.stream import emit_stream
from trine.edge.int16 import widest
from trine.edge.lower import lower
from trine.edge.operators import kernels
from trine.edge.program import IntegerProgram
from trine.edge.streaming import StreamProgram, stream
from trine.edge.streaming.machine import HostStream, hops_of
from trine.edge.streaming.rules import RULES
from trine.edge.streaming.state import to_bytes


@cache
def streams(wide: bool = False) -> dict[str, StreamProgram]:
    """What streams of the catalogue; wide: with 16 bits wherever they can be, and only networks that have some."""
    found = {}
    for name, graph in catalogue().items():
        bits = widest(graph) if wide else {}
        if wide and 16 not in bits.values():
            continue
        try:
            ranges = ranges_of(graph, draw(graph, 64, 0))
            found[name] = stream(lower(graph, ranges, activation_bits=bits).program)
        except InputError:
            continue
    return found


def whole_signal(program: IntegerProgram) -> dict[str, Array]:
    rng = np.random.default_rng(0)
    tensors = [program.tensors[n] for n in program.inputs]
    return {
        t.name: rng.integers(t.limits[0], t.limits[1] + 1, (1, *t.shape)).astype(t.dtype) for t in tensors
    }


def test_every_stream_of_the_catalogue_is_its_program() -> None:
    kinds = {"sequence": 0, "window": 0}
    for made in streams().values():
        program = made.program
        if made.kind == "window":
            assert_windows(program, made, signals(made, 6), 6)
        elif set(program.outputs) <= set(made.timed):
            assert_sequence(program, made, whole_signal(program))
        else:
            continue  # last states: tests/edge/test_streaming_layers.py
        kinds[made.kind] += 1
    assert kinds["sequence"] > 300
    assert kinds["window"] >= 8


@pytest.mark.parametrize("wide", [False, True], ids=["int8", "int16"])
def test_the_c_of_every_kernel_along_time(wide: bool) -> None:
    """One network of the catalogue for each kernel that has a rule, and for each that has one in int16."""
    waiting = {name for name in RULES if not wide or kernels()[name].int16}
    for made in streams(wide).values():
        steps = made.pieces.steps
        used = {
            s.kernel for s in steps if not wide or made.pieces.tensors[s.output].dtype == "int16"
        } & waiting
        if not used:
            continue
        waiting -= used
        inputs = signals(made, 40)
        outputs, state = made.run(inputs)
        with HostStream(made, emit_stream(made, "cortex-m4f")) as host:
            found = host.run(held := host.fresh(), hops_of(made, {n: x[0] for n, x in inputs.items()}))
            assert held.tobytes() == to_bytes(made, state), used
            for name in made.program.outputs:
                assert np.array_equal(found[name], outputs[name][0]), used
    # lstm's cases read the last cell: test_streaming_layers.py; stated scales: test_arrives_quantised.py; a rescaling
    # stands only where widths differ: test_int16.py.
    assert waiting <= {"lstm", "mean_stated", "rescale", "softmax_stated"}
