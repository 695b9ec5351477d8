"""What the ECG network sees of a heartbeat: by hand, and that nothing looks further than the next beat."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trine.compilers.datasets import ecg_beats
from trine.compilers.datasets.ecg_beats import RecordBeats, beat_input, rr_input


def beats_of(x: Any, rr_pre: list[int], rr_post: list[int]) -> RecordBeats:
    count = len(rr_pre)
    return RecordBeats(
        record=1,
        x=np.asarray(x, np.int16),
        y=np.zeros(count, np.uint8),
        rr_pre=np.array(rr_pre, np.int32),
        rr_post=np.array(rr_post, np.int32),
        sample=np.arange(count, dtype=np.int32),
    )


def test_rr_ratios_of_one_early_beat_by_hand() -> None:
    """Twenty beats a second apart, then one 0.6 s early-coupled, then a pause of 1.4 s."""
    pre = [-1] + [360] * 20 + [216, 504, 360]
    rr = rr_input(beats_of(np.zeros((24, 128)), pre, [*pre[1:], -1]))
    assert np.all(rr[:20] == 0)
    assert rr[21, [0, 2]] == pytest.approx(216 / 360 - 1)
    assert rr[21, [1, 3]] == pytest.approx(504 / 360 - 1)
    assert rr[21, 4] == pytest.approx(216 / 504 - 1)
    # The short average took 1/8 of the shortfall, the long one still 1/16: the 21st interval of 128.
    short, long = 360 - 144 / 8, 360 - 144 / 16
    expected = [504 / long, 360 / long, 504 / short, 360 / short, 504 / 360]
    assert rr[22, :5] == pytest.approx(np.array(expected) - 1, abs=1e-4)
    assert rr[22, 5] == pytest.approx(216 / 360 - 1)
    assert rr[22, 6] == pytest.approx(0.4 / 16, abs=1e-3)
    assert rr[22, 7] == pytest.approx(short / long - 1, abs=1e-4)
    # A missing interval counts as the long average.
    assert rr[23, 1] == pytest.approx(0, abs=2e-3)


def test_missing_intervals_and_a_lone_beat_give_finite_ratios() -> None:
    rr = rr_input(beats_of(np.zeros((1, 128)), [-1], [-1]))
    assert np.all(rr == 0)


def test_beat_is_centred_clipped_and_set_against_the_usual_beat() -> None:
    usual = np.zeros(128, np.int16)
    usual[48] = 200
    other = usual.copy()
    other[60] = 3000
    x = np.stack([usual] * 4 + [other])
    beat = beat_input(beats_of(x, [-1, 360, 360, 360, 360], [360, 360, 360, 360, -1]))
    assert beat.dtype == np.float32
    # sum >> 7 of a single 200 is 1: 199 units are 0.995 mV.
    assert beat[0, 0, 48] == pytest.approx(0.995)
    assert np.all(beat[:4, 1] == 0)
    assert beat[4, 0, 60] == pytest.approx(2.55)
    assert beat[4, 1, 60] == pytest.approx(2.55)
    # The large value raises the mean of the window from 1 unit to 25, so all the rest lies 24 lower.
    assert beat[4, 1, 0] == pytest.approx(-24 / 200)


def test_only_beats_on_time_teach_the_usual_beat() -> None:
    flat, spike = np.zeros(128, np.int16), np.zeros(128, np.int16)
    spike[48] = 400
    pre = [-1, 360, 250, 360, 360]
    early = beat_input(beats_of([flat, flat, spike, flat, flat], pre, [*pre[1:], -1]))
    assert np.all(early[[0, 1, 3, 4], 1] == 0)
    on_time = beat_input(beats_of([flat, flat, spike, flat, flat], [-1] + [360] * 4, [360] * 4 + [-1]))
    # 400 less its mean 400 >> 7 = 3; the fourth beat weighs 1/4: (397 << 8 >> 2) >> 8 = 99 units of 5 uV.
    assert on_time[3, 1, 48] == np.float32(-99 / 200)


records = st.integers(2, 25).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(60, 1500), min_size=n, max_size=n), st.integers(0, 2**31), st.integers(0, n - 1)
    )
)


@given(records)
@settings(max_examples=40, deadline=None)
def test_inputs_never_look_further_than_the_next_beat(case: tuple[list[int], int, int]) -> None:
    gaps, seed, now = case
    x = np.random.default_rng(seed).integers(-900, 900, (len(gaps), 128))
    record = beats_of(x, [-1, *gaps[1:]], [*gaps[1:], -1])
    later = x.copy()
    later[now + 1 :] = 77
    pre, post = record.rr_pre.copy(), record.rr_post.copy()
    pre[now + 2 :], post[now + 1 :] = 123, 123
    changed = replace(record, x=later.astype(np.int16), rr_pre=pre, rr_post=post)
    for make in (beat_input, rr_input):
        ours, theirs = make(record), make(changed)
        assert np.array_equal(ours[: now + 1], theirs[: now + 1])
        assert np.all(np.isfinite(ours))
    assert np.abs(beat_input(record)).max() <= np.float32(2.55)
    assert rr_input(record).min() >= -1
    assert rr_input(record).max() <= 2


def test_labels_of_all_annotations_and_beats_at_the_ends() -> None:
    assert "".join(sorted(ecg_beats.AAMI_CLASS)) == "".join(sorted("NLRejAaJSVEF/fQ"))
    signal = np.zeros(2000)
    signal[[20, 600, 1300, 1990]] = 500
    made = ecg_beats.cut_beats(7, signal, [20, 600, 900, 1300, 1990], ["N", "V", "+", "A", "N"])
    assert made.y.tolist() == [2, 1]
    assert made.rr_pre.tolist() == [580, 700]
    assert made.rr_post.tolist() == [700, 690]
    assert np.argmax(made.x, axis=1).tolist() == [48, 48]
