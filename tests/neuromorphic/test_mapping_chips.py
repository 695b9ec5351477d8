"""Mapping on the other chips: TrueNorth's crossbar and splitters, layered chips, Xylo, counts, refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mapped_nets import chip, ecg, perceptron, stack

from trine.devices.errors import AnswerIsNo
from trine.neuromorphic.mapping import map_net
from trine.neuromorphic.mapping.layered import _layer_memory, _matching
from trine.neuromorphic.mapping.reach import wirings
from trine.neuromorphic.mapping.truenorth import axons_per_source
from trine.neuromorphic.net import INPUT, SpikingNet


def with_weights(net: SpikingNet, *weights: list[list[int]]) -> SpikingNet:
    return net.with_projections(
        tuple(replace(p, weight=np.array(w)) for p, w in zip(net.projections, weights))
    )


@pytest.mark.parametrize(
    ("row", "axons"),
    [
        ([0, 1, 1], 1),
        ([-5, 5, 0], 2),
        ([3, 6, 9], 2),  # 1, 2, 3 times three: two binary digits
        ([-8, 7, 1, 2, 3, 4], 4),  # two's complement of 4 bits
        ([1, 20, 300, 4000], 4),  # four different weights, one a type
        ([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15], 4),
        ([-100, 3, 5, 7, 11], None),
    ],
)
def test_axons_a_source_takes_on_truenorth(row: list[int], axons: int | None) -> None:
    net = with_weights(stack(((len(row),), None), ((1,), None)), [row])
    assert axons_per_source(wirings(net)[0]) == axons


def test_truenorth_splitters_by_hand() -> None:
    # 100 -> 300 -> 20, weights 1: layer 1 takes two cores of 150; each of its neurons feeds one core of layer 2.
    net = stack(((100,), None), ((300,), None), ((20,), None))
    net = with_weights(net, np.ones((300, 100), int).tolist(), np.ones((20, 300), int).tolist())
    with pytest.raises(AnswerIsNo, match=r"layer layer2 .*axons of one neuron: 300 axons, at most 256"):
        map_net(net, chip("truenorth")).check()
    net = stack(((100,), None), ((200,), None), ((300,), None))
    net = with_weights(net, np.ones((200, 100), int).tolist(), np.ones((300, 200), int).tolist())
    mapping = map_net(net, chip("truenorth"))
    mapping.check()
    relays = [p for p in mapping.pieces if p.role == "splitter"]
    assert sum(p.relays for p in relays) == 400  # every neuron of layer 1 needs two axons
    assert all(p.relays <= 256 for p in relays)
    assert mapping.splitter_ticks == 1
    assert mapping.fan_out["layer1"] == 3  # one to the splitter, two from it
    assert any("1 ticks later" in note for note in mapping.notes)


def test_truenorth_trees_where_256_copies_are_not_enough() -> None:
    net = stack(((4,), None), ((2,), None), ((256 * 300,), None))
    ones = [np.ones((p.weight.shape), np.int8) for p in net.projections]
    net = net.with_projections(tuple(replace(p, weight=w) for p, w in zip(net.projections, ones)))
    mapping = map_net(net, chip("truenorth"))
    mapping.check()
    relays = sum(p.relays for p in mapping.pieces if p.role == "splitter")
    assert relays == 2 * (300 + 2)
    assert mapping.splitter_ticks == 2


@given(st.integers(2, 60), st.integers(1, 400), st.integers(1, 80), st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_laws_on_truenorth(inputs: int, hidden: int, outputs: int, seed: int) -> None:
    net = stack(((inputs,), {}), ((hidden,), {"largest": 1}), ((outputs,), {"largest": 1}))
    mapping = map_net(net, chip("truenorth"), seed=seed)
    last = wirings(net)[1]
    used = int(np.asarray(last.projection.weight).any(axis=0).sum())  # sources without a synapse take no axon
    if used * (axons_per_source(last) or 4) > 256:
        assert mapping.violations
        return
    mapping.check()
    assert (mapping.load <= 1).all()
    for p in net.populations:
        placed = sum(piece.neurons for piece in mapping.pieces if piece.population == p.name)
        assert placed == (0 if p.neuron == INPUT else p.size)
    assert mapping.traffic is not None
    assert mapping.traffic.hops <= mapping.traffic.in_order_hops * (1 + 1e-9)


def test_dynapcnn_gives_every_layer_a_core() -> None:
    mapping = map_net(ecg(neuron="IF"), chip("dynapcnn"))
    mapping.check()
    assert mapping.cores == 4
    assert (mapping.load <= 1).all()
    # conv 1 -> 16, kernel 5: 1 * 2^(3 + 4) = 128 bytes; 16 * 2^7 neurons.
    net = ecg(neuron="IF")
    assert _layer_memory(net.populations[1], [wirings(net)[0]]) == (128, 16 * 128, 0)
    with pytest.raises(AnswerIsNo, match="CubaLIF; SynSense DYNAP-CNN has IF only"):
        map_net(ecg(), chip("dynapcnn")).check()


def test_dynapcnn_memories() -> None:
    with pytest.raises(AnswerIsNo, match=r"layer layer1: weight memory: 401,408 bytes, at most 65,536"):
        map_net(replace(perceptron(), populations=tuple(
            replace(p, neuron=p.neuron if p.neuron == INPUT else "IF") for p in perceptron().populations
        )), chip("dynapcnn")).check()  # fmt: skip


def test_layers_find_cores_by_matching() -> None:
    able = np.array([[True, True, False], [True, False, False], [False, True, True]])
    assert sorted(_matching(able).tolist()) == [0, 1, 2]
    assert _matching(able)[1] == 0
    assert (_matching(np.array([[True], [True]])) < 0).sum() == 1


def test_speck_limits() -> None:
    net = stack(((2, 300), None), ((8, 94), {"kernel": (20,), "strides": (3,)}), neuron="IF")
    text = "\n".join(map(str, map_net(net, chip("speck")).violations))
    assert "kernel: 20 taps, at most 16" in text
    assert "stride: 3" in text
    assert "map: 94 places, at most 64" in text


def test_xylo_limits() -> None:
    small = stack(((16,), None), ((60,), {"largest": 100}), ((8,), {"largest": 100}))
    map_net(small, chip("xylo")).check()
    wide = stack(((20,), None), ((70,), None), ((1100,), None), ((9,), None))
    text = "\n".join(map(str, map_net(wide, chip("xylo")).violations))
    for part in (
        "input channels: 20 channels, at most 16", "hidden neurons: 1,170 neurons, at most 1,000",
        "output neurons: 9 neurons, at most 8", "hidden weights: 77,000 weights, at most 64,000", "fan in: 7",
    ):  # fmt: skip
        assert part in text


def test_akida_is_refused_with_the_reason() -> None:
    with pytest.raises(AnswerIsNo) as error:
        map_net(ecg(), chip("akida_akd1000")).check()
    assert "no integrate-and-fire" in str(error.value)
    assert "Akida has no Conv1D layer" in str(error.value)


def test_analogue_chips_by_counts() -> None:
    map_net(ecg(), chip("neurogrid")).check()
    with pytest.raises(AnswerIsNo, match="neurons: 2,197 neurons, at most 512"):
        map_net(ecg(), chip("brainscales2")).check()


@pytest.mark.parametrize("name", ["loihi2", "spinnaker2"])
def test_other_many_core_chips(name: str) -> None:
    mapping = map_net(perceptron(), chip(name))
    mapping.check()
    assert (mapping.load <= 1).all()
    assert sum(p.neurons for p in mapping.pieces) == 1034
    assert mapping.notes
