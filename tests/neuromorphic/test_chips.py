"""Every chip of the catalogue takes a network or says in one line why not; what each form promises holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from converted_nets import Builder
from hypothesis import given, settings
from hypothesis import strategies as st

from trine.compilers.deploy import DoesNotFit, deploy
from trine.compilers.deployment import Deployment
from trine.compilers.graph import Array, Graph
from trine.compilers.onnx_writer import write_onnx
from trine.compilers.target import Job
from trine.devices import NeuroChip, load_device
from trine.devices.errors import InputError
from trine.neuromorphic.checking import check_chip
from trine.neuromorphic.chips.answers import HOST, chip_events, decisive, on_chip
from trine.neuromorphic.chips.form import FORMS, form_of, refusal
from trine.neuromorphic.chips.rounding import kept, rounded
from trine.neuromorphic.conversion.convert import ConversionOptions
from trine.neuromorphic.conversion.running import run_spiking
from trine.neuromorphic.mapping.reach import wirings
from trine.neuromorphic.mapping.truenorth import axons_of, decomposed
from trine.neuromorphic.simulate import load, simulate, verify
from trine.neuromorphic.target import TARGET, NeuromorphicOptions

CHIPS = sorted(p.stem for p in (Path(__file__).parents[2] / "devices" / "neuromorphic").glob("*.toml"))
TAKES = {
    "brainscales2", "dynapcnn", "loihi1", "loihi2", "neurogrid", "speck", "spinnaker2", "truenorth", "xylo",
    "xylo_audio3", "xylo_imu",
}  # fmt: skip


def perceptron(seed: int) -> tuple[Graph, dict[str, Array]]:
    """Small enough for every chip: 6 inputs, 20 hidden neurons, 4 answers."""
    b = Builder(seed, x=(6,))
    return b.graph(b.gemm(b.relu(b.gemm("x", 20)), 4)), b.samples(256)


def waves(seed: int) -> tuple[Graph, dict[str, Array]]:
    """Two 1-D convolutions, a joined second input, more inputs a neuron than a crossbar takes."""
    b = Builder(seed, beat=(2, 32), rr=(3,))
    x = b.relu(b.conv("beat", 12, 5, strides=(2,)))
    x = b.relu(b.conv(x, 12, 9))
    x = b.relu(b.gemm(b.flat(x), 10))
    return b.graph(b.gemm(b.relu(b.gemm(b.add("Concat", x, "rr", axis=0), 8)), 3)), b.samples(256)


def chip(name: str) -> NeuroChip:
    device = load_device(name)
    assert isinstance(device, NeuroChip)
    return device


Compile = Callable[..., Deployment]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compile:
    """Compiles a network for a chip, once for each request."""
    place = tmp_path_factory.mktemp("chips")
    made: dict[str, Deployment] = {}

    def compile_for(device: str, net: str = "perceptron", **options: Any) -> Deployment:
        form = form_of(chip(device))
        key = f"{device}-{net}-{sorted(options.items())}"
        if key not in made:
            graph, samples = {"perceptron": perceptron, "waves": waves}[net](5)
            model, data = place / f"{net}.onnx", place / f"{net}.npz"
            model.write_bytes(write_onnx(graph).SerializeToString(deterministic=True))
            y = graph.run(samples)[graph.outputs[0]].argmax(axis=1)
            np.savez(data, **samples, y=y.astype(np.int64))
            conversion = ConversionOptions(
                **{"scheme": form.schemes[0], "steps": 15, "input_bits": 4, **options}
            )
            job = Job(
                model, load_device(device), place / f"out{len(made)}", data,
                options=NeuromorphicOptions(conversion, parity_examples=64),
            )  # fmt: skip
            made[key] = deploy(job, TARGET)
        return made[key]

    return compile_for


@pytest.mark.parametrize("name", CHIPS)
def test_every_chip_takes_a_network_or_says_why_not(name: str, compiled: Compile) -> None:
    device = chip(name)
    why = refusal(device)
    assert (why is None) == (name in TAKES)
    if why is not None:
        assert why.startswith(name)
        assert why.count("\n") == 0
        assert "chip.form" not in why
        with pytest.raises(InputError, match=name):
            form_of(device)
        return
    record = compiled(name).record
    assert all(f["ok"] for f in record["fit"])
    assert record["accuracy"]["deployed"]["accuracy"] > 0.7
    (parity,) = record["parity"]
    assert parity["exact"] == (form_of(device).schemes[0] == "exact")
    if parity["exact"]:
        assert parity["differing"] == 0
    assert verify(compiled(name), device, NeuromorphicOptions())["parity"]


def test_a_crossbar_reproduces_every_count_of_the_quantised_network(compiled: Compile) -> None:
    record = compiled("truenorth", "waves").record
    (parity,) = record["parity"]
    assert (parity["differing"], parity["exact"]) == (0, True)
    assert parity["values"] > 64 * 300
    loaded = load(compiled("truenorth", "waves"))
    for layer in loaded.network.layers[:-1]:
        used = sum(
            int((s.weight != 0).any(axis=(0, *range(2, s.weight.ndim))).sum()) * (s.weight[0, 0].size or 1)
            * (1 + (s.source in loaded.network.input_shapes))
            for s in layer.synapses
        )  # fmt: skip
        assert used <= 80, layer.name
        largest = max(int(np.abs(s.weight).max()) for s in layer.synapses)
        assert (largest + 1) * used <= 240, layer.name
    assert max(map(max, loaded.spiking.gates.values())) < loaded.spiking.steps
    assert record["accuracy"]["deployed"]["accuracy"] > 0.6


def test_gates_leave_two_axon_types_to_the_weights(compiled: Compile) -> None:
    net = on_chip(load(compiled("truenorth", "waves")).spiking).net
    axons = axons_of(wirings(net))
    for p in net.projections:
        values = np.unique(p.weight)
        most = 1 if len(values) == 1 else int(np.abs(values).max()) + 1
        assert axons[p.name] is not None
        assert axons[p.name] <= most, p.name
        kinds = {float(np.unique(q.weight)[0]) for q in net.into(p.target) if len(np.unique(q.weight)) == 1}
        assert len(kinds) <= 2


def test_without_its_gates_a_crossbar_spikes_too_early(compiled: Compile) -> None:
    loaded = load(compiled("truenorth", "waves"))
    made, network = loaded.spiking, loaded.network
    _, samples = waves(5)
    whole = network.encode({k: v[:16] for k, v in samples.items()})
    assert run_spiking(made, network, whole).differing == 0
    shut = type(made)(
        made.net, made.scheme, made.levels, made.lag, made.steps, made.begins, made.lines,
        {k: tuple(s + 1 for s in v) for k, v in made.gates.items()},
    )  # fmt: skip
    assert run_spiking(shut, network, whole).differing > 0


def test_the_host_counts_and_takes_no_place(compiled: Compile) -> None:
    loaded = load(compiled("truenorth"))
    part = on_chip(loaded.spiking)
    assert HOST in loaded.spiking.net.by_name
    assert HOST not in part.net.by_name
    part.net.check()
    events = run_spiking(
        loaded.spiking, loaded.network, loaded.network.encode({k: v[:4] for k, v in perceptron(5)[1].items()})
    ).events
    chip_events(events).check(part.net)


def test_an_analogue_chip_gives_a_mean_and_a_spread(compiled: Compile) -> None:
    made = compiled("brainscales2")
    record = made.record
    draws = record["accuracy"]["draws"]
    assert draws["draws"] == 8
    assert draws["accuracy"]["low"] <= draws["accuracy"]["mean"] <= draws["accuracy"]["high"]
    assert draws["agreement"]["std"] > 0
    assert "not bit accurate" in record["parity"][0]["note"]
    assert {c["name"] for c in record["cost"]} >= {"chip_power_w"}
    assert not any("energy" in c["name"] for c in record["cost"])
    again = simulate(
        made, chip("brainscales2"), made.folder.parent / "perceptron.npz", NeuromorphicOptions(), limit=64
    )
    assert again["results"]["accuracy"]["draws"] == draws


def test_a_net_beyond_a_small_chip_is_refused_with_amounts(compiled: Compile) -> None:
    with pytest.raises(DoesNotFit, match="input channels: 134 channels used, 16 channels there"):
        compiled("xylo", "waves")


@pytest.mark.parametrize(
    ("device", "scheme"), [("dynapcnn", "exact"), ("truenorth", "rate"), ("xylo", "sigma_delta")]
)
def test_a_scheme_that_a_chip_cannot_run_names_those_it_can(
    compiled: Compile, device: str, scheme: str
) -> None:
    with pytest.raises(InputError, match=f"{device} runs --scheme {form_of(chip(device)).schemes[0]} only"):
        compiled(device, scheme=scheme)


def test_check_says_amounts_without_data(tmp_path: Path) -> None:
    graph, _ = waves(5)
    model = tmp_path / "waves.onnx"
    model.write_bytes(write_onnx(graph).SerializeToString(deterministic=True))
    fits = check_chip(model, chip("speck"), {})
    assert fits.ok
    assert "neurons: 405 of 328,000" in fits.text()
    small = check_chip(model, chip("xylo"), {})
    assert not small.ok
    assert "input channels, one a sign: 134 of 16 channels" in small.text()
    with pytest.raises(InputError, match="no 1-D convolution"):
        check_chip(model, chip("akida_akd1000"), {})


@given(st.integers(1, 15), st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_crossings_of_two_types_make_every_weight(largest: int, seed: int) -> None:
    weight = np.random.default_rng(seed).integers(-largest, largest + 1, (7, 9))
    plus, minus = decomposed(weight, largest)
    np.testing.assert_array_equal(largest * plus - minus, weight)
    assert set(np.unique(plus)) <= {0, 1}
    assert minus.min() >= 0
    assert minus.max() <= largest


def test_errors_handed_on_beat_plain_rounding_and_pruning() -> None:
    lost: dict[str, float] = dict.fromkeys(("pruned", "pruned plainly", "rounded", "rounded plainly"), 0.0)
    for seed in range(12):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(400, 12)) @ rng.normal(size=(12, 12))
        covariance, weight = x.T @ x / len(x), rng.normal(size=(5, 12))
        fewer = kept(weight, covariance, [np.array([i]) for i in range(12)], [1] * 12, 6)
        used = (fewer != 0).any(axis=0)
        assert used.sum() == 6
        whole = rounded(fewer, covariance, 0.5, 50)
        assert not whole[:, ~used].any()
        assert (whole == np.rint(whole)).all()
        for name, found, wanted in (
            ("pruned", fewer, weight),
            ("pruned plainly", weight * used, weight),
            ("rounded", whole * 0.5, fewer),
            ("rounded plainly", np.rint(fewer / 0.5) * 0.5, fewer),
        ):
            lost[name] += float(np.square(x @ (found - wanted).T).mean())
    assert lost["pruned"] < 0.5 * lost["pruned plainly"]
    assert lost["rounded"] < 0.9 * lost["rounded plainly"]


def test_answers_lie_where_classes_compete() -> None:
    z = np.array([[0.0, 5.0, -9.0], [4.0, 3.0, -9.0], [1.0, 2.0, -9.0]])
    low, high = decisive(z)
    assert -9.0 < low < 2.0
    assert high > 3.0


def test_every_form_is_used_and_every_chip_names_a_known_one() -> None:
    used = {chip(name).facts["chip.form"].text for name in CHIPS if refusal(chip(name)) is None}
    assert used == set(FORMS)
