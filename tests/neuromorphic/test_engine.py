"""The event-driven engine against the definition in NumPy: nothing may differ."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba", reason="the native engine needs numba: pip install 'trine[neuromorphic]'")

from hypothesis import given, settings
from hypothesis import strategies as st
from spiking_samples import differing, everything, random_net, spikes

from trine.devices.errors import InputError
from trine.neuromorphic.arithmetic import VARIANTS
from trine.neuromorphic.engine import Result, run
from trine.neuromorphic.engine.definition import define
from trine.neuromorphic.net import INPUT, Population, Projection, SpikingNet

SEEDS = st.integers(0, 2**32 - 1)


def same(net: SpikingNet, one: Result, other: Result) -> None:
    assert differing(net, one, other) == {}
    for name in one.counts:
        assert np.array_equal(one.counts[name], other.counts[name]), name
        assert np.array_equal(one.sent[name], other.sent[name]), name
        assert np.array_equal(one.per_step[name], other.per_step[name]), name
    for name in one.updates:
        assert np.array_equal(one.updates[name], other.updates[name]), name


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=SEEDS, variant=st.sampled_from(sorted(VARIANTS)))
def test_engine_is_the_definition(seed: int, variant: str) -> None:
    net = replace(random_net(seed), arithmetic=variant)
    inputs = spikes(seed, net, 2, 30)
    same(net, define(net, inputs, 30, everything(net)), run(net, inputs, 30, everything(net)))


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_graded_messages(seed: int) -> None:
    net = random_net(seed)
    net = net.with_projections(tuple(replace(p, graded=p.source == "in") for p in net.projections))
    inputs = spikes(seed, net, 1, 25, graded=True)
    same(net, define(net, inputs, 25, everything(net)), run(net, inputs, 25, everything(net)))


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_blocks_and_tiles_change_nothing(seed: int) -> None:
    """A batch is its samples; a long run with a short working set is the same run."""
    from trine.neuromorphic.engine import native

    net = random_net(seed)
    inputs = spikes(seed, net, 3, 40)
    whole = run(net, inputs, 40, everything(net))
    before = native.BLOCK_STEPS
    native.BLOCK_STEPS = 3
    try:
        same(net, whole, run(net, inputs, 40, everything(net)))
    finally:
        native.BLOCK_STEPS = before
    for b in range(3):
        one = run(net, {"in": inputs["in"][b : b + 1]}, 40, everything(net))
        for name in one.probes:
            assert np.array_equal(one.spikes(name)[0], whole.spikes(name)[b])


def one_neuron(kind: str, reset: str, weight: float, **parameters: float) -> SpikingNet:
    populations = (Population("in", INPUT, (1,)), Population("n", kind, (1,), parameters, reset))
    link = Projection("w", "in", "n", "identity", np.array(weight))
    return SpikingNet("one", 1e-3, populations, (link,), ("in",), ("n",), "lava")


@pytest.mark.parametrize("weight", [500_000, -500_000, 131_072, -131_072, 33_554_432, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_currents_beyond_24_bits(weight: int, variant: str) -> None:
    net = replace(one_neuron("CubaLIF", "zero", weight, du=100, dv=10, vth=131071), arithmetic=variant)
    inputs = {"in": np.ones((1, 12, 1), np.int64)}
    same(net, define(net, inputs, 12, everything(net)), run(net, inputs, 12, everything(net)))


@pytest.mark.parametrize("reset", ["zero", "subtraction", "none"])
@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_membrane_at_the_threshold(reset: str, variant: str) -> None:
    """A membrane that equals the threshold fires where the variant says so, and only there."""
    net = replace(one_neuron("IF", reset, 2, vth=4), arithmetic=variant)
    inputs = {"in": np.ones((1, 9, 1), np.int64)}
    result = run(net, inputs, 9, everything(net))
    same(net, define(net, inputs, 9, everything(net)), result)
    assert np.flatnonzero(result.spikes("n"))[0] == (3 if VARIANTS[variant].strict else 2)


def test_edges_of_lava() -> None:
    """a = 500000, du = 4095: u = 15222784; x = 2^23 stays, x = -2^23 becomes +2^23 (facts on lava-nc, 4.4)."""
    for weight, u in ((500_000, 15_222_784), (1 << 17, 1 << 23), (-(1 << 17), 1 << 23)):
        net = one_neuron("LIF", "none", weight, vth=131071)
        assert (
            run(net, {"in": np.ones((1, 2, 1), np.int64)}, 2, everything(net)).probes["n"]["u"][0, 1, 0] == u
        )


def test_order_of_events() -> None:
    """A spike given at step t arrives at t + 1 + delay; with a threshold of 1, weight 2 fires at once."""
    populations = (
        Population("in", INPUT, (1,)),
        Population("a", "IF", (1,), {"vth": 1}),
        Population("b", "IF", (1,), {"vth": 1}),
    )
    links = (
        Projection("w", "in", "a", "identity", np.array(2), {}, 2),
        Projection("x", "a", "b", "identity", np.array(2)),
    )
    net = SpikingNet("chain", 1e-3, populations, links, ("in",), ("b",), "lava")
    given_ = np.zeros((1, 10, 1), np.int64)
    given_[0, 1] = 1
    result = run(net, {"in": given_}, 10, {"a": ("spikes",), "b": ("spikes", "counts")})
    assert np.flatnonzero(result.spikes("a")).tolist() == [4]
    assert np.flatnonzero(result.spikes("b")).tolist() == [5]
    assert result.probes["b"]["counts"].tolist() == [[1]]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(weights=st.lists(st.integers(-60, 60), min_size=1, max_size=6), theta=st.integers(1, 90), seed=SEEDS)
def test_accumulate_then_fire_counts(weights: list[int], theta: int, seed: int) -> None:
    """Exact schedule: spikes = clip(floor((S + theta/2) / theta), 0, T), layer after layer, S the whole input."""
    steps, n = 7, len(weights)
    rng = np.random.default_rng(seed)
    phase = {"integrate_steps": steps, "fire_steps": steps, "vth": theta, "v_initial": theta * 32 + 1}
    populations = (
        Population("in", INPUT, (n,)),
        Population("a", "IF", (1,), {**phase, "start": 1}, "subtraction"),
        Population("b", "IF", (2,), {**phase, "start": 1 + steps}, "subtraction"),
    )
    second = np.array([[theta], [2 * theta + 3]])
    links = (
        Projection("w", "in", "a", "dense", np.array([weights])),
        Projection("x", "a", "b", "dense", second),
    )
    net = SpikingNet("exact", 1e-3, populations, links, ("in",), ("b",), "lava")
    given_ = rng.random((1, steps, n)) < 0.5
    counts = run(net, {"in": given_.astype(int)}, 1 + 3 * steps, {"a": ("counts",), "b": ("counts",)}).probes
    total = int((given_[0].sum(axis=0) * weights).sum())
    first = min(max((2 * total + theta) // (2 * theta), 0), steps)
    assert counts["a"]["counts"][0, 0] == first
    for row, w in zip(counts["b"]["counts"][0], second[:, 0], strict=True):
        assert row == min(max((2 * first * int(w) + theta) // (2 * theta), 0), steps)


@pytest.mark.parametrize(("reset", "vth"), [("zero", 60), ("subtraction", 60), ("zero", 1)])
def test_runs_over_several_chunks(reset: str, vth: int) -> None:
    """One spike of a convolution reaches 2,000 neurons at once; some steps are silent."""
    rng = np.random.default_rng(1)
    neuron = Population("c", "LIF", (400, 9), {"dv": 400, "vth": vth, "bias_mant": 3}, reset)
    link = Projection("w", "in", "c", "conv", rng.integers(-128, 128, (400, 2, 5)), {"pads": (2, 2)})
    net = SpikingNet("c", 1e-3, (Population("in", INPUT, (2, 9)), neuron), (link,), ("in",), ("c",), "lava")
    inputs = {"in": (rng.random((2, 20, 2, 9)) < 0.08) * (np.arange(20) % 3 > 0)[:, None, None]}
    meant = define(net, inputs, 20, everything(net))
    assert 100 < meant.sent["c"][0] < 2 * 20 * 3600
    same(net, meant, run(net, inputs, 20, everything(net)))


def test_counts_feed_energy() -> None:
    """Operations: messages times fan-out; a convolution's border neurons reach fewer outputs."""
    populations = (Population("in", INPUT, (1, 5)), Population("c", "IF", (3, 5), {"vth": 9}, "none"))
    link = Projection("w", "in", "c", "conv", np.full((3, 1, 3), 2), {"pads": (1, 1)})
    net = SpikingNet("c", 1e-3, populations, (link,), ("in",), ("c",), "lava")
    result = run(net, {"in": np.ones((2, 4, 1, 5), np.int64)}, 6)
    assert result.operations(net) == {"w": 2 * 4 * 3 * (2 + 3 + 3 + 3 + 2)}
    assert result.neuron_steps(net) == {"c": 2 * 6 * 15}
    assert result.sent["in"].tolist() == [20, 20]
    assert result.per_step["in"].tolist() == [10, 10, 10, 10, 0, 0]
    # The first sum arrives at step 1; membranes stay above zero after it.
    assert result.updates["c"].tolist() == [15 * 5, 15 * 5]


