"""Dense projections between populations of several axes: the compiled engine against the definition."""

from __future__ import annotations

import numpy as np
import pytest

from trine.neuromorphic.engine import run
from trine.neuromorphic.engine.definition import define
from trine.neuromorphic.net import INPUT, Population, Projection, Shape, SpikingNet

SHAPES = [((6,), (4, 16)), ((2,), (16, 64)), ((2, 8), (64,)), ((3, 5), (4, 7)), ((2, 3, 4), (3, 2, 5))]


@pytest.mark.parametrize(("source", "target"), SHAPES)
def test_every_weight_reaches_its_neuron(source: Shape, target: Shape) -> None:
    pytest.importorskip("numba", reason="the native engine needs numba: pip install 'trine[neuromorphic]'")
    rng = np.random.default_rng(0)
    weight = rng.integers(-100, 100, (int(np.prod(target)), int(np.prod(source)))).astype(np.int32)
    neuron = Population("b", "SigmaDelta", target, {"vth": 1, "relu": 0, "keeps_residue": 0}, "none")
    projection = Projection("p", "a", "b", "dense", weight)
    populations = (Population("a", INPUT, source), neuron)
    net = SpikingNet("x", 1e-3, populations, (projection,), ("a",), ("b",), "loihi_hardware")
    inputs = {"a": rng.integers(0, 2, (3, 4, *source)).astype(np.uint8)}
    found = run(net, inputs, 5, {"b": ("sigma",)}).probes["b"]["sigma"]
    meant = define(net, inputs, 5, {"b": ("sigma",)}).probes["b"]["sigma"]
    assert np.any(meant)
    assert np.array_equal(found, meant)
