"""Each neuron's integer step against its real one, lava's published vectors, and laws of the arithmetic."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trine.devices.errors import InputError
from trine.neuromorphic.arithmetic import LIMIT, VARIANTS, shift, shift_towards_zero, wrap_current, wrap_to
from trine.neuromorphic.engine.definition import define
from trine.neuromorphic.fixed_point import FORMATS, loihi_weights, overflows, quantise
from trine.neuromorphic.loihi_lif import bias_pair, zeros
from trine.neuromorphic.net import INPUT, Population, Projection, SpikingNet
from trine.neuromorphic.neuron import Case, Moment, Neuron, neurons

DATA = Path(os.environ.get("TRINE_DATA", Path(__file__).resolve().parents[2].parent / "shared" / "data"))
LAVA = DATA / "snn_lava"
CASES = [(n, k) for n in sorted(neurons()) for k in range(len(neurons()[n].cases))]
MAIN_STATE = {"SigmaDelta": "act", "RF": "re"}


def trains(model: Neuron, case: Case, arithmetic: str = "lava") -> tuple[np.ndarray, ...]:
    """Messages and main state of both steps, fed with the same (rounded) input."""
    dt_s = 1e-3
    q = model.values(case.parameters, False, dt_s)
    gain = float(np.asarray(model.input_gain(q, dt_s)))
    whole = np.round(np.array(case.current) * gain * case.scale).astype(np.int64)
    real = whole / (gain * case.scale)
    p = model.values(model.quantise(q, dt_s, case.scale), True, dt_s)
    one, other = zeros(model.states, (1,), 1, np.float64, q), zeros(model.states, (1,), 1, np.int64, p)
    state = MAIN_STATE.get(model.name, "v")
    kept: list[list[float]] = [[], [], [], []]
    for t, (a, current) in enumerate(zip(whole, real, strict=True)):
        moment = Moment(t, dt_s, case.reset, VARIANTS[arithmetic])
        one, sent = model.float_step(one, np.full((1, 1), current), q, moment)
        other, message = model.integer_step(other, np.full((1, 1), a), p, moment)
        for row, value in zip(kept, (sent, message, one[state], other[state]), strict=True):
            row.append(float(value[0, 0]))
    spikes, messages, v, whole_v = (np.array(row) for row in kept)
    unit = case.scale * (1 << model.state_bits)
    return spikes, messages, v, whole_v / unit


def test_every_neuron_of_the_issue_is_there() -> None:
    assert {"IF", "LIF", "CubaLIF", "LI", "AdaptiveLIF", "SigmaDelta", "RF", "TrueNorth"} <= set(neurons())
    assert all(n.cases and n.equation for n in neurons().values())


@pytest.mark.parametrize(("name", "number"), CASES)
def test_integer_step_follows_the_equation(name: str, number: int) -> None:
    model = neurons()[name]
    case = model.cases[number]
    rest = float(np.asarray(case.parameters.get("v_leak", 0.0)))  # the integer membrane's zero
    spikes, messages, v, whole_v = trains(model, case)
    if model.readout:
        assert np.ptp(v) > 10 * case.state_apart
        assert np.abs(v - rest - whole_v).max() <= case.state_apart
        return
    assert (spikes != 0).sum() >= 2, "a case without spikes checks nothing"
    assert abs(int((spikes != 0).sum()) - int((messages != 0).sum())) <= case.spikes_apart
    differ = np.flatnonzero((spikes != 0) != (messages != 0))
    until = int(differ[0]) if differ.size else len(spikes)
    assert until > len(spikes) // 3
    assert np.abs(v[:until] - rest - whole_v[:until]).max() <= case.state_apart


@pytest.mark.skipif(not LAVA.exists(), reason="lava's vectors: TRINE_DATA")
def test_published_vectors_of_lava() -> None:
    for vector in json.loads((LAVA / "lif_vectors.json").read_text()):
        steps = len(vector["a_in"])
        population = Population(
            "n", "CubaLIF", (1,), {k: vector[k] for k in ("du", "dv", "vth", "bias_mant", "bias_exp")} | {
                "vth": min(vector["vth"], 131071)}
        )  # fmt: skip
        net = SpikingNet(
            "v", 1e-3, (Population("in", INPUT, (1,)), population),
            (Projection("w", "in", "n", "identity", np.array(1), graded=True),), ("in",), ("n",), "lava",
        )  # fmt: skip
        # Input given at step t arrives at t + 1: the vectors start where it does.
        inputs = {"in": np.array(vector["a_in"], np.int64).reshape(1, steps, 1)}
        state = define(net, inputs, steps + 1, {"n": ("spikes", "u", "v")}).probes["n"]
        late = 0 if vector["bias_mant"] else 1
        for key, variable in (("s_out", "spikes"), ("u", "u"), ("v", "v")):
            if key in vector:
                assert state[variable][0, late : late + len(vector[key]), 0].tolist() == vector[key], vector[
                    "name"
                ]


def slayer_net(path: Path, starts: list[int]) -> SpikingNet:
    """A network in lava-dl's HDF5 format: input, then convolutions or dense layers of Loihi's compartment.

    starts: the step at which each layer's bias begins, as lava-dl leaves it out of the first step.
    """
    h5py = pytest.importorskip("h5py", reason="lava-dl's networks are HDF5 files")
    populations, links = [], []
    with h5py.File(path) as file:
        layers = [file["layer"][str(k)] for k in range(len(file["layer"]))]
        first = layers[0]
        dense = "inFeatures" in first
        shape = (int(first["inFeatures"][()]),) if dense else tuple(int(n) for n in first["shape"][()])
        populations.append(Population("l0", INPUT, shape))
        for k, layer in enumerate(layers if dense else layers[1:], 1):
            q = {name: int(layer["neuron"][name][()]) for name in ("iDecay", "vDecay", "vThMant")}
            parameters = {
                "du": q["iDecay"] - 1,
                "dv": q["vDecay"],
                "vth": q["vThMant"],
                "start": starts[k - 1],
            }
            shape = tuple(int(n) for n in layer["shape"][()])
            weight = layer["weight"][()].astype(np.int64)
            attributes = {}
            if not dense:
                weight = weight[..., 0]
                pads = tuple(int(n) for n in layer["padding"][()])
                attributes = {"strides": tuple(int(n) for n in layer["stride"][()]), "pads": pads * 2}
                parameters |= {
                    "bias_mant": layer["bias"][()].astype(np.int64).reshape(-1, 1, 1),
                    "bias_exp": 6,
                }
            populations.append(Population(f"l{k}", "CubaLIF", shape, parameters))
            kind = "dense" if dense else "conv"
            links.append(Projection(f"w{k}", f"l{k - 1}", f"l{k}", kind, weight, attributes))
    last = populations[-1].name
    return SpikingNet(path.stem, 1e-3, tuple(populations), tuple(links), ("l0",), (last,), "lava")


@pytest.mark.skipif(not LAVA.exists(), reason="lava's tinynet: TRINE_DATA")
def test_tinynet_of_lava() -> None:
    """Two convolutions of lava-dl: its 1,633 and 92 spikes, none different; >= for > gives 42 errors or more."""
    net = slayer_net(LAVA / "tinynet" / "tiny.net", [2, 3])
    golden = {
        k: np.moveaxis(np.load(LAVA / "tinynet" / f"{k}.npy"), -1, 1) for k in ("input", "layer1", "output")
    }
    probes = {"l1": ("spikes",), "l2": ("spikes",)}
    seen = define(net, {"l0": golden["input"].astype(np.int64)}, 18, probes)
    errors = [int((seen.spikes("l1")[:, 1:17] != golden["layer1"]).sum()),
              int((seen.spikes("l2")[:, 2:18] != golden["output"]).sum())]  # fmt: skip
    assert (int(golden["layer1"].sum()), int(golden["output"].sum()), errors) == (1633, 92, [0, 0])
    loose = define(replace(net, arithmetic="slayer"), {"l0": golden["input"].astype(np.int64)}, 18, probes)
    assert int((loose.spikes("l1")[:, 1:17] != golden["layer1"]).sum()) >= 42


@pytest.mark.skipif(not LAVA.exists(), reason="lava's Oxford network: TRINE_DATA")
def test_oxford_network_of_lava() -> None:
    """The trained 200-256-200 net loads, is held by Loihi's weights as it is, and spikes."""
    net = slayer_net(LAVA / "oxford_network.net", [0, 0])
    assert [p.size for p in net.populations] == [200, 256, 200]
    for p in net.projections:
        assert np.array_equal(loihi_weights(p.weight), p.weight)
    given_ = {"l0": (np.random.default_rng(0).random((1, 50, 200)) < 0.05).astype(np.int64)}
    assert define(net, given_, 50).sent["l2"][0] > 100


