"""Other simulators beside the native engine: snnTorch on integer nets, SANA-FE's job, its answers, and live."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mapped_nets import synapses

from trine.devices import NeuroChip, load_device
from trine.devices.errors import InputError
from trine.neuromorphic.backends import sanafe, sanafe_environment, witness, worker
from trine.neuromorphic.backends.simulate import simulate
from trine.neuromorphic.engine import run
from trine.neuromorphic.mapping import Mapping, map_net
from trine.neuromorphic.net import INPUT, Population, Projection, SpikingNet

PRESENT = sanafe_environment.doctor()["ok"]


def layered(seed: int, reset: str = "subtraction", phases: bool = True) -> SpikingNet:
    """Convolution, pooling, a dense layer and a readout of IF neurons, with start values and phases."""
    rng = np.random.default_rng(seed)

    def integrate(start: int) -> dict[str, Any]:
        return {"start": start, "integrate_steps": 6, "fire_steps": 5} if phases else {}

    populations = (
        Population("x", INPUT, (2, 9)),
        Population(
            "a",
            "IF",
            (4, 5),
            {"vth": 60, "v_initial": rng.integers(-900, 900, (4, 1)), **integrate(1)},
            reset,
        ),
        Population("b", "IF", (4, 2), {"vth": 50, **integrate(7)}, reset),
        Population("c", "IF", (6,), {"vth": rng.integers(40, 90, 6), **integrate(13)}, reset),
        Population("y", "LI", (3,), {"dv": 0, "v_initial": rng.integers(-90, 90, 3)}, "none"),
    )
    convolution = {"strides": (2,), "pads": (1, 1), "group": 2}
    links = (
        Projection("v", "x", "a", "conv", rng.integers(-50, 60, (4, 1, 3)) * 2, convolution),
        Projection(
            "p", "a", "b", "pool", np.array(40), {"kernel_shape": (2,), "strides": (2,), "pads": (0, 0)}
        ),
        Projection("w", "b", "c", "dense", rng.integers(-20, 60, (6, 8)) * 2, weight_exponent=-1),
        Projection("u", "c", "y", "dense", rng.integers(-60, 60, (3, 6)) * 2, weight_exponent=2),
    )
    return SpikingNet("layered", 1e-3, populations, links, ("x",), ("y",), "lava")


def spikes(seed: int, batch: int = 3) -> dict[str, Any]:
    rng = np.random.default_rng(seed + 100)
    return {"x": (rng.random((batch, 6, 2, 9)) < 0.5).astype(np.int64)}


def mapped(net: SpikingNet) -> Mapping:
    chip = load_device("loihi1")
    assert isinstance(chip, NeuroChip)
    return map_net(net, chip)


@pytest.mark.parametrize("reset", ["zero", "subtraction", "none"])
@pytest.mark.parametrize("phases", [True, False])
def test_snntorch_sends_the_spikes_of_integer_nets_without_decays(reset: str, phases: bool) -> None:
    pytest.importorskip("snntorch", reason="needs snntorch: pip install 'trine[neuromorphic]'")
    net, probes = (
        layered(1, reset, phases),
        {"a": ("spikes", "v"), "b": ("spikes",), "c": ("spikes", "v"), "y": ("v",)},
    )
    one, other = (simulate(net, spikes(1), 25, b, probes) for b in ("snntorch", "native"))
    for name, variables in probes.items():
        for v in variables:
            assert np.array_equal(one.probes[name][v], other.probes[name][v]), (name, v)
    assert other.spikes("c").sum() > 3


def test_snntorch_rounds_decays_otherwise_and_says_so() -> None:
    pytest.importorskip("snntorch", reason="needs snntorch: pip install 'trine[neuromorphic]'")
    rng = np.random.default_rng(0)
    net = SpikingNet(
        "leaky", 1e-3,
        (Population("x", INPUT, (8,)), Population("y", "CubaLIF", (20,), {"du": 900, "dv": 300, "vth": 100})),
        (Projection("w", "x", "y", "dense", rng.integers(-60, 100, (20, 8)) * 2),), ("x",), ("y",), "lava",
    )  # fmt: skip
    given = {"x": (rng.random((8, 300, 8)) < 0.3).astype(np.int64)}
    seen = witness.ask(net, given, 300, "snntorch", mapped(net))
    y = seen.populations["y"]
    assert y.native > 1000
    assert y.differing < 0.02 * y.native
    assert seen.parity().ok
    assert "with them spikes may come elsewhere" in seen.parity().note


def test_every_synapse_goes_to_sanafe() -> None:
    net = layered(3)
    for p in net.projections:
        job = sanafe._projection(net, p)
        pairs = [tuple(pair) for pair in job["pairs"]]
        assert sorted(pairs) == sorted(synapses(net, p)), p.name
        # the sum of every target for random spikes is the definition's
        fired = np.random.default_rng(0).random(net.population(p.source).size) < 0.5
        sums = np.zeros(net.population(p.target).size)
        for (of, to), weight in zip(pairs, job["weight"]):
            sums[to] += weight * fired[of]
        from trine.neuromorphic.arithmetic import VARIANTS
        from trine.neuromorphic.engine.definition import projected

        message = fired.reshape(1, *net.population(p.source).shape).astype(np.int64)
        wanted = projected(p, message, net.population(p.target).shape, VARIANTS["lava"], np.int64)
        assert np.array_equal(sums, wanted.ravel()), p.name


def test_neurons_go_to_the_cores_of_the_mapping() -> None:
    net = layered(3)
    placed = mapped(net)
    where = sanafe.cores_of(net, placed)
    assert all(len(where[p.name]) == p.size and (where[p.name] >= 0).all() for p in net.populations)
    computing = {int(c) for p in net.populations if p.neuron != INPUT for c in where[p.name]}
    assert len(computing) == placed.cores
    assert not computing & {int(c) for c in where["x"]}


def test_what_sanafe_cannot_express_is_named_all_at_once() -> None:
    net = layered(0)
    from dataclasses import replace

    late = replace(net.projections[0], delay_steps=2)
    leaky = replace(
        net.populations[3], neuron="CubaLIF", parameters={"du": 5, "vth": 9, "refractory_steps": 2}
    )
    bad = replace(
        net,
        populations=(*net.populations[:3], leaky, net.populations[4]),
        projections=(late, *net.projections[1:]),
    )
    with pytest.raises(InputError) as caught:
        sanafe.check(bad, mapped(net))
    for word in (
        "population c: neuron CubaLIF",
        "population c: refractory_steps",
        "projection v: a delay of 2 steps",
    ):
        assert word in str(caught.value)


def test_an_answer_of_another_length_is_no_result(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    net = layered(0)
    fake = tmp_path / "worker.py"
    fake.write_text('print(\'{"version": "0", "examples": [{"spikes": [], "readout": {}, "energy": {}}]}\')')
    monkeypatch.setattr(sanafe, "python", lambda: Path(sys.executable))
    monkeypatch.setattr(sanafe, "WORKER", fake)
    with pytest.raises(worker.WorkerFailed, match="no result"):
        sanafe.run(net, spikes(0, 1), 25, placed=mapped(net))


def need_sanafe() -> None:
    if not PRESENT:
        if os.environ.get("CI") == "true":
            pytest.fail(f"continuous integration must have SANA-FE: {sanafe_environment.INSTALL}")
        pytest.skip(sanafe_environment.MISSING)


@pytest.mark.parametrize("phases", [True, False])
@pytest.mark.parametrize("reset", ["zero", "subtraction"])
def test_sanafe_sends_the_same_spikes_live(reset: str, phases: bool) -> None:
    need_sanafe()
    net, placed = layered(5, reset, phases), None
    placed = mapped(net)
    seen = witness.ask(net, spikes(5), 25, "sanafe", placed)
    assert seen.differing == 0
    assert sum(p.native for p in seen.populations.values()) > 10
    assert seen.parity().exact
    result = run(net, spikes(5), 25)
    synaptic = sum(result.operations(net).values()) / 3
    assert (
        0 < seen.more["energy_j"]["synapse"] < 35.5e-12 * synaptic * 1.001
    )  # a dense synapse is the dearest