@pytest.mark.parametrize(
    ("steps", "inputs", "says"),
    [
        (0, {"in": np.ones((1, 4, 1))}, "0 steps"),
        (4, {}, "missing"),
        (4, {"inn": np.ones((1, 4, 1))}, "did you mean in"),
        (4, {"in": np.ones((1, 4, 2))}, "should be"),
        (4, {"in": np.ones((1, 5, 1))}, "has 5 steps"),
        (4, {"in": np.full((1, 4, 1), np.nan)}, "NaN"),
        (4, {"in": np.full((1, 4, 1), 0.5)}, "fractions"),
    ],
)
def test_bad_inputs(steps: int, inputs: dict[str, np.ndarray], says: str) -> None:
    with pytest.raises(InputError, match=says):
        run(one_neuron("IF", "zero", 2, vth=3), inputs, steps)


def test_bad_parameters_and_probes() -> None:
    given_ = {"in": np.ones((1, 2, 1), np.int64)}
    with pytest.raises(InputError, match="dv is 5000"):
        run(one_neuron("LIF", "zero", 2, vth=3, dv=5000), given_, 2)
    with pytest.raises(InputError, match="must be whole"):
        run(one_neuron("LIF", "zero", 2, vth=3, dv=0.5), given_, 2)
    with pytest.raises(InputError, match="did you mean vth"):
        run(one_neuron("LIF", "zero", 2, vtth=3), given_, 2)
    with pytest.raises(InputError, match="variable 'w'"):
        run(one_neuron("LIF", "zero", 2, vth=3), given_, 2, {"n": ("w",)})


