"""NIR files: read, run, written back to equal graphs; exports of ours in nir and in snnTorch."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from nir_samples import NIR_FILES, in_step, noise, shared

from trine.devices.errors import InputError
from trine.neuromorphic.engine.definition import define
from trine.neuromorphic.net import INPUT, Population, Projection, SpikingNet
from trine.neuromorphic.net_file import load_net, read_exact, save_net, side_path
from trine.neuromorphic.nir_file import read_nir
from trine.neuromorphic.nir_graph import open_graph
from trine.neuromorphic.nir_write import same_graph, write_nir
from trine.neuromorphic.timing import arrivals

nir = pytest.importorskip("nir", reason="the extra neuromorphic (nir) is not installed")


def plain(net: SpikingNet) -> SpikingNet:
    """The net without memory of its file."""
    return SpikingNet(**{f.name: getattr(net, f.name) for f in fields(SpikingNet)})


def stored(path: Path, nodes: dict[str, object], edges: list[tuple[str, str]], check: bool = True) -> Path:
    nir.write(str(path), nir.NIRGraph(nodes=nodes, edges=edges, metadata={}, type_check=check))
    return path


def lif(n: int = 2, **changed: object) -> object:
    one = np.ones(n)
    values = {"tau": one * 1e-2, "r": one * 10, "v_leak": one * 0, "v_threshold": one, "v_reset": one * 0}
    return nir.LIF(**{**values, **changed})


def ours(reset: str = "zero", **second: object) -> SpikingNet:
    """Conv1d, pooling by sums, dense with delay and recurrence: everything from weights, nothing from a file."""
    rng, dt = np.random.default_rng(3), 1e-3
    kind = {"tau_mem_s": 8e-3, "r": 8.0, "v_threshold": 1.0}
    cuba = {"tau_syn_s": 3e-3, "tau_mem_s": 5e-3, "w_in": 3.0, "r": 5.0, "v_threshold": 0.8}
    weight = {
        k: rng.normal(size=s).astype(np.float32)
        for k, s in {"conv": (4, 3, 5), "fc": (6, 16), "rec": (6, 6), "skip": (6, 16), "out": (3, 6)}.items()
    }
    return SpikingNet(
        "ours",
        dt,
        (
            Population("x", INPUT, (3, 16)),
            Population("a", "LIF", (4, 8), kind, reset),
            Population("p", "IF", (4, 4), {"r": 1 / dt, "v_threshold": 1.5}),
            Population("b", "CubaLIF", (6,), cuba),
            Population("y", "LI", (3,), {"tau_mem_s": 5e-3, "r": 5.0}, "none"),
        ),
        (
            Projection(
                "conv", "x", "a", "conv", weight["conv"], {"strides": (2,), "pads": (2, 2)}, graded=True
            ),
            Projection("pool", "a", "p", "pool", np.float32(1), {"kernel_shape": (2,), "strides": (2,)}),
            Projection("fc", "p", "b", "dense", weight["fc"] / 2),
            Projection("rec", "b", "b", "dense", weight["rec"], {}, 2),
            Projection("skip", "p", "b", "dense", weight["skip"] / 2, {}, 3),
            Projection("out", "b", "y", "dense", weight["out"]),
        ),
        ("x",),
        ("b", "y"),
    )


def test_single_lif_spikes_when_published() -> None:
    table = np.loadtxt(shared("snn_nir/lif/lif_exact.csv"), delimiter=",")
    net = read_nir(shared("snn_nir/lif/lif_norse.nir"), 1e-4)
    sent = in_step(net, {"input": table[None, :, :1]}, len(table))[net.outputs[0]]
    assert np.flatnonzero(sent[0, :, 0]).tolist() == [460, 510, 710, 760]
    norse = np.loadtxt(shared("snn_nir/lif/lif_norse.csv"), delimiter=",")
    v = define(net, {"input": table[None, :, :1]}, 1001, {"1": ("v",)}).probes["1"]["v"][0, 1:, 0]
    assert np.abs(v[:460] - norse[:460, 1]).max() < 1e-6 or np.abs(v[1:460] - norse[:459, 1]).max() < 1e-6


@pytest.mark.parametrize("name", NIR_FILES)
def test_files_run_and_round_trip_to_equal_graphs(name: str, tmp_path: Path) -> None:
    source = shared(f"snn_nir/{name}")
    net = read_nir(source, NIR_FILES[name])
    steps = 4 if "cnn" in name else 60
    inputs = noise(net, steps, 1)
    assert write_nir(net, tmp_path / "again.nir") == ()
    again = open_graph(tmp_path / "again.nir")
    assert same_graph(open_graph(source), again) == []
    theirs = nir.read(str(tmp_path / "again.nir"))
    assert {k: type(v).__name__ for k, v in theirs.nodes.items()} == {
        k: v.kind for k, v in again.nodes.items()
    }
    a = in_step(net, inputs, steps)
    # made anew from weights alone the nodes may be others, the net is the same one
    write_nir(plain(net), tmp_path / "anew.nir")
    nir.read(str(tmp_path / "anew.nir"))
    for other in (read_nir(tmp_path / "again.nir", net.dt_s), read_nir(tmp_path / "anew.nir", net.dt_s)):
        assert [p.name for p in other.populations] == [p.name for p in net.populations]
        b = in_step(other, inputs, steps)
        assert all((a[k] == b[k]).all() for k in a)
        assert sorted((q.source, q.target, q.delay_steps) for q in other.projections) == sorted(
            (q.source, q.target, q.delay_steps) for q in net.projections
        )


def test_changed_weights_are_written(tmp_path: Path) -> None:
    net = read_nir(shared("snn_nir/cnn_sinabs.nir"), 1.0)
    last = net.projections[-1]
    doubled = net.with_projections((*net.projections[:-1], replace(last, weight=last.weight * 2)))
    write_nir(doubled, tmp_path / "b.nir")
    assert np.array_equal(read_nir(tmp_path / "b.nir", 1.0).projections[-1].weight, last.weight * 2)


@pytest.mark.parametrize("name", [*NIR_FILES, "ours"])
def test_snntorch_gives_the_same_spikes(name: str, tmp_path: Path) -> None:
    pytest.importorskip("snntorch", reason="the extra neuromorphic (snntorch) is not installed")
    from trine.neuromorphic.snntorch_net import to_snntorch

    if name == "ours":
        assert write_nir(ours(), tmp_path / "o.nir") == ()
        nir.read(str(tmp_path / "o.nir"))
        first, net = ours(), read_nir(tmp_path / "o.nir", 1e-3)
        inputs = {"x": np.random.default_rng(1).normal(size=(2, 80, 3, 16))}
        a, b = in_step(first, inputs, 80), in_step(net, inputs, 80)
        assert all(np.allclose(a[k], b[k], atol=1e-9) for k in a)
        assert all(a[k].any() for k in a)
    else:
        net = read_nir(shared(f"snn_nir/{name}"), NIR_FILES[name])
        inputs = noise(net, 8 if "cnn" in name else 100)
    steps = next(iter(inputs.values())).shape[1]
    mine, torch_made = in_step(net, inputs, steps), to_snntorch(net)(inputs)
    for p in net.populations:
        assert np.allclose(mine[p.name], torch_made[p.name].numpy(), atol=1e-9, rtol=0), p.name


def test_snntorch_resets_by_subtraction_as_we_do() -> None:
    pytest.importorskip("snntorch", reason="the extra neuromorphic (snntorch) is not installed")
    from trine.neuromorphic.snntorch_net import to_snntorch

    net, inputs = ours("subtraction"), {"x": np.random.default_rng(1).normal(size=(2, 60, 3, 16))}
    mine, other = in_step(net, inputs, 60), to_snntorch(net)(inputs)
    assert (mine["a"] != in_step(ours(), inputs, 60)["a"]).any()
    assert all(np.allclose(mine[p.name], other[p.name].numpy(), atol=1e-9) for p in net.populations)


def test_lossy_export_names_everything_and_keeps_it_beside(tmp_path: Path) -> None:
    net = ours("subtraction")
    net = replace(
        net,
        populations=(*net.populations[:2], replace(net.populations[2], reset="none"), *net.populations[3:]),
    )
    path = tmp_path / "lossy.nir"
    with pytest.raises(InputError) as caught:
        write_nir(net, path)
    assert "population a: reset by subtraction" in str(caught.value)
    assert "population p: no reset" in str(caught.value)
    assert "--allow-lossy" in str(caught.value)
    assert not list(tmp_path.iterdir())
    lost = write_nir(net, path, allow_lossy=True)
    assert len(lost) == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["lossy.exact.npz", "lossy.nir"]
    exact = read_exact(path)
    assert [p.reset for p in exact.populations] == [p.reset for p in net.populations]
    inputs = noise(net, 30)
    assert all((in_step(exact, inputs, 30)[k] == v).all() for k, v in in_step(net, inputs, 30).items())
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(InputError, match="has changed"):
        read_exact(path)


def test_integers_become_real_numbers_and_stay_integers_beside(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    net = SpikingNet(
        "whole",
        1e-3,
        (Population("x", INPUT, (8,)), Population("y", "CubaLIF", (5,), {"du": 1024, "dv": 512, "vth": 200})),
        (Projection("w", "x", "y", "dense", rng.integers(-127, 128, (5, 8)), weight_exponent=1),),
        ("x",),
        ("y",),
        "lava",
    )
    with pytest.raises(InputError, match="integer arithmetic"):
        write_nir(net, tmp_path / "i.nir")
    write_nir(net, tmp_path / "i.nir", allow_lossy=True)
    exact, real = read_exact(tmp_path / "i.nir"), read_nir(tmp_path / "i.nir", 1e-3, graded_inputs=False)
    assert exact.arithmetic == "lava"
    assert np.array_equal(exact.projections[0].weight, net.projections[0].weight)
    assert exact.projections[0].weight_exponent == 1
    inputs = noise(net, 100, 4, 0.2)
    a, b = in_step(net, inputs, 100)["y"], in_step(real, inputs, 100)["y"]
    assert a.sum() > 50
    assert (a != b).mean() < 0.02  # the integer membrane truncates, the real one does not


def test_sigma_delta_has_no_node(tmp_path: Path) -> None:
    net = replace(
        ours(),
        populations=(
            *ours().populations[:3],
            Population("b", "SigmaDelta", (6,), {"v_threshold": 1.0}, "none"),
            ours().populations[4],
        ),
    )
    with pytest.raises(InputError, match=r"no node[\s\S]*population b: SigmaDelta"):
        write_nir(net, tmp_path / "s.nir", allow_lossy=True)
    assert not list(tmp_path.iterdir())


def test_bad_files_get_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_nir(tmp_path / "none.nir", 1e-4)
    text = tmp_path / "text.nir"
    text.write_text("hello")
    with pytest.raises(InputError, match="not a readable NIR"):
        read_nir(text, 1e-4)
    whole = stored(
        tmp_path / "w.nir",
        {"i": nir.Input(np.array([2])), "n": lif(), "o": nir.Output(np.array([2]))},
        [("i", "n"), ("n", "o")],
    )
    for share in (0.1, 0.5, 0.9, 0.99):
        cut = tmp_path / "cut.nir"
        cut.write_bytes(whole.read_bytes()[: int(share * whole.stat().st_size)])
        with pytest.raises(InputError):
            read_nir(cut, 1e-4)
    for dt in (0.0, float("nan"), -1.0):
        with pytest.raises(InputError, match="dt_s"):
            read_nir(whole, dt)
    with pytest.raises(InputError, match="longer than tau"):
        read_nir(whole, 0.02)


def test_malformed_rockpool_file() -> None:
    with pytest.raises(InputError) as caught:
        read_nir(shared("snn_nir/lif/lif_rockpool.nir"), 1e-4)
    assert "'1_LIFNeuronTorch' puts out (1,), 'output' takes (1, 1, 1)" in str(caught.value)


def test_unknown_nodes_and_nan_are_named_all_at_once(tmp_path: Path) -> None:
    import h5py

    path = stored(
        tmp_path / "u.nir",
        {
            "i": nir.Input(np.array([2])),
            "n": lif(),
            "m": lif(v_leak=np.array([0, np.nan])),
            "o": nir.Output(np.array([2])),
        },
        [("i", "n"), ("n", "m"), ("m", "o")],
    )
    with h5py.File(path, "a") as file:
        del file["node/nodes/n/type"]
        file["node/nodes/n/type"] = "AdEx"
    with pytest.raises(InputError) as caught:
        read_nir(path, 1e-4)
    assert "node 'n': type 'AdEx' is not supported" in str(caught.value)
    assert "node 'm': v_leak holds NaN" in str(caught.value)


def test_cycles_without_delay_are_refused(tmp_path: Path) -> None:
    ends = {"i": nir.Input(np.array([2])), "o": nir.Output(np.array([2]))}
    w = np.array([[0.0, 0.5], [0.5, 0.0]])
    loop = stored(
        tmp_path / "l.nir",
        {**ends, "a": nir.Linear(w), "b": nir.Linear(w), "n": lif()},
        [("i", "a"), ("a", "b"), ("b", "a"), ("b", "n"), ("n", "o")],
    )
    with pytest.raises(
        InputError, match=r"cycle without delay: a -> b -> a|cycle without delay: b -> a -> b"
    ):
        read_nir(loop, 1e-3)
    nodes = {**ends, "n": lif(), "m": lif(), "w": nir.Linear(w), "v": nir.Linear(w)}
    edges = [("i", "n"), ("n", "w"), ("w", "m"), ("m", "v"), ("v", "n"), ("n", "o")]
    pair = stored(tmp_path / "p.nir", nodes, edges)
    with pytest.raises(
        InputError, match=r"cycle without delay: m -> n -> m|cycle without delay: n -> m -> n"
    ):
        read_nir(pair, 1e-3)
    assert read_nir(pair, 1e-3, slower_cycles=True).projections
    late = stored(
        tmp_path / "d.nir",
        {**nodes, "d": nir.Delay(np.full(2, 3e-3))},
        [e for e in edges if e != ("m", "v")] + [("m", "d"), ("d", "v")],
    )
    net = read_nir(late, 1e-3)
    assert sum(1 + q.delay_steps for q in net.projections if {q.source, q.target} == {"n", "m"}) == 3
    with pytest.raises(InputError, match="whole number of steps"):
        read_nir(late, 0.7e-3)
    self_loop = stored(
        tmp_path / "s.nir",
        {**ends, "n": lif(), "w": nir.Linear(w)},
        [("i", "n"), ("n", "w"), ("w", "n"), ("n", "o")],
    )
    assert [q.delay_steps for q in read_nir(self_loop, 1e-3).into("n")] == [0, 0]  # feedback takes one step


@pytest.mark.parametrize(
    ("pads", "size", "group"),
    [((2, 1, 0, 1), (3, 3), 1), ((1, 1, 1, 1), (3, 5), 1), ((1, 1, 1, 1), (3, 3), 2)],
)
def test_convolutions_that_nir_infers_wrongly_are_written_in_another_form(
    pads: tuple[int, ...], size: tuple[int, int], group: int, tmp_path: Path
) -> None:
    """Unequal padding, kernels that are not square, groups: widened with zeros, so that nir's own check passes."""
    weight = np.random.default_rng(0).normal(size=(4, 2 // group, *size)).astype(np.float32)
    shape = (4, 9 + pads[0] + pads[2] - size[0] + 1, 9 + pads[1] + pads[3] - size[1] + 1)
    net = SpikingNet(
        "conv",
        1e-3,
        (
            Population("x", INPUT, (2, 9, 9)),
            Population("y", "LIF", shape, {"tau_mem_s": 5e-3, "r": 5.0, "v_threshold": 0.5}),
        ),
        (Projection("c", "x", "y", "conv", weight, {"pads": pads, "group": group}),),
        ("x",),
        ("y",),
    )
    write_nir(net, tmp_path / "c.nir")
    nir.read(str(tmp_path / "c.nir"))
    other, inputs = read_nir(tmp_path / "c.nir", 1e-3), noise(net, 12)
    a, b = in_step(net, inputs, 12)["y"], in_step(other, inputs, 12)["y"]
    assert a.any()
    assert (a == b).all()


def test_other_nodes_mean_what_nir_says(tmp_path: Path) -> None:
    """Scale, Delay, AvgPool2d, Threshold, CubaLI, I of an Affine alone: against the formulas, step by step."""
    rng = np.random.default_rng(2)
    kernel = rng.normal(size=(2, 1, 3, 3)).astype(np.float32)
    two = {"kernel_size": np.array([2, 2]), "stride": np.array([2, 2]), "padding": np.array([0, 0])}
    nodes = {
        "i": nir.Input(np.array([1, 8, 8])),
        "p": nir.AvgPool2d(**two),
        "c": nir.Conv2d((4, 4), kernel, 1, 1, 1, 1, np.array([0.1, -0.1], np.float32)),
        "d": nir.Delay(np.full((2, 4, 4), 2e-3)),
        "s": nir.Scale(np.array([1.0, 3.0]).reshape(2, 1, 1) * np.ones((2, 4, 4))),
        "t": nir.Threshold(np.full((2, 4, 4), 0.3)),
        "f": nir.Flatten(np.array([2, 4, 4]), 0, -1),
        "w": nir.Affine(rng.normal(size=(3, 32)), np.array([0.5, 0, -0.5])),
        "u": nir.CubaLI(
            tau_syn=np.full(3, 2e-3),
            tau_mem=np.full(3, 4e-3),
            r=np.ones(3),
            v_leak=np.zeros(3),
            w_in=np.ones(3),
        ),
        "o": nir.Output(np.array([3])),
    }
    order = ["i", "p", "c", "d", "s", "t", "f", "w", "u", "o"]
    path = stored(tmp_path / "n.nir", nodes, list(pairwise(order)))
    net, x = read_nir(path, 1e-3), rng.normal(size=(1, 30, 1, 8, 8))
    pooled = x[0, :, 0].reshape(30, 4, 2, 4, 2).mean(axis=(2, 4))
    padded = np.pad(pooled, [(0, 0), (1, 1), (1, 1)])
    conv = sum(
        kernel[:, 0, i, j][None, :, None, None].astype(float) * padded[:, None, i : i + 4, j : j + 4]
        for i in range(3)
        for j in range(3)
    )
    # the constant of a node in front of a Delay is there from the start: it does not wait
    late = np.concatenate([np.zeros((2, 2, 4, 4)), conv[:-2]])
    spikes = (late + np.array([0.1, -0.1], np.float32).reshape(2, 1, 1)) * np.array([1, 3]).reshape(
        2, 1, 1
    ) > 0.3
    current = spikes.reshape(30, 32) @ nodes["w"].weight.T + nodes["w"].bias
    syn, mem, wanted = np.zeros(3), np.zeros(3), []
    for now in current:
        syn = syn + 0.5 * (now - syn)
        mem = mem + 0.25 * (syn - mem)
        wanted.append(mem)
    got = in_step(net, {"i": x}, 30)
    assert (got["t"][0] == spikes).all()
    assert np.allclose(got["u"][0], wanted, atol=1e-12)
    write_nir(net, tmp_path / "m.nir")
    assert same_graph(open_graph(path), open_graph(tmp_path / "m.nir")) == []


def test_subgraphs_are_flattened(tmp_path: Path) -> None:
    inner = nir.NIRGraph(
        {"in": nir.Input(np.array([2])), "n": lif(), "out": nir.Output(np.array([2]))},
        [("in", "n"), ("n", "out")],
    )
    path = stored(
        tmp_path / "g.nir",
        {"i": nir.Input(np.array([2])), "block": inner, "o": nir.Output(np.array([2]))},
        [("i", "block"), ("block", "o")],
        check=False,
    )
    net = read_nir(path, 1e-3)
    assert [p.name for p in net.populations] == ["i", "block.n"]
    assert net.outputs == ("block.n",)


def test_saved_net_is_the_same_net_and_the_same_bytes(tmp_path: Path) -> None:
    net = ours("subtraction")
    save_net(net, tmp_path / "a.npz")
    save_net(net, tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    again = load_net(tmp_path / "a.npz")
    inputs = noise(net, 20)
    assert all((in_step(again, inputs, 20)[k] == v).all() for k, v in in_step(net, inputs, 20).items())
    (tmp_path / "c.npz").write_text("no")
    with pytest.raises(InputError, match="not a net saved by Trine"):
        load_net(tmp_path / "c.npz")
    assert side_path("x/y.nir") == Path("x/y.exact.npz")


def test_arrivals_count_pipeline_steps() -> None:
    assert arrivals(ours()) == {"x": 0, "a": 1, "p": 2, "b": 3, "y": 4}