def real_net(seed: int) -> SpikingNet:
    """A small real-valued net."""
    rng = np.random.default_rng(seed)
    populations = (
        Population("in", INPUT, (2, 12)),
        Population("c", "LIF", (3, 10), {"tau_mem_s": 0.01, "r": 10.0, "v_threshold": 0.6}, "subtraction"),
        Population("o", "CubaLIF", (4,), {"tau_syn_s": 0.004, "tau_mem_s": 0.02, "w_in": 4.0, "r": 20.0,
                                          "v_threshold": 1.0, "bias": 0.002}),
    )  # fmt: skip
    links = (
        Projection("a", "in", "c", "conv", rng.normal(0, 0.4, (3, 2, 3)).astype(np.float32)),
        Projection("b", "c", "o", "dense", rng.normal(0, 0.3, (4, 30)).astype(np.float32)),
    )
    return SpikingNet("real", 1e-3, populations, links, ("in",), ("o",))


def test_quantised_net_follows_the_real_one() -> None:
    """Over 60 steps of random input, spike counts of integer and real net differ by a few per cent at most."""
    net = real_net(3)
    whole = quantise(net)
    given_ = {"in": (np.random.default_rng(1).random((4, 60, 2, 12)) < 0.2).astype(np.int64)}
    probes = {"c": ("counts",), "o": ("counts",)}
    one, other = define(net, given_, 60, probes).probes, define(whole, given_, 60, probes).probes
    for name in probes:
        a, b = one[name]["counts"], other[name]["counts"]
        assert a.sum() > 50
        assert np.abs(a - b).sum() <= 0.04 * a.sum(), name
    for p in whole.projections:
        assert (p.weight % 2 == 0).all()
        assert np.array_equal(loihi_weights(p.weight), p.weight)
    assert overflows(whole) == []