@settings(max_examples=10, deadline=None, derandomize=True)
@given(seed=SEEDS, kind=st.sampled_from(["IF", "LIF", "CubaLIF"]), rate=st.sampled_from([0.002, 0.05]))
def test_wide_nets_with_little_going_on(seed: int, kind: str, rate: float) -> None:
    """Chunks that rest, that stand above zero, that are woken by an event, a reset by schedule or a phase."""
    rng = np.random.default_rng(seed)
    shape, parameters = (3, 700), {"vth": int(rng.integers(20, 200))}
    if kind != "IF":
        parameters["dv"] = int(rng.integers(0, 2)) * 1500
    if kind == "CubaLIF":
        parameters["du"] = 2000
    last = parameters | [{}, {"reset_interval": 7}, {"integrate_steps": 9, "fire_steps": 5}][seed % 3]
    resets = ("zero", "subtraction")
    populations = (
        Population("in", INPUT, (1, 1400)),
        Population("a", kind, shape, parameters, resets[seed % 2]),
        Population("b", kind, (2100,), last, resets[seed // 2 % 2]),
    )
    weight = rng.integers(-100, 160, (3, 1, 4)) * 2
    links = (
        Projection("w", "in", "a", "conv", weight, {"strides": (2,), "pads": (1, 1)}),
        Projection("x", "a", "b", "identity", np.array(150), {}, 1),
    )
    net = SpikingNet("wide", 1e-3, populations, links, ("in",), ("b",), "loihi_hardware")
    inputs = {"in": (rng.random((2, 40, 1, 1400)) < rate).astype(np.int8)}
    meant = define(net, inputs, 40, everything(net))
    assert meant.sent["a"].sum() > 0
    same(net, meant, run(net, inputs, 40, everything(net)))


def test_loops_compile_where_nothing_can_be_kept() -> None:
    """numba has no place for a function whose file does not exist; it is compiled all the same."""
    from trine.neuromorphic.engine.compiled import compiled

    made: dict[str, Any] = {}
    exec(compile("def double(x):\n    return 2 * x\n", "<nowhere>", "exec"), made)
    assert compiled(made["double"])(21) == 42
