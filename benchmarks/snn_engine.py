"""The native engine against lava-nc, snnTorch, brian2 and sinabs, in turn in one run, one thread; sweeps of activity.

Nets: dense 784-512-512-10 and a convolution over 187 samples (16, 32, 64 channels, kernels 7, 5, 5, stride 2), 8-bit
mixed weights, thresholds found so that layers fire at the rates below. Processor time throughout, the shortest of the
rounds; lava's is that of all its processes, on one core. Building, compiling and starting up are left out on every
side, and no side records spikes. The engine is timed before and after each peer.

One thread: run it as OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 .venv/bin/python benchmarks/snn_engine.py
brian2 and sinabs run in environments of their own (`snn_peers.py`), given by --brian2 and --sinabs or TRINE_BRIAN2 and
TRINE_SINABS as the path of a Python; without them they are left out. Such environments, with a C++ compiler for brian2:
  python3.12 -m venv peers/brian2 && peers/brian2/bin/pip install brian2==2.10.1 numpy==2.4.6 'setuptools<81'
  python3.11 -m venv peers/sinabs
  peers/sinabs/bin/pip install torch==2.13.0 numpy==2.4.6 pbr matplotlib nir==1.0.4 nirtorch
  peers/sinabs/bin/pip install --no-deps sinabs==3.1.3     (without samna, the driver of SynSense's boards)
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from record import keep, machine

from trine.neuromorphic.backends import lava, lava_environment
from trine.neuromorphic.engine import Simulator, run
from trine.neuromorphic.engine.windows import windows
from trine.neuromorphic.net import INPUT, Array, Population, Projection, SpikingNet

DECAY, INPUT_RATE = 410, {"dense": 0.05, "conv": 0.10}
TARGET_RATE = 0.056
STEPS, BATCH, BATCH_STEPS, LAVA_STEPS = 4000, 64, 128, {"dense": 400, "conv": 60}
PEER_STEPS = {"brian2": 2000, "sinabs": 1000}
PERCENTS = (0.1, 0.3, 1, 3, 10, 20)
AIMS = {
    "dense": {"lava": 300, "brian2": 10, "sinabs": 20, "snntorch_batch_64": 4},
    "conv": {"lava": 700, "brian2": 10, "sinabs": 20, "snntorch_batch_64": 4},
}


def make(kind: str, times: int = 1) -> SpikingNet:
    """A net whose thresholds are still to be found; the convolution over so many times 187 samples."""
    rng = np.random.default_rng(7)
    if kind == "dense":
        shapes: list[tuple[int, ...]] = [(784,), (512,), (512,), (10,)]
    else:
        lengths = [187 * times]
        for _ in range(3):
            lengths.append((lengths[-1] + 1) // 2)
        shapes = list(zip((1, 16, 32, 64), lengths, strict=True))
    kernels = (7, 5, 5)
    populations = [Population("p0", INPUT, shapes[0])]
    links = []
    for k, shape in enumerate(shapes[1:], 1):
        populations.append(Population(f"p{k}", "LIF", shape, {"dv": DECAY, "vth": 1000}))
        before, size = shapes[k - 1], kernels[k - 1]
        ends = (f"w{k}", f"p{k - 1}", f"p{k}")
        if kind == "dense":
            weight = rng.integers(-128, 128, (shape[0], before[0])) * 2
            links.append(Projection(*ends, "dense", weight))
        else:
            weight = rng.integers(-128, 128, (shape[0], before[0], size)) * 2
            links.append(Projection(*ends, "conv", weight, {"strides": (2,), "pads": (size // 2,) * 2}))
    return SpikingNet(kind, 1e-3, tuple(populations), tuple(links), ("p0",), ("p3",), "lava")


def fired(net: SpikingNet, steps: int, rate: float, seed: int = 0, batch: int = 1) -> dict[str, Array]:
    """Input spikes at a rate."""
    shape = (batch, steps, *net.population("p0").shape)
    return {"p0": (np.random.default_rng(seed).random(shape) < rate).astype(np.int8)}


def tuned(net: SpikingNet) -> SpikingNet:
    """Thresholds by bisection, layer by layer, so that each fires at about TARGET_RATE."""
    given = fired(net, 300, INPUT_RATE[net.name])
    for name in ("p1", "p2", "p3"):
        low, high = 1, 131071
        while high - low > 1:
            middle = (low + high) // 2
            tried = with_threshold(net, name, middle)
            rate = float(run(tried, given, 300).sent[name][0]) / (300 * net.population(name).size)
            low, high = (middle, high) if rate > TARGET_RATE else (low, middle)
        net = with_threshold(net, name, low)
    return net


def with_threshold(net: SpikingNet, name: str, vth: int) -> SpikingNet:
    changed = [
        replace(p, parameters={**p.parameters, "vth": vth}) if p.name == name else p for p in net.populations
    ]
    return replace(net, populations=tuple(changed))


def best(work: Callable[[], Any], rounds: int = 5) -> float:
    """Shortest processor time of some rounds, s, after one that warms up."""
    work()
    times = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def snntorch_steps(net: SpikingNet, batch: int) -> float:
    """Sample-steps a second of the usual snnTorch loop: layer, Leaky, layer, Leaky..., float32."""
    import snntorch
    import torch

    torch.set_num_threads(1)
    layers, neurons = [], []
    for k, p in enumerate(net.projections, 1):
        weight = torch.tensor(np.asarray(p.weight), dtype=torch.float32)
        if p.kind == "dense":
            layer: Any = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        else:
            pad = p.attributes["pads"][0]
            layer = torch.nn.Conv1d(weight.shape[1], weight.shape[0], weight.shape[2], 2, pad, bias=False)
        layer.weight = torch.nn.Parameter(weight)
        layers.append(layer)
        threshold = float(net.population(f"p{k}").parameters["vth"])
        neurons.append(snntorch.Leaky(beta=1 - DECAY / 4096, threshold=threshold, reset_mechanism="zero"))
    given = torch.from_numpy(fired(net, BATCH_STEPS, INPUT_RATE[net.name], 1, batch)["p0"]).float()

    def loop() -> None:
        with torch.no_grad():
            states = [n.reset_mem() for n in neurons]
            for t in range(BATCH_STEPS):
                x = given[:, t]
                for k, (layer, one) in enumerate(zip(layers, neurons, strict=True)):
                    x, states[k] = one(layer(x), states[k])

    return batch * BATCH_STEPS / best(loop, 3)


def lava_steps(net: SpikingNet) -> float:
    """Steps a second in the worker, on one core, after its first run."""
    steps = LAVA_STEPS[net.name]
    inputs = {k: x[0] for k, x in fired(net, steps, INPUT_RATE[net.name]).items()}
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        return max(steps / lava.seconds_for(net, inputs, steps) for _ in range(2))
    finally:
        os.sched_setaffinity(0, before)


def synapses(net: SpikingNet, k: int) -> Array:
    """(source, target, weight) of every synapse of layer k, int64 [3, n], one source's after another's."""
    p = net.projections[k]
    weight = np.asarray(p.weight)
    if p.kind == "dense":
        source, target = np.indices(weight.T.shape).reshape(2, -1)
        return np.stack([source, target, weight.T.ravel()])
    before, after = net.population(p.source).shape, net.population(p.target).shape
    found = []
    for i, taps in enumerate(windows(p, before, after).reaches(1)):
        for tap, at in taps:
            out, into = np.indices(weight.shape[:2]).reshape(2, -1)
            found.append(np.stack([into * before[1] + i, out * after[1] + at, weight[out, into, tap]]))
    every = np.concatenate(found, axis=1)
    return every[:, np.lexsort((every[1], every[0]))]


def peer_steps(peer: str, python: str, net: SpikingNet, batch: int = 1) -> dict[str, Any]:
    """What `snn_peers.py` says of a peer, on the steps that the engine ran."""
    steps = PEER_STEPS[peer] if batch == 1 else BATCH_STEPS
    job: dict[str, Any] = {
        "spikes": fired(net, steps, INPUT_RATE[net.name], batch=batch)["p0"],
        "decay": DECAY,
        "thresholds": [p.parameters["vth"] for p in net.populations[1:]],
        "sizes": [p.size for p in net.populations[1:]],
    }
    for k, p in enumerate(net.projections, 1):
        job[f"weight {k}"] = p.weight
        if peer == "brian2":
            job[f"synapses {k}"] = synapses(net, k - 1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "job.npz"
        np.savez(path, **job)
        worker = Path(__file__).with_name("snn_peers.py")
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        done = subprocess.run(
            [python, str(worker), peer, str(path)],
            check=True,
            capture_output=True,
            text=True,
            env=environment,
        )
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    given = {"p0": job["spikes"]}
    seen = run(net, given, steps, {}).sent
    answer["spikes_native"] = [int(seen[p.name].sum()) for p in net.populations[1:]]
    return answer


class Contest:
    """The engine in turn with its peers: it is timed before and after each; of all sides the shortest round counts."""

    def __init__(self, net: SpikingNet) -> None:
        self.ready, self.result = Simulator(net), dict[str, Any]()
        rate = INPUT_RATE[net.name]
        self.one, self.many = fired(net, STEPS, rate), fired(net, BATCH_STEPS, rate, 1, BATCH)

    def native(self, batch: int = 1) -> float:
        """Steps (times samples) a second."""
        given, steps = (self.one, STEPS) if batch == 1 else (self.many, BATCH_STEPS)
        return batch * steps / best(lambda: self.ready.run(given, steps, {}))

    def against(self, peer: str, steps_a_second: Callable[[], float], batch: int = 1) -> None:
        """Time a peer between two turns of the engine."""
        before = self.native(batch)
        other = steps_a_second()
        own = max(before, self.native(batch))
        name = peer if batch == 1 else f"{peer}_batch_{batch}"
        self.result[name] = {"peer": other, "native": own, "ratio": own / other}
        print(
            f"{self.ready.net.name:6} {name:20} {own:12,.0f} / {other:10,.0f} = {own / other:8.1f}",
            flush=True,
        )

    def against_peer(self, peer: str, python: str) -> dict[str, Any]:
        """As `against` for a peer of `snn_peers.py`; its version, and spikes by layer of both."""
        answer: dict[str, Any] = {}

        def steps_a_second(batch: int = 1) -> float:
            answer.update(peer_steps(peer, python, self.ready.net, batch))
            return float(answer["steps_a_second"])

        self.against(peer, steps_a_second)
        said = {k: answer[k] for k in ("version", "spikes", "spikes_native")}
        if peer == "sinabs":
            self.against(peer, lambda: steps_a_second(BATCH), BATCH)
        return said


def measure(kind: str, pythons: dict[str, str]) -> dict[str, Any]:
    """One net: everything in steps (times samples) a second."""
    net = tuned(make(kind))
    contest = Contest(net)
    seen = contest.ready.run(contest.one, STEPS, {})
    result: dict[str, Any] = {
        "rates": {k: round(float(n[0]) / STEPS / net.population(k).size, 4) for k, n in seen.sent.items()},
        "synaptic_operations_a_step": round(sum(seen.operations(net).values()) / STEPS),
        "neuron_updates_a_step": net.neurons,
        "aims": AIMS[kind],
        "against": contest.result,
    }
    if lava_environment.doctor()["ok"]:
        contest.against("lava", lambda: lava_steps(net))
    for peer, python in pythons.items():
        result[peer] = contest.against_peer(peer, python)
    contest.against("snntorch", lambda: snntorch_steps(net, 1))
    contest.against("snntorch", lambda: snntorch_steps(net, BATCH), BATCH)
    result["sweep"] = sweep(net)
    if kind == "conv":
        result["ten_times_the_neurons"] = widened(net)
    return result


def cost(net: SpikingNet, given: dict[str, Array]) -> dict[str, float]:
    """Microseconds a step; operations and active neuron updates a step."""
    steps = given["p0"].shape[1]
    ready = Simulator(net)
    seen = ready.run(given, steps, {})
    return {
        "us_a_step": 1e6 * best(lambda: ready.run(given, steps, {}), 7) / steps,
        "events_a_step": sum(int(n.sum()) for n in seen.sent.values()) / steps,
        "synaptic_operations_a_step": sum(seen.operations(net).values()) / steps,
        "active_updates_a_step": sum(int(n.sum()) for n in seen.updates.values()) / steps,
    }


def sweep(net: SpikingNet) -> dict[str, Any]:
    """Cost at input activities, and the least-squares fit us = base + ns/1000 * (operations, active updates)."""
    rows = [
        {"input_percent": percent} | cost(net, fired(net, STEPS // 2, percent / 100)) for percent in PERCENTS
    ]
    names = ("synaptic_operations_a_step", "active_updates_a_step")
    known = np.array([[1.0, *(row[n] for n in names)] for row in rows])
    taken = np.array([row["us_a_step"] for row in rows])
    found = np.linalg.lstsq(known, taken, rcond=None)[0]
    left = taken - known @ found
    fit = {
        "us_base": float(found[0]),
        "ns_an_operation": 1e3 * float(found[1]),
        "ns_an_active_update": 1e3 * float(found[2]),
        "r2": 1 - float(left @ left / ((taken - taken.mean()) ** 2).sum()),
    }
    for row in rows:
        print("      ", {k: round(v, 2) for k, v in row.items()})
    print("       fit", {k: round(v, 4) for k, v in fit.items()})
    return {"rows": rows, "fit": fit}


def widened(net: SpikingNet) -> list[dict[str, float]]:
    """The same spikes into the net and into one of ten times the samples, which stay silent behind the first tenth."""
    wide = make(net.name, 10)
    for p in net.populations[1:]:
        wide = with_threshold(wide, p.name, int(p.parameters["vth"]))
    rows = []
    for percent in PERCENTS:
        given = fired(net, STEPS // 4, percent / 100)
        room = np.zeros((*given["p0"].shape[:3], wide.population("p0").size), np.int8)
        room[..., : given["p0"].shape[3]] = given["p0"]
        one, ten = cost(net, given), cost(wide, {"p0": room})
        row = {
            "input_percent": float(percent),
            "neurons": float(net.neurons),
            "neurons_wide": float(wide.neurons),
        }
        row |= one | {f"{k}_wide": v for k, v in ten.items()}
        row["ratio"] = ten["us_a_step"] / one["us_a_step"]
        rows.append(row)
        print(
            "       ten times the neurons", percent, f"{row['us_a_step']:.2f} {row['us_a_step_wide']:.2f} us"
        )
    return rows


def main() -> None:
    """Measure both nets, print, keep."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for peer in PEER_STEPS:
        parser.add_argument(f"--{peer}", default=os.environ.get(f"TRINE_{peer.upper()}"), metavar="PYTHON")
    given = vars(parser.parse_args())
    pythons = {peer: given[peer] for peer in PEER_STEPS if given[peer]}
    result = {"machine": machine("numba", "torch", "snntorch"), "lava": lava_environment.doctor().get("says")}
    for kind in ("dense", "conv"):
        result[kind] = measure(kind, pythons)
    print(keep("snn_engine", result))


if __name__ == "__main__":
    main()
