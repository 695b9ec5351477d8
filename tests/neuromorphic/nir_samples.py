"""Where the shared NIR and NeuroBench files are, and what several tests do with them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from trine.neuromorphic.engine.definition import define
from trine.neuromorphic.net import SpikingNet
from trine.neuromorphic.timing import arrivals

DATA = Path(os.environ.get("TRINE_DATA", Path(__file__).parents[2] / ".." / "shared" / "data")).resolve()
NIR_FILES = {  # the time step each was exported for
    "lif/lif_norse.nir": 1e-4,
    "lif/two_lif_neurons.nir": 1e-4,
    "braille_noDelay_bias_zero.nir": 1e-4,
    "cnn_sinabs.nir": 1.0,
}


def shared(name: str) -> Path:
    """A shared file, or a skipped test."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"no {name} under TRINE_DATA ({DATA})")
    return path


def noise(net: SpikingNet, steps: int, batch: int = 2, rate: float = 0.3) -> dict[str, np.ndarray]:
    """Random input spikes for every input."""
    rng = np.random.default_rng(7)
    return {i: (rng.random((batch, steps, *net.population(i).shape)) < rate) * 1.0 for i in net.inputs}


def in_step(net: SpikingNet, inputs: dict[str, np.ndarray], steps: int) -> dict[str, np.ndarray]:
    """Messages of all populations of the definition, each in its own time (see `timing`)."""
    depth = arrivals(net)
    run = define(net, inputs, steps + max(depth.values()), {p.name: ("spikes",) for p in net.populations})
    return {k: run.spikes(k)[:, depth[k] : depth[k] + steps] for k in depth}