def test_quantise_names_everything_without_integer_form() -> None:
    net = real_net(3)
    moved = tuple(
        Population(p.name, p.neuron, p.shape, {**p.parameters, "v_reset": 0.1}, p.reset)
        if p.neuron != INPUT
        else p
        for p in net.populations
    )
    with pytest.raises(InputError, match=r"(?s)population c: v_reset.*population o: v_reset"):
        quantise(SpikingNet("x", 1e-3, moved, net.projections, net.inputs, net.outputs))
    with pytest.raises(InputError, match="did you mean loihi_8bit"):
        quantise(net, weights="loihi_8bits")
    with pytest.raises(InputError, match="below one integer unit"):
        quantise(net, scales={"c": 0.5})


def test_overflow_is_found() -> None:
    """1,100 inputs of weight 254 exceed 2^17 in a current without memory, 100 do in one that lasts 20 steps."""
    for inputs, du, says in ((1100, 4095, True), (500, 4095, False), (500, 204, True), (20, 204, False)):
        net = SpikingNet(
            "o", 1e-3, (Population("in", INPUT, (inputs,)), Population("n", "CubaLIF", (2,), {"du": du, "vth": 9})),
            (Projection("w", "in", "n", "dense", np.full((2, inputs), 254)),), ("in",), ("n",), "lava",
        )  # fmt: skip
        assert bool(overflows(net)) is says, (inputs, du)


@given(x=st.integers(-(2**40), 2**40), bits=st.integers(0, 20))
def test_shifts(x: int, bits: int) -> None:
    value = np.array([x], np.int64)
    assert shift_towards_zero(value, bits)[0] == int(x / 2**bits)
    assert shift(value, -bits)[0] == x // 2**bits
    assert (wrap_to(value, 24)[0] - x) % (1 << 24) == 0
    assert -LIMIT <= wrap_to(value, 24)[0] < LIMIT


@given(x=st.integers(-LIMIT + 1, LIMIT - 1))
def test_variants_agree_inside_24_bits(x: int) -> None:
    value = np.array([x], np.int64)
    assert wrap_current(value, "once")[0] == wrap_current(value, "twos_complement")[0] == x


@settings(max_examples=50)
@given(w=st.lists(st.integers(-300, 300), min_size=1, max_size=20), bits=st.integers(1, 8))
def test_loihi_weights(w: list[int], bits: int) -> None:
    """Kept weights are fixed points, of the right step, and never farther than a step from a clipped weight."""
    kept = loihi_weights(np.array(w), bits)
    mode = "excitatory" if min(w) >= 0 else "inhibitory" if max(w) <= 0 else "mixed"
    assert np.array_equal(loihi_weights(kept, bits, mode), kept)
    step = 1 << (8 - bits + (mode == "mixed"))
    assert (kept % step == 0).all()
    assert (np.abs(kept - np.clip(w, -256, 255)) < step + (mode != "mixed")).all()
    assert loihi_weights(np.array([-3, 3]))[0] == -4


@given(bias=st.floats(-500_000, 500_000))
def test_bias_pair(bias: float) -> None:
    pair = bias_pair(np.array([bias]))
    made = int(pair["bias_mant"][0]) << int(pair["bias_exp"][0])
    assert abs(made - bias) <= max(0.5, abs(bias) / 4000)
    assert abs(int(pair["bias_mant"][0])) <= 4095


def test_formats_have_a_source() -> None:
    assert all(f.source and f.low < 0 < f.high + f.step for f in FORMATS.values())
