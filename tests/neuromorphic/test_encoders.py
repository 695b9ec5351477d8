"""Laws of the encoders, and streaming: pieces equal the whole, beats are found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nir_samples import DATA, noise

from trine.devices.errors import InputError
from trine.neuromorphic.encoders import Delta, Latency, LevelCrossing, Rate
from trine.neuromorphic.engine.definition import define
from trine.neuromorphic.net import INPUT, Population, Projection, SpikingNet
from trine.neuromorphic.streaming import (
    Stream,
    beat_detector,
    example_encoder,
    match_beats,
    read_record,
    stream_record,
)

unit = st.lists(st.floats(0, 1), min_size=1, max_size=6)


@given(unit, st.integers(1, 40))
def test_even_rate_is_within_half_a_spike(values: list[float], steps: int) -> None:
    code = Rate(steps)
    spikes = code.encode(values)
    assert spikes.shape == (len(values), steps)
    assert set(np.unique(spikes)) <= {0, 1}
    assert np.abs(code.decode(spikes) - values).max() <= 0.5 / steps + 1e-12


def test_bernoulli_rate_is_seeded_and_has_its_spread() -> None:
    x = np.full(4000, 0.3)
    a, b = Rate(25, seed=1).encode(x), Rate(25, seed=1).encode(x)
    assert (a == b).all()
    assert (a != Rate(25, seed=2).encode(x)).any()
    decoded = Rate(25).decode(a)
    assert decoded.mean() == pytest.approx(0.3, abs=4 * (0.3 * 0.7 / 25 / 4000) ** 0.5)
    assert decoded.std() == pytest.approx((0.3 * 0.7 / 25) ** 0.5, rel=0.05)


@given(unit, st.integers(2, 40))
def test_latency_is_one_spike_within_half_a_step(values: list[float], steps: int) -> None:
    code = Latency(steps)
    spikes = code.encode(values)
    assert (spikes.sum(axis=1) == (np.array(values) > 0)).all()
    assert np.abs(code.decode(spikes) - values).max() <= 0.5 / (steps - 1) + 1e-12
    order = np.argsort(values)
    first = np.where(spikes.any(axis=1), spikes.argmax(axis=1), steps)
    assert (np.diff(first[order]) <= 0).all()  # larger is never later


@st.composite
def signals(draw: st.DrawFn) -> np.ndarray:
    """Walks of whole thousandths, one or two channels."""
    channels = draw(st.integers(1, 2))
    steps = draw(st.lists(st.integers(-900, 900), min_size=2 * channels, max_size=60))
    n = len(steps) // channels
    return np.cumsum(np.array(steps[: n * channels]).reshape(n, channels), axis=0) / 1000


@settings(deadline=None)
@given(signals(), st.sampled_from([0.05, 0.11, 0.5]), st.data())
def test_delta_is_within_its_threshold_and_chunks_change_nothing(
    x: np.ndarray, theta: float, data: st.DataObject
) -> None:
    code = Delta(theta, Delta(theta).substeps_needed(x))
    spikes, _ = code.encode(x)
    assert np.abs(code.decode(spikes, x[0]) - x).max() < theta * (1 + 1e-9)
    assert not (spikes[:, : x.shape[1]] & spikes[:, x.shape[1] :]).any()  # up and down never together
    slow = replace(code, substeps=1)
    cut = data.draw(st.integers(0, len(x)))
    for encoder in (code, slow):
        whole, _ = encoder.encode(x)
        a, state = encoder.encode(x[:cut])
        b, _ = encoder.encode(x[cut:], state)
        assert (np.concatenate([a, b]) == whole).all()


@settings(deadline=None)
@given(signals(), st.data())
def test_level_crossing_is_within_half_a_threshold(x: np.ndarray, data: st.DataObject) -> None:
    code = LevelCrossing(0.2, 64)
    spikes, _ = code.encode(x)
    if Delta(0.2).substeps_needed(x) < 60:
        assert np.abs(code.decode(spikes, x[0]) - x).max() <= 0.1 + 1e-9
    cut = data.draw(st.integers(0, len(x)))
    for encoder in (code, LevelCrossing(0.2, 1)):
        a, state = encoder.encode(x[:cut])
        assert (np.concatenate([a, encoder.encode(x[cut:], state)[0]]) == encoder.encode(x)[0]).all()


def test_a_steep_edge_waits_and_is_caught_up() -> None:
    x = np.array([[0.0]] + [[1.0]] * 30)
    code = Delta(0.1, 1)
    follow = code.decode(code.encode(x)[0], [0.0])[:, 0]
    assert np.allclose(np.diff(follow[:10]), 0.1)
    assert abs(follow[-1] - 1.0) < 0.1 + 1e-9


def test_bad_values_are_refused_with_reasons() -> None:
    with pytest.raises(InputError, match="from 0 to 1"):
        Rate(4).encode([1.2])
    with pytest.raises(InputError, match="from 0 to 1"):
        Latency(4).encode([float("nan")])
    with pytest.raises(InputError, match="at least 1"):
        Rate(0).encode([0.5])
    with pytest.raises(InputError, match="at least 2"):
        Latency(1).encode([0.5])
    with pytest.raises(InputError) as caught:
        Delta(-0.1, 0).encode(np.array([[np.nan]]))
    assert all(word in str(caught.value) for word in ("threshold", "substeps", "no numbers"))
    with pytest.raises(InputError, match="samples, channels"):
        LevelCrossing(0.1).encode(np.zeros(5))


def looped(integer: bool) -> SpikingNet:
    """Two populations with delays, recurrence, and in real numbers a graded readout."""
    rng = np.random.default_rng(4)
    w = [rng.integers(-60, 100, s) if integer else rng.normal(size=s) for s in ((5, 4), (5, 5), (3, 5))]
    first = (
        {"du": 500, "dv": 300, "vth": 150}
        if integer
        else {"tau_syn_s": 3e-3, "tau_mem_s": 6e-3, "r": 6.0, "v_threshold": 0.4}
    )
    last = {"du": 4095, "dv": 200} if integer else {"tau_mem_s": 5e-3, "r": 5.0}
    return SpikingNet(
        "looped",
        1e-3,
        (
            Population("x", INPUT, (4,)),
            Population("h", "CubaLIF", (5,), first),
            Population("y", "LI", (3,), last, "none"),
        ),
        (
            Projection("a", "x", "h", "dense", w[0], {}, 1),
            Projection("b", "h", "h", "dense", w[1], {}, 6),
            Projection("c", "h", "y", "dense", w[2]),
        ),
        ("x",),
        ("h", "y"),
        "lava" if integer else "float",
    )


@pytest.mark.parametrize("integer", [False, True])
def test_pieces_give_what_the_whole_gives(integer: bool) -> None:
    net = looped(integer)
    x = noise(net, 90, 3)["x"].astype(np.int64 if integer else float)
    whole = define(net, {"x": x}, 90)
    running, parts = Stream(net, 3), []
    for low, high in ((0, 1), (1, 7), (7, 7), (7, 50), (50, 90)):
        parts.append(running.push({"x": x[:, low:high]}))
    for name in net.outputs:
        got = np.concatenate([p[name] for p in parts], axis=1)
        assert got.any()
        assert (got == whole.spikes(name)).all()


def test_a_stream_refuses_what_does_not_fit() -> None:
    with pytest.raises(InputError, match="batch of 2"):
        Stream(looped(False)).push(noise(looped(False), 5, 2))
    with pytest.raises(InputError, match="dt_s must be"):
        stream_record(np.zeros((10, 1)), 250.0, example_encoder(), beat_detector(360.0))
    with pytest.raises(InputError, match="net takes 2"):
        stream_record(np.zeros((10, 2)), 360.0, example_encoder(), beat_detector(360.0), chunk=0)


def test_matching_is_one_to_one() -> None:
    found = match_beats([0.9, 1.1, 2.0, 5.0], [1.0, 2.1, 3.0])
    assert (found.beats, found.detections, found.matched) == (3, 4, 2)
    assert np.allclose(found.latency_s, [-0.1, -0.1])
    assert match_beats([1.0], [0.95, 1.05]).matched == 1
    assert (found.sensitivity, found.positive_predictivity) == (2 / 3, 0.5)


@pytest.mark.parametrize("name", ["119", "208"])
def test_beats_of_a_continuous_record(name: str) -> None:
    pytest.importorskip("wfdb", reason="the extra data (wfdb) is not installed")
    path = DATA / "mitbih_raw" / name
    if not path.with_suffix(".dat").exists():
        pytest.skip(f"no mitbih_raw under TRINE_DATA ({DATA})")
    record = read_record(path, seconds=40, start_s=600)
    encoder, net, x = example_encoder(), beat_detector(record.rate_hz), record.signal[:, :1]
    made = [stream_record(x, record.rate_hz, encoder, net, chunk) for chunk in (97, 5000)]
    assert (made[0].spikes_s["beat"] == made[1].spikes_s["beat"]).all()
    match = match_beats(made[0].spikes_s["beat"][:, 0], record.beats_s)
    assert match.beats > 30
    assert match.sensitivity >= 0.95
    assert match.positive_predictivity >= 0.95
    assert abs(np.median(match.latency_s)) < 0.05


def test_missing_record() -> None:
    pytest.importorskip("wfdb", reason="the extra data (wfdb) is not installed")
    with pytest.raises(InputError, match="no such record"):
        read_record("nowhere/100")
