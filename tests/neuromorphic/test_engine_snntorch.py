"""snnTorch's neurons against the definition: the same spikes from a real-valued net."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("snntorch", reason="needs snntorch: pip install 'trine[neuromorphic]'")

from trine.devices.errors import InputError
from trine.neuromorphic.backends.simulate import simulate
from trine.neuromorphic.net import INPUT, Population, Projection, SpikingNet


def net(reset: str) -> SpikingNet:
    """Convolution, pooling, recurrence, delays; LIF, IF, CubaLIF and a readout with resting values of their own."""
    rng = np.random.default_rng(2)
    populations = (
        Population("in", INPUT, (2, 14)),
        Population("c", "LIF", (3, 6), {"tau_mem_s": 0.01, "r": 10.0, "v_threshold": 0.6, "v_leak": 0.1}, reset),
        Population("p", "IF", (3, 3), {"r": 1000.0, "v_threshold": 0.9, "bias": 0.03, "v_initial": 0.4}, reset),
        Population(
            "d", "CubaLIF", (5,),
            {"tau_syn_s": 0.004, "tau_mem_s": 0.02, "w_in": 4.0, "r": 20.0, "v_threshold": 0.8, "bias": 0.002}, reset,
        ),
        Population("r", "LI", (2,), {"tau_mem_s": 0.02, "r": 20.0, "v_leak": -0.3}),
    )  # fmt: skip
    convolution = {"strides": (2,), "pads": (1, 0), "dilations": (2,)}
    links = (
        Projection("a", "in", "c", "conv", rng.normal(0, 0.5, (3, 2, 3)), convolution, 1),
        Projection("b", "c", "p", "pool", np.array(0.5), {"kernel_shape": (2,), "strides": (2,)}),
        Projection("e", "p", "d", "dense", rng.normal(0.1, 0.5, (5, 9)), weight_exponent=1),
        Projection("f", "d", "d", "identity", np.array(-0.2), {}, 2),
        Projection("g", "d", "r", "dense", rng.normal(0, 1, (2, 5))),
    )
    return SpikingNet("real", 1e-3, populations, links, ("in",), ("d", "r"))


@pytest.mark.parametrize("reset", ["zero", "subtraction", "none"])
def test_same_spikes_and_membranes(reset: str) -> None:
    given = {"in": (np.random.default_rng(1).random((3, 80, 2, 14)) < 0.25).astype(float)}
    probes = {"c": ("spikes", "v"), "p": ("spikes", "v"), "d": ("spikes", "u", "v"), "r": ("v", "spikes")}
    one = simulate(net(reset), given, 80, "snntorch", probes)
    other = simulate(net(reset), given, 80, "native", probes)
    for name, variables in probes.items():
        for v in variables:
            assert np.allclose(one.probes[name][v], other.probes[name][v], rtol=0, atol=1e-9), (name, v)
    assert min(int(other.sent[name].sum()) for name in ("c", "p", "d")) > 20
    assert other.sent["r"].sum() == 0, "a readout that feeds nothing sends nothing"


def test_refuses_what_it_has_not() -> None:
    given = {"in": np.zeros((1, 2, 3))}
    populations = (Population("in", INPUT, (3,)), Population("s", "SigmaDelta", (3,), {"v_threshold": 1.0}))
    link = Projection("w", "in", "s", "identity", np.array(1.0))
    graded = SpikingNet("s", 1e-3, populations, (link,), ("in",), ("s",))
    with pytest.raises(InputError, match=r"not s \(SigmaDelta\)"):
        simulate(graded, given, 2, "snntorch")
    with pytest.raises(InputError, match="did you mean snntorch"):
        simulate(graded, given, 2, "snntorsh")
