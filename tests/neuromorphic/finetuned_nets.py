"""A small trained network whose conversion to two steps loses, for the tests of fine-tuning."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from converted_nets import Builder

from trine.compilers.graph import Array, Graph

CLASSES = 4


def signals(seed: int, count: int) -> tuple[Array, Array, Array]:
    """Bumps of four shapes in noise: x [count, 1, 24], y, and whose they are, each with a gain of their own."""
    rng = np.random.default_rng(seed)
    y, group = rng.integers(0, CLASSES, count), rng.integers(0, 10, count)
    t = np.arange(24)
    at = rng.uniform(7, 17, count)[:, None]
    narrow, wide = np.exp(-((t - at) ** 2) / 3), np.exp(-((t - at) ** 2) / 20)
    shapes = np.stack([narrow, wide, narrow - 0.6 * wide, wide - 0.9 * narrow])
    gain = 1 + 0.2 * np.sin(group)[:, None]
    x = gain * shapes[y, np.arange(count)] + 0.12 * rng.standard_normal((count, 24))
    return x[:, None].astype(np.float32), y, group


def trained(seed: int = 0) -> Graph:
    """Two convolutions and two dense layers, trained on signals for a second."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv1d(1, 6, 5, padding=2), nn.ReLU(), nn.Conv1d(6, 8, 3, 2, padding=1), nn.ReLU(), nn.Flatten(),
        nn.Linear(96, 12), nn.ReLU(), nn.Linear(12, CLASSES),
    )  # fmt: skip
    x, y, _ = signals(1, 1024)
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
    for k in range(200):
        rows = np.random.default_rng(k).integers(0, len(y), 64)
        loss = nn.functional.cross_entropy(net(torch.from_numpy(x[rows])), torch.from_numpy(y[rows]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    b = Builder(0, x=(1, 24))
    h = b.relu(b.conv("x", 6, 5))
    h = b.relu(b.conv(h, 8, 3, strides=(2,)))
    graph = b.graph(b.gemm(b.relu(b.gemm(b.flat(h), 12)), CLASSES))
    weights = [p.detach().numpy() for p in net.parameters()]
    return graph.with_constants({f"c{k}": w for k, w in enumerate(weights)})


def write(path: Path, seed: int, count: int) -> Path:
    """signals as an .npz with labels and groups."""
    x, y, group = signals(seed, count)
    np.savez(path, x=x, y=y, group=group)
    return path
