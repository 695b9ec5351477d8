"""Mapping: arithmetic against synapses listed one by one, laws of every mapping, hand-made examples."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from mapped_nets import chip, ecg, perceptron, stack, synapses

from trine.devices.errors import AnswerIsNo, InputError
from trine.neuromorphic.mapping import Mapping, map_net
from trine.neuromorphic.mapping.grid import Grid, demand, exact_ranges, regular
from trine.neuromorphic.mapping.partition import box_messages
from trine.neuromorphic.mapping.place import Mesh, _gains, graph, hilbert_order, place
from trine.neuromorphic.mapping.reach import wirings
from trine.neuromorphic.mapping.traffic import flow
from trine.neuromorphic.net import INPUT, Population, Projection, SpikingNet


@st.composite
def joined(draw: st.DrawFn) -> SpikingNet:
    """Two populations and one projection of any kind."""
    kind = draw(st.sampled_from(["dense", "conv", "conv", "pool", "identity"]))
    if kind in ("conv", "pool"):
        return draw(windowed(kind, draw(st.integers(1, 3))))
    source = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=3)))
    if kind == "identity":
        target = (int(np.prod(source)),) if draw(st.booleans()) else source
        return _pair(source, target, Projection("p", "a", "b", "identity", np.array(3)))
    target = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=3)))
    weight = np.ones((int(np.prod(target)), int(np.prod(source))), np.int8)
    return _pair(source, target, Projection("p", "a", "b", "dense", weight))


@st.composite
def windowed(draw: st.DrawFn, kind: str, groups: int) -> SpikingNet:
    """A convolution or pooling in one or two dimensions, strides, dilations and pads of any kind."""
    rank, ins, outs = (draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(st.integers(1, 3)))
    kernel = [draw(st.integers(1, 3)) for _ in range(rank)]
    strides = [draw(st.integers(1, 3)) for _ in range(rank)]
    dilations = [draw(st.integers(1, 2)) if kind == "conv" else 1 for _ in range(rank)]
    pads = [draw(st.integers(0, 2)) for _ in range(2 * rank)]
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations)]
    size = [draw(st.integers(max(1, r - pads[d] - pads[rank + d]), 9)) for d, r in enumerate(reach)]
    places = [
        (n + pads[d] + pads[rank + d] - r) // strides[d] + 1 for d, (n, r) in enumerate(zip(size, reach))
    ]
    attributes = {"strides": strides, "pads": pads}
    if kind == "pool":
        attributes |= {"kernel_shape": kernel}
        return _pair(
            (groups, *size), (groups, *places), Projection("p", "a", "b", "pool", np.array(1), attributes)
        )
    weight = np.ones((groups * outs, ins, *kernel), np.int8)
    attributes |= {"dilations": dilations, "group": groups}
    return _pair(
        (groups * ins, *size), (groups * outs, *places), Projection("p", "a", "b", "conv", weight, attributes)
    )


def _pair(source: tuple[int, ...], target: tuple[int, ...], projection: Projection) -> SpikingNet:
    populations = (Population("a", INPUT, source), Population("b", "CubaLIF", target))
    return SpikingNet("pair", 1e-3, populations, (projection,), ("a",), ("b",))


def _label(grid: Grid, shape: tuple[int, ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    low, high = grid.bounds()
    label = np.full(shape, -1, np.int64)
    for number, (a, b) in enumerate(zip(low, high)):
        label[tuple(slice(x, y) for x, y in zip(a, b))] = number
    return label.ravel()


@given(joined(), st.data())
@settings(max_examples=150, deadline=None)
def test_arithmetic_counts_the_synapses_that_exist(net: SpikingNet, data: st.DataObject) -> None:
    wiring = wirings(net)[0]
    a, b = net.populations
    grids = [regular(p.shape, tuple(data.draw(st.integers(1, n)) for n in p.shape)) for p in (a, b)]
    pairs = np.array(synapses(net, net.projections[0]), np.int64).reshape(-1, 2)
    assert wiring.synapses == len(pairs)
    box_a, box_b = _label(grids[0], a.shape), _label(grids[1], b.shape)
    need = demand(wiring, tuple(exact_ranges(cuts) for cuts in grids[1].cuts))
    per_box = np.broadcast_to(need.sources, grids[1].counts).ravel()
    made = np.broadcast_to(need.synapses, grids[1].counts).ravel()
    messages: dict[tuple[int, int], set[int]] = {}
    for i, o in pairs.tolist():
        messages.setdefault((int(box_a[i]), int(box_b[o])), set()).add(i)
    exact = wiring.projection.attributes.get("group", 1) == 1 or wiring.projection.kind == "pool"
    for box in range(grids[1].boxes):
        inside = box_b[pairs[:, 1]] == box
        assert made[box] == inside.sum()
        reached = len(np.unique(pairs[inside, 0]))
        assert per_box[box] == reached if exact else per_box[box] >= reached
    f = flow(wiring, *grids)
    counted = {(int(s), int(t)): int(c) for s, t, c in zip(f.source, f.target, f.count)}
    assert counted == {key: len(sources) for key, sources in messages.items()}
    sent = np.broadcast_to(box_messages(wiring, *grids), grids[0].counts).ravel()
    for box in range(grids[0].boxes):
        assert sent[box] == sum(n for (s, _), n in counted.items() if s == box)


@given(windowed("conv", 1))
@settings(max_examples=60, deadline=None)
def test_shared_entries_hold_every_set_of_weights_once(net: SpikingNet) -> None:
    wiring = wirings(net)[0]
    source, target = net.populations
    need = demand(wiring, tuple([[(0, n)]] for n in target.shape))
    places: dict[int, set[tuple[int, ...]]] = {}
    for i, o in synapses(net, net.projections[0]):
        channel, *at = np.unravel_index(i, source.shape)
        out = np.unravel_index(o, target.shape)
        if channel == 0 and out[0] == 0:
            taps = tuple(x + p - y * s for x, y, s, p in zip(at, out[1:], *(
                wiring.projection.attributes[k] for k in ("strides", "pads"))))  # fmt: skip
            places.setdefault(i, set()).add(tuple(int(t) for t in taps))
    sets = {frozenset(taps) for taps in places.values()}
    stored = sum(int(n.item() * c.item()) for n, c in need.entries)
    assert stored == sum(len(s) for s in sets) * source.shape[0] * target.shape[0]


@st.composite
def chains(draw: st.DrawFn) -> SpikingNet:
    """Convolutions and dense layers, some too large for one core."""
    layers: list[tuple[tuple[int, ...], dict[str, object] | None]] = []
    channels, length = draw(st.integers(1, 4)), draw(st.integers(20, 300))
    layers.append(((channels, length), None))
    for _ in range(draw(st.integers(0, 3))):
        kernel, stride = draw(st.integers(1, 5)), draw(st.integers(1, 2))
        if length < kernel + 4:
            break
        channels, length = draw(st.integers(1, 40)), (length - kernel) // stride + 1
        layers.append(((channels, length), {"kernel": (kernel,), "strides": (stride,)}))
    for _ in range(draw(st.integers(1, 2))):
        layers.append(((draw(st.integers(1, 700)),), None))
    return stack(*layers, reset=draw(st.sampled_from(["zero", "subtraction"])))


def _check_laws(net: SpikingNet, mapping: Mapping) -> None:
    for p in net.populations:
        owners = np.zeros(p.shape, np.int64)
        for piece in mapping.pieces:
            if piece.population == p.name and piece.role == "neurons":
                owners[tuple(slice(a, b) for a, b in zip(piece.low, piece.high))] += 1
        assert (owners == (0 if p.neuron == INPUT else 1)).all(), "every neuron is placed exactly once"
    assert (mapping.load <= 1 + 1e-9).all()
    slots = [tuple(row) for row in mapping.placement.tolist()]
    assert all(slots.count(tile) <= 4 for tile in set(slots))
    assert mapping.traffic is not None
    assert mapping.traffic.hops <= mapping.traffic.in_order_hops * (1 + 1e-9)
    joined = sum(w.synapses for w in wirings(net))
    assert sum(piece.synapses for piece in mapping.pieces) == joined


@given(chains())
@settings(max_examples=25, deadline=None)
def test_laws_on_loihi1(net: SpikingNet) -> None:
    mapping = map_net(net, chip("loihi1"), max_chips=16)
    assume(not mapping.violations)
    _check_laws(net, mapping)


def test_same_arguments_same_mapping() -> None:
    one, two = (map_net(perceptron(), chip("loihi1"), seed=3) for _ in range(2))
    assert one.pieces == two.pieces
    assert np.array_equal(one.placement, two.placement)


def test_perceptron_on_loihi1_by_hand() -> None:
    # Layer 1, box of 128: each of 784 axons holds 128 8-bit weights: 60 + 60 + 8 -> 8 + 8 + 2 words.
    mapping = map_net(perceptron(), chip("loihi1"))
    words = [limit.name for limit in mapping.limits].index("synapse memory")
    first = [p for p in mapping.pieces if p.population == "layer1"]
    assert [p.neurons for p in first] == [128, 128, 128, 128]
    assert mapping.use[first[0].core, words] == 784 * 18
    assert mapping.fan_out["layer0"] == 4
    mapping.check()


def test_reset_by_subtraction_takes_two_compartments() -> None:
    zero, subtraction = (map_net(ecg(reset=r), chip("loihi1")) for r in ("zero", "subtraction"))
    assert zero.use[:, 0].sum() == 2197
    assert subtraction.use[:, 0].sum() == 2 * 2197


def test_long_delays_cost_compartments() -> None:
    net = stack(((10,), None), ((300,), None))
    late = net.with_projections((replace(net.projections[0], delay_steps=20),))
    assert map_net(late, chip("loihi1")).cores == 3  # 128 compartments a core
    assert map_net(net, chip("loihi1")).cores == 1


def test_cores_are_full_and_traffic_falls() -> None:
    conv = {"kernel": (3, 3), "pads": (1, 1, 1, 1)}
    net = stack(
        ((3, 32, 32), None), ((32, 32, 32), conv), ((32, 16, 16), conv | {"strides": (2, 2)}), ((32, 16, 16), conv),
        ((32, 16, 16), conv), ((64, 8, 8), conv | {"strides": (2, 2)}), ((256,), None), ((10,), None),
    )  # fmt: skip
    mapping = map_net(net, chip("loihi1"), {p.name: 0.05 for p in net.populations}, max_chips=2)
    mapping.check()
    _check_laws(net, mapping)
    assert mapping.cores > 16
    assert mapping.utilisation >= 0.8
    assert mapping.traffic is not None
    assert mapping.traffic.saved >= 0.3


def test_every_violation_is_told_at_once() -> None:
    net = stack(((5000,), None), ((50,), {"largest": 400}), ((4,), None))
    p1, p2 = net.projections
    net = net.with_projections((p1, replace(p2, delay_steps=70, graded=True)))
    mapping = map_net(net, chip("loihi1"))
    with pytest.raises(AnswerIsNo) as error:
        mapping.check()
    text = str(error.value)
    assert "projection p1 (layer0 -> layer1): weight width: 10 bits, at most 8; quantise" in text
    assert "projection p2 (layer1 -> layer2): delay: 70 steps, at most 62" in text
    assert "graded spikes" in text
    assert (
        "layer layer1 (from layer0): input axons of one neuron: 5,000 axons, at most 4,096; give the layer fewer"
        in text
    )
    assert not mapping.pieces


def test_too_many_cores_for_one_chip() -> None:
    net = stack(((2, 400, 400), None), ((2, 400, 400), {"kernel": (3, 3), "pads": (1, 1, 1, 1)}))
    mapping = map_net(net, chip("loihi1"))
    (violation,) = mapping.violations
    assert violation.limit == "cores"
    assert violation.available == 128
    assert f"use {mapping.chips} chips" in str(violation)
    map_net(net, chip("loihi1"), max_chips=mapping.chips).check()


def test_recurrence_and_flattening() -> None:
    net = stack(((1, 30), None), ((8, 26), {"kernel": (5,)}))
    flat = Population("flat", "CubaLIF", (208,))
    rng = np.random.default_rng(0)
    net = SpikingNet(
        "loop", 1e-3, (*net.populations, flat),
        (
            *net.projections, Projection("reshape", "layer1", "flat", "identity", np.array(5)),
            Projection("again", "flat", "flat", "dense", rng.integers(-100, 100, (208, 208))),
        ), ("layer0",), ("flat",),
    )  # fmt: skip
    mapping = map_net(net, chip("loihi1"))
    _check_laws(net, mapping)


def test_bad_rates_are_refused() -> None:
    with pytest.raises(InputError, match=r"no population nowhere; layer0: nan"):
        map_net(perceptron(), chip("loihi1"), {"nowhere": 1.0, "layer0": float("nan")})


def test_placement_never_loses_to_in_order() -> None:
    rng = np.random.default_rng(5)
    mesh = Mesh(4, 4, 2, "test")
    positions = mesh.positions(1)
    for _ in range(5):
        source, target = rng.integers(-1, 20, 60), rng.integers(0, 20, 60)
        traffic = graph(len(positions), source, target, rng.random(60))
        order = place(traffic, 20, positions[:, 1:])
        assert len(set(order.tolist())) == 20
        full = np.concatenate([order, np.setdiff1d(np.arange(32), order)])
        assert traffic.hops(positions[full, 1:]) <= traffic.hops(positions[:, 1:]) + 1e-9


def test_hilbert_order_moves_by_single_tiles() -> None:
    positions = Mesh(8, 8, 1, "test").positions(1)[:, 1:]
    steps = np.abs(np.diff(positions[hilbert_order(positions)], axis=0)).sum(axis=1)
    assert (steps == 1).all()


def test_gain_of_a_swap_is_the_change_of_hops() -> None:
    rng = np.random.default_rng(6)
    spots = Mesh(3, 2, 2, "test").positions(1)[:, 1:]
    traffic = graph(12, rng.integers(-1, 12, 40), rng.integers(0, 12, 40), rng.random(40))
    gain, before = _gains(traffic, spots), traffic.hops(spots)
    for one, other in combinations(range(12), 2):
        swapped = spots.copy()
        swapped[[one, other]] = spots[[other, one]]
        assert gain[one, other] == pytest.approx(traffic.hops(swapped) - before, abs=1e-4)


def test_traffic_counts_every_message_once() -> None:
    net = ecg()
    mapping = map_net(net, chip("loihi1"))
    assert mapping.traffic is not None
    for number, p in enumerate(net.populations):
        sent = mapping.traffic.count[mapping.traffic.population == number].sum()
        assert sent == pytest.approx(mapping.fan_out[p.name] * p.size)
