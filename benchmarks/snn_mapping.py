"""The mapper on large nets: time, memory, how full cores are, hop-weighted traffic against in-order
placement.

Prints one table and writes benchmarks/results/snn_mapping.json. Targets: a network of 1 million neurons and
100 million synapses in under 3 minutes and 8 GB; at least 80 % mean core use (fullest limit of each core)
for nets of more than 16 cores; hop-weighted traffic at least 30 % below in-order placement. Rates: 5 % of
neurons spike a step. The last column is the most that any placement could save (a bound, for meshes of up to
1,024 slots). Run alone, one thread: OMP_NUM_THREADS=1 python benchmarks/snn_mapping.py [--small]
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from record import keep, machine

from trine.devices import NeuroChip, load_device
from trine.neuromorphic.mapping import FAMILIES, Traffic, map_net
from trine.neuromorphic.mapping.place import Mesh, graph
from trine.neuromorphic.mapping.reach import wirings
from trine.neuromorphic.net import INPUT, Population, Projection, Shape, SpikingNet

RATE = 0.05
BOUNDED_SLOTS = 1024


@dataclass(frozen=True)
class Row:
    """One net on one chip. memory_bytes: greatest resident size of the process so far."""

    net: str
    chip: str
    neurons: int
    synapses: int
    cores: int
    chips: int
    mean_core_use: float
    in_order_hops: float
    hops: float
    traffic_saved: float
    saved_at_most: float | None
    seconds: float
    memory_bytes: int


class Builder:
    """Stacks layers with random 8-bit weights (seeded)."""

    def __init__(self, name: str, shape: Shape, largest: int = 127) -> None:
        self.name, self.largest = name, largest
        self.populations = [Population("input", INPUT, shape)]
        self.projections: list[Projection] = []
        self.rng = np.random.default_rng(1)

    def weights(self, *shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
        return self.rng.integers(-self.largest, self.largest + 1, shape, dtype=np.int8)

    def conv(
        self, channels: int, kernel: int, stride: int = 1, group: int = 1, source: str | None = None
    ) -> Builder:
        before = next(p for p in self.populations if p.name == (source or self.populations[-1].name))
        rank, pad = len(before.shape) - 1, kernel // 2
        places = tuple((n + 2 * pad - kernel) // stride + 1 for n in before.shape[1:])
        weight = self.weights(channels, before.shape[0] // group, *([kernel] * rank))
        attributes = {"strides": (stride,) * rank, "pads": (pad,) * (2 * rank), "group": group}
        return self._add((channels, *places), "conv", weight, before.name, attributes)

    def dense(self, neurons: int) -> Builder:
        before = self.populations[-1]
        return self._add((neurons,), "dense", self.weights(neurons, before.size), before.name, {})

    def _add(
        self, shape: Shape, kind: str, weight: np.ndarray, source: str, attributes: dict[str, object]
    ) -> Builder:  # type: ignore[type-arg]
        name = f"layer{len(self.populations)}"
        self.populations.append(Population(name, "CubaLIF", shape))
        self.projections.append(Projection(f"to_{name}", source, name, kind, weight, attributes))
        return self

    def join(self, source: int, target: int) -> Builder:
        """A skip connection, one to one."""
        a, b = self.populations[source], self.populations[target]
        self.projections.append(Projection(f"{a.name}_{b.name}", a.name, b.name, "identity", np.array(64)))
        return self

    def net(self) -> SpikingNet:
        populations = tuple(self.populations)
        return SpikingNet(
            self.name, 1e-3, populations, tuple(self.projections), ("input",), (populations[-1].name,)
        )


def million() -> SpikingNet:
    """1 million neurons, 100 million synapses: wide convolutions, then dense layers of 12 million weights."""
    b = Builder("million", (2, 256, 256)).conv(8, 3).conv(8, 3)
    b.conv(16, 3, 2).conv(2, 3).conv(16, 3, 4).conv(4, 1).dense(4096).dense(3072)
    return b.net()


def mobilenet() -> SpikingNet:
    """Depthwise-separable convolutions at 128 x 128, as NxTF mapped."""
    b = Builder("mobilenet", (3, 128, 128)).conv(32, 3, 2)
    for channels, stride in ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1), (512, 1)):
        b.conv(b.populations[-1].shape[0], 3, stride, group=b.populations[-1].shape[0]).conv(channels, 1)
    return b.net()


def perceptron() -> SpikingNet:
    """Dense layers as wide as Loihi's output axons allow."""
    b = Builder("perceptron", (1024,))
    for neurons in (2048, 2048, 1024, 1024, 512, 512, 10):
        b.dense(neurons)
    return b.net()


