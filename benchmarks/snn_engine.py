"""The native engine against lava-nc and snnTorch, side by side in one run, one thread: ratios and a sweep of activity.

Nets: dense 784-512-512-10 and a convolution over 187 samples (16, 32, 64 channels, kernels 7, 5, 5, stride 2), 8-bit
mixed weights, thresholds found so that layers fire at the rates below. Processor time throughout; lava's
is that of all its processes, on one core.

One thread: run it as OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 .venv/bin/python benchmarks/snn_engine.py
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from record import keep, machine

from trine.neuromorphic.backends import lava, lava_environment
from trine.neuromorphic.engine import Simulator, run
from trine.neuromorphic.net import INPUT, Array, Population, Projection, SpikingNet

DECAY, INPUT_RATE = 410, {"dense": 0.05, "conv": 0.10}
TARGET_RATE = 0.056
STEPS, BATCH, BATCH_STEPS, LAVA_STEPS = 4000, 64, 128, {"dense": 400, "conv": 60}
AIMS = {"dense": {"lava": 300, "snntorch_batch_64": 4}, "conv": {"lava": 700, "snntorch_batch_64": 4}}


def make(kind: str) -> SpikingNet:
    """A net whose thresholds are still to be found."""
    rng = np.random.default_rng(7)
    if kind == "dense":
        shapes: list[tuple[int, ...]] = [(784,), (512,), (512,), (10,)]
    else:
        shapes = [(1, 187), (16, 94), (32, 47), (64, 24)]
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


def measure(kind: str) -> dict[str, Any]:
    """One net: everything in steps (times samples) a second."""
    net = tuned(make(kind))
    rate = INPUT_RATE[kind]
    one, many = fired(net, STEPS, rate), fired(net, BATCH_STEPS, rate, 1, BATCH)
    ready = Simulator(net)
    seen = ready.run(one, STEPS)
    result: dict[str, Any] = {
        "rates": {k: round(float(n[0]) / STEPS / net.population(k).size, 4) for k, n in seen.sent.items()},
        "synaptic_operations_a_step": round(sum(seen.operations(net).values()) / STEPS),
        "neuron_updates_a_step": net.neurons,
        "native": STEPS / best(lambda: ready.run(one, STEPS)),
        "native_batch_64": BATCH * BATCH_STEPS / best(lambda: ready.run(many, BATCH_STEPS)),
        "snntorch": snntorch_steps(net, 1),
        "snntorch_batch_64": snntorch_steps(net, BATCH),
    }
    if lava_environment.doctor()["ok"]:
        result["lava"] = lava_steps(net)
        result["ratio_to_lava"] = result["native"] / result["lava"]
    result["ratio_to_snntorch"] = result["native"] / result["snntorch"]
    result["ratio_to_snntorch_batch_64"] = result["native_batch_64"] / result["snntorch_batch_64"]
    result["aims"] = AIMS[kind]
    result["sweep"] = [sweep(net, percent) for percent in (0.1, 0.3, 1, 3, 10, 20)]
    return result


def sweep(net: SpikingNet, percent: float) -> dict[str, float]:
    """Cost at an input activity: microseconds a step, operations and active neuron updates a step."""
    given = fired(net, STEPS // 2, percent / 100)
    ready = Simulator(net)
    seen = ready.run(given, STEPS // 2)
    seconds = best(lambda: ready.run(given, STEPS // 2), 3)
    return {
        "input_percent": percent,
        "us_a_step": 2e6 * seconds / STEPS,
        "synaptic_operations_a_step": 2 * sum(seen.operations(net).values()) / STEPS,
        "active_updates_a_step": 2 * sum(int(n.sum()) for n in seen.updates.values()) / STEPS,
    }


def main() -> None:
    """Measure both nets, print, keep."""
    result = {"machine": machine("numba", "torch", "snntorch"), "lava": lava_environment.doctor().get("says")}
    for kind in ("dense", "conv"):
        result[kind] = measure(kind)
        for key, value in result[kind].items():
            if isinstance(value, float):
                print(f"{kind:6} {key:28} {value:14,.1f}")
        for row in result[kind]["sweep"]:
            print("      ", {k: round(v, 2) for k, v in row.items()})
    print(keep("snn_engine", result))


if __name__ == "__main__":
    main()
