"""lava-nc live against the engine, and what happens when its worker misbehaves."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from spiking_samples import differing, everything, random_net, spikes

from trine.devices.errors import InputError
from trine.neuromorphic.backends import lava, lava_environment
from trine.neuromorphic.backends.simulate import simulate
from trine.neuromorphic.engine.definition import define
from trine.neuromorphic.net import INPUT, Population, Projection, SpikingNet

PRESENT = lava_environment.doctor()["ok"]
NETS, STEPS = 200 if os.environ.get("CI") == "true" else 30, 100


def chain(*kinds: tuple[str, dict[str, object]]) -> SpikingNet:
    """Input and populations of four neurons, one dense projection to the next."""
    rng = np.random.default_rng(4)
    populations = [Population("in", INPUT, (4,))]
    links = []
    for k, (kind, parameters) in enumerate(kinds):
        before = populations[-1].name
        populations.append(Population(f"n{k}", kind, (4,), parameters))
        weight = rng.integers(-100, 100, (4, 4)) * 2
        links.append(Projection(f"w{k}", before, f"n{k}", "dense", weight, graded=True, weight_exponent=-1))
    return SpikingNet(
        "chain", 1e-3, tuple(populations), tuple(links), ("in",), (populations[-1].name,), "lava"
    )


def test_random_nets_live() -> None:
    """200 nets in continuous integration, 30 elsewhere: spikes, u and v of every step.

    Dense, convolution, pooling, delays, recurrence, exponents, both kinds of LIF; every second one with resets by
    subtraction, without reset, and with phases, which the worker adds to lava's model (`add_phases`).
    """
    if not PRESENT:
        if os.environ.get("CI") == "true":
            pytest.fail("continuous integration must have lava's environment: trine lava setup")
        pytest.skip("lava's environment is absent: trine lava setup")
    pytest.importorskip("numba", reason="the native engine needs numba: pip install 'trine[neuromorphic]'")
    from trine.neuromorphic.engine import run

    nets = [random_net(seed, soft=seed % 2 > 0, phases=seed % 2 > 0, even_pads=True) for seed in range(NETS)]
    inputs = [spikes(seed, net, 1, STEPS) for seed, net in enumerate(nets)]
    jobs = [
        (net, {k: x[0] for k, x in given.items()}, STEPS, everything(net))
        for net, given in zip(nets, inputs, strict=True)
    ]
    answers = lava.run_many(jobs)
    wrong, fired = {}, 0
    for seed, (net, given, answer) in enumerate(zip(nets, inputs, answers, strict=True)):
        found = differing(net, answer, run(net, given, STEPS, everything(net)))
        fired += sum(int(n.sum()) for name, n in answer.sent.items() if name != "in")
        if found:
            wrong[seed] = found
    assert wrong == {}
    assert fired > 250 * NETS


@pytest.mark.skipif(not PRESENT, reason="lava's environment is absent: trine lava setup")
def test_other_neurons_live() -> None:
    net = chain(
        ("SigmaDelta", {"vth": 3, "spike_exp": 1, "state_exp": 2, "bias": 3}),
        ("SigmaDelta", {"vth": 20, "relu": 0, "cum_error": 1}),
        ("RF", {"cos": 3000, "sin": 2000, "vth": 50}),
        ("LI", {"dv": 100, "bias_mant": 5}),
    )
    given = {"in": np.random.default_rng(1).integers(-5, 6, (2, 60, 4))}
    probes = {
        "n0": ("spikes", "sigma", "act", "residue"),
        "n1": ("spikes", "error"),
        "n2": ("spikes",),
        "n3": ("v",),
    }
    one, other = simulate(net, given, 60, "lava", probes), define(net, given, 60, probes)
    for name, variables in probes.items():
        for v in variables:
            assert np.array_equal(one.probes[name][v], other.probes[name][v]), (name, v)
        assert np.any(other.probes[name][variables[0]]), name
    assert {k: n.tolist() for k, n in one.sent.items()} == {k: n.tolist() for k, n in other.sent.items()}


@pytest.mark.skipif(not PRESENT, reason="lava's environment is absent: trine lava setup")
def test_padding_that_differs_at_the_ends_and_halved_weights_live() -> None:
    """Kernels widened by zeros, an exponent of -1 folded into even weights, a threshold for each neuron."""
    rng = np.random.default_rng(3)
    weight = rng.integers(-60, 60, (2, 2, 4)) * 2
    populations = (
        Population("in", INPUT, (2, 15)),
        Population("a", "IF", (2, 7), {"vth": rng.integers(40, 90, (2, 7)), "v_initial": 70}, "subtraction"),
        Population("b", "IF", (2, 8), {"vth": 50}, "subtraction"),
    )
    links = (
        Projection("v", "in", "a", "conv", weight, {"strides": (2,), "pads": (0, 1)}, 0, -1),
        Projection("w", "a", "b", "conv", rng.integers(0, 90, (2, 2, 4)), {"pads": (3, 1)}, 1),
    )
    net = SpikingNet("ends", 1e-3, populations, links, ("in",), ("b",), "lava")
    given = {"in": (rng.random((1, 40, 2, 15)) < 0.3).astype(np.int64)}
    probes = {"a": ("spikes", "v"), "b": ("spikes", "v")}
    one, other = simulate(net, given, 40, "lava", probes), define(net, given, 40, probes)
    for name, variables in probes.items():
        for v in variables:
            assert np.array_equal(one.probes[name][v], other.probes[name][v]), (name, v)
    assert other.spikes("b").sum() > 20


def test_refuses_what_lava_cannot_express() -> None:
    net = random_net(5)
    first = next(p for p in net.populations if p.neuron != INPUT)
    soft = replace(first, parameters={"vth": 3, "v_initial": 4, "reset_interval": 2, "refractory_steps": 1})
    populations = tuple(soft if p.name == first.name else p for p in net.populations)
    odd = tuple(
        replace(p, weight=np.resize([3, -1], p.weight.shape), delay_steps=64) for p in net.projections
    )
    with pytest.raises(InputError, match=r"(?s)refractory_steps.*anything but 0.*delay of 64 steps"):
        lava.run(replace(net, populations=populations, projections=odd), spikes(5, net, 1, 4), 4)
    with pytest.raises(InputError, match="arithmetic 'lava', not 'slayer'"):
        lava.run(replace(net, arithmetic="slayer"), spikes(5, net, 1, 4), 4)


def test_missing_environment_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(lava_environment.VARIABLE, raising=False)
    monkeypatch.setattr(lava_environment, "folder", lambda: tmp_path)
    net = chain(("LIF", {"vth": 3}))
    with pytest.raises(InputError, match=r"^the backend lava needs its own environment: trine lava setup$"):
        lava.run(net, {"in": np.ones((1, 3, 4), np.int64)}, 3)
    assert lava_environment.doctor() == {"ok": False, "says": lava_environment.MISSING}
    monkeypatch.setenv(lava_environment.VARIABLE, str(tmp_path / "none"))
    with pytest.raises(InputError, match="does not exist"):
        lava_environment.python()


def test_failed_setup_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(lava_environment, "folder", lambda: tmp_path / "lava")
    monkeypatch.setattr(lava_environment, "LAVA", "lava-nc==0.0.0.dev999")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(lava_environment.SetupFailed, match="installing failed"):
        lava_environment.setup(Path(sys.executable))
    assert not (tmp_path / "lava").exists()
    with pytest.raises(InputError, match="not a Python that lava-nc runs on"):
        lava_environment.setup(tmp_path / "python9")


HANGS = (
    "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
)
WORKERS = {
    "hangs with a child": (HANGS + "time.sleep(600)", "did not finish within 2 s"),
    "dies": ("import os; os.kill(os.getpid(), 9)", "ended with code -9"),
    "fails": ("raise ValueError('no such layer: conv7')", "no such layer: conv7"),
}


def leftovers(worker: Path) -> list[str]:
    """Processes that still run the worker or its child."""
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if str(worker) in line or "time.sleep(600)" in line]


@pytest.mark.skipif(os.name == "nt", reason="process groups of POSIX")
@pytest.mark.parametrize("what", sorted(WORKERS))
def test_worker_that_misbehaves(what: str, tmp_path: Path) -> None:
    code, says = WORKERS[what]
    worker = tmp_path / "worker.py"
    worker.write_text(code)
    started = time.monotonic()
    with pytest.raises(lava.WorkerFailed, match=says):
        lava.call_worker(Path(sys.executable), [], 2.0, worker)
    assert time.monotonic() - started < 30
    assert leftovers(worker) == []


def test_answers_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(lava.WorkerFailed, match="wrote no result"):
        lava.read_answer(tmp_path / "none.npz")
    (tmp_path / "bad.npz").write_bytes(b"garbage")
    with pytest.raises(lava.WorkerFailed, match="no result"):
        lava.read_answer(tmp_path / "bad.npz")


@pytest.mark.skipif(not PRESENT, reason="lava's environment is absent: trine lava setup")
def test_an_error_inside_lava_is_told(tmp_path: Path) -> None:
    """A job the worker does not understand: its words come back."""
    job, result = tmp_path / "job.npz", tmp_path / "result.npz"
    np.savez(job, header=np.frombuffer(b'{"format": 99}', np.uint8))
    lava.call_worker(lava_environment.python(), [str(job), str(result)], 60.0)
    with pytest.raises(lava.WorkerFailed, match="job of format 99"):
        lava.read_answer(result)


def test_worker_speaks_python_3_10() -> None:
    """It runs where Trine does not: nothing newer than 3.10, nothing but NumPy, lava and the standard library."""
    import ast

    tree = ast.parse(lava.WORKER.read_text(), feature_version=(3, 10))
    names = {n.name for node in ast.walk(tree) if isinstance(node, ast.Import) for n in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    roots = {n.partition(".")[0] for n in names}
    assert roots <= {"numpy", "lava"} | set(sys.stdlib_module_names)