def residual() -> SpikingNet:
    """2-D convolutions with skip connections."""
    b = Builder("residual", (3, 64, 64)).conv(32, 3)
    for _ in range(4):
        b.conv(32, 3).conv(32, 3).join(len(b.populations) - 3, len(b.populations) - 1)
    return b.conv(64, 3, 2).conv(64, 3).conv(64, 3, 4).dense(10).net()


def ecg_wide() -> SpikingNet:
    """A 1-D convolutional net over 12 leads."""
    b = (
        Builder("ecg12", (12, 1000))
        .conv(64, 7, 2)
        .conv(128, 5, 2)
        .conv(128, 5, 2)
        .conv(256, 5, 2)
        .conv(256, 3, 4)
    )
    return b.dense(64).dense(5).net()


def ternary() -> SpikingNet:
    """Small grouped kernels with ternary weights, for TrueNorth's crossbar."""
    b = Builder("ternary", (4, 32, 32), largest=1).conv(16, 3, 2).conv(32, 3, group=4)
    return b.conv(64, 3, 2, group=8).conv(64, 1, group=4).net()


NETS: tuple[tuple[Callable[[], SpikingNet], str], ...] = (
    (ecg_wide, "loihi1"),
    (perceptron, "loihi1"),
    (residual, "loihi1"),
    (mobilenet, "loihi1"),
    (ternary, "truenorth"),
    (million, "loihi1"),
)


def saved_at_most(traffic: Traffic, mesh: Mesh | None, chips: int) -> float | None:
    """A share of in-order hops that no placement exceeds; None for large meshes.

    The projected eigenvalue bound of the quadratic assignment problem (Hadley, Rendl, Wolkowicz 1992, doi
    10.1287/moor.17.3.727) below the hops between cores; the most fed cores nearest to the port.
    """
    if mesh is None or chips * mesh.slots > BOUNDED_SLOTS:
        return None
    place = mesh.positions(chips)[:, 1:]
    n = len(place)
    links = graph(n, traffic.source, traffic.target, traffic.count * RATE)
    flow = links.weight.astype(np.float64)
    distance = np.abs(place[:, None] - place[None]).sum(axis=2).astype(np.float64)
    random = np.random.default_rng(0).normal(size=(n, n - 1))
    basis = np.linalg.qr(np.column_stack([np.ones(n), random]))[0][:, 1:]
    rising, falling = (
        np.linalg.eigvalsh(basis.T @ flow @ basis),
        np.linalg.eigvalsh(basis.T @ distance @ basis)[::-1],
    )
    rows = 2 / n * np.sort(flow.sum(axis=1)) @ np.sort(distance.sum(axis=1))[::-1]
    between = (rising @ falling + rows - flow.sum() * distance.sum() / n**2) / 2
    port = np.sort(links.port.astype(np.float64))[::-1] @ np.sort(place.sum(axis=1))
    return float(1 - (between + port) / traffic.in_order_hops)


def measure(build: Callable[[], SpikingNet], device: str) -> Row:
    chip = load_device(device)
    assert isinstance(chip, NeuroChip)
    net = build()
    rates = {p.name: RATE for p in net.populations}
    synapses = sum(w.synapses for w in wirings(net))
    start = time.perf_counter()
    mapping = map_net(net, chip, rates, max_chips=64)
    seconds = time.perf_counter() - start
    mapping.check()
    traffic = mapping.traffic
    assert traffic is not None
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Row(
        net.name,
        device,
        net.neurons,
        synapses,
        mapping.cores,
        mapping.chips,
        mapping.utilisation,
        traffic.in_order_hops,
        traffic.hops,
        traffic.saved,
        saved_at_most(traffic, FAMILIES[device].mesh, mapping.chips),
        seconds,
        memory,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--small", action="store_true", help="leave the net of a million neurons out; keep no result"
    )
    small = parser.parse_args().small
    print(
        f"{'net':<12}{'chip':<11}{'neurons':>10}{'synapses':>13}{'cores':>7}{'chips':>6}{'use':>7}"
        f"{'hops saved':>12}{'at most':>9}"
        f"{'seconds':>9}{'GB':>6}"
    )
    rows = []
    for build, device in NETS[:-1] if small else NETS:
        r = measure(build, device)
        rows.append(r)
        most = "-" if r.saved_at_most is None else f"{r.saved_at_most:.1%}"
        print(
            f"{r.net:<12}{r.chip:<11}{r.neurons:>10,}{r.synapses:>13,}{r.cores:>7}{r.chips:>6}{r.mean_core_use:>7.1%}"
            f"{r.traffic_saved:>12.1%}{most:>9}{r.seconds:>9.1f}{r.memory_bytes / 1e9:>6.2f}",
            flush=True,
        )
    if not small:
        keep("snn_mapping", {"machine": machine(), "rows": [asdict(r) for r in rows]})


if __name__ == "__main__":
    main()
